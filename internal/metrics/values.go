package metrics

import (
	"strings"
	"sync"
)

// other is the label value that stands for all values beyond the bound.
const other = "other"

// values is the bounded set of the values that one label has taken.
type values struct {
	limit int

	mu   sync.RWMutex
	seen map[string]struct{}
}

func newValues(limit int) *values {
	return &values{limit: limit, seen: make(map[string]struct{})}
}

// take gives the value under which v is counted: v itself (as valid UTF-8)
// while there is room, else other.
func (s *values) take(v string) string {
	s.mu.RLock()
	_, known := s.seen[v]
	s.mu.RUnlock()
	if known {
		return v
	}
	v = strings.ToValidUTF8(v, "\uFFFD")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[v]; known {
		return v
	}
	if len(s.seen) >= s.limit {
		return other
	}
	s.seen[v] = struct{}{}
	return v
}

// drop makes room again; it tells whether v was there.
func (s *values) drop(v string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.seen[v]
	delete(s.seen, v)
	return known
}
