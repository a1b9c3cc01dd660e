package agentinfo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/pairtest"
)

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// state is an agent in a fake database.
type state struct {
	ID      int    `json:"id"`
	Alive   int64  `json:"last_keepalive"`
	Comment string `json:"comment,omitempty"`
}

// source is a worker's database in memory.
type source struct {
	mu       sync.Mutex
	agents   map[int]state
	pending  pairtest.Pending[int]
	perChunk int
	err      error
	refuses  error // of ReportAll
	reported int
	read     []int // agents in each reading
	changed  chan struct{}
}

func newSource(n int) *source {
	s := &source{agents: map[int]state{}, perChunk: 10, changed: make(chan struct{}, 1)}
	for id := 1; id <= n; id++ {
		s.set(state{ID: id, Alive: 1})
	}
	return s
}

func (s *source) set(a state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents[a.ID] = a
	s.pending.Change(a.ID)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *source) Changed() <-chan struct{} { return s.changed }

func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending.Len()
}

func (s *source) ReportAll(_ context.Context, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, s.refuses); err != nil {
		return err
	}
	s.reported++
	for id := range s.agents {
		s.pending.Change(id)
	}
	if node != "w1" {
		return errors.New("another node")
	}
	return nil
}

func (s *source) PendingInfo(_ context.Context, most int) ([][]byte, bool, func(context.Context) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, false, nil, s.err
	}
	ids := s.pending.Keys()
	more := len(ids) > most
	ids = ids[:min(len(ids), most)]
	if len(ids) > 0 {
		s.read = append(s.read, len(ids))
	}
	arrived := s.pending.Take(ids)
	var list [][]byte
	for some := range slices.Chunk(ids, s.perChunk) {
		rows := make([]state, 0, len(some))
		for _, id := range some {
			rows = append(rows, s.agents[id])
		}
		chunk, err := json.Marshal(rows)
		if err != nil {
			return nil, false, nil, err
		}
		list = append(list, chunk)
	}
	return list, more, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		arrived()
		return nil
	}, nil
}

// sink is a master's database in memory.
type sink struct {
	mu     sync.Mutex
	agents map[int]state
	stored int
	bad    func(state) error // an agent that cannot be stored
	slow   time.Duration
}

func newSink() *sink { return &sink{agents: map[int]state{}} }

func (s *sink) SetSyncInfo(ctx context.Context, list []byte) error {
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var rows []state
	if err := json.Unmarshal(list, &rows); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range rows {
		if s.bad != nil {
			if err := s.bad(a); err != nil {
				return err
			}
		}
		s.agents[a.ID] = a
		s.stored++
	}
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.agents)
}

func (s *sink) has(t *testing.T, src *source) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	src.mu.Lock()
	defer src.mu.Unlock()
	for id, a := range src.agents {
		if s.agents[id] != a {
			t.Errorf("agent %d is %+v, want %+v", id, s.agents[id], a)
		}
	}
}

func name(plain bool) string { return map[bool]string{true: "4.7.5", false: "Testudo"}[plain] }

var errDisk = fmt.Errorf("disk I/O error")
