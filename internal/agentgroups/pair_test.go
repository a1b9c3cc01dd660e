package agentgroups

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/pairtest"
)

func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// groupsOf is the groups of all agents of a fake database, with what the
// original derives from them.
type groupsOf map[agent.ID][]string

func (g groupsOf) ids() []agent.ID {
	ids := make([]agent.ID, 0, len(g))
	for id := range g {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// hash is empty when no agent has a group.
func (g groupsOf) hash() string {
	h, any := sha1.New(), false
	for _, id := range g.ids() {
		if len(g[id]) > 0 {
			h.Write([]byte(agent.GroupHash(agent.GroupsText(g[id]))))
			any = true
		}
	}
	if !any {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// list writes agents as chunks of at most perChunk.
func (g groupsOf) list(ids []agent.ID, perChunk int) (list [][]byte) {
	for some := range slices.Chunk(ids, perChunk) {
		rows := make([]entry, 0, len(some))
		for _, id := range some {
			rows = append(rows, entry{id, append([]string{}, g[id]...)})
		}
		data, _ := json.Marshal(rows)
		list = append(list, fmt.Appendf(nil, `[{"data":%s}]`, data))
	}
	return list
}

var errDisk = errors.New("disk I/O error")

// source is a master's database in memory.
type source struct {
	mu       sync.Mutex
	groups   groupsOf
	pending  pairtest.Pending[agent.ID]
	perChunk int
	err      error
	full     int // times that everything was read
	looks    int // times that changes were
	changed  chan struct{}
}

func newSource() *source {
	return &source{groups: groupsOf{}, perChunk: 3, changed: make(chan struct{}, 1)}
}

func (s *source) set(id agent.ID, groups ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[id] = groups
	s.pending.Change(id)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *source) remove(id agent.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
	s.pending.Remove(id)
}

func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending.Len()
}

func (s *source) made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *source) checksum() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups.hash()
}

func (s *source) Changed() <-chan struct{} { return s.changed }

func (s *source) PendingGroups(context.Context) ([][]byte, func(context.Context) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	s.looks++
	ids := s.pending.Keys()
	list := s.groups.list(ids, s.perChunk)
	if len(list) == 0 {
		list = [][]byte{[]byte(`[{"data":[]}]`)}
	}
	hash := "null"
	if h := s.groups.hash(); h != "" {
		hash = `"` + h + `"`
	}
	last := list[len(list)-1]
	list[len(list)-1] = fmt.Appendf(nil, `%s,"hash":%s}]`, last[:len(last)-2], hash)
	arrived := s.pending.Take(ids)
	return list, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		arrived()
		return nil
	}, nil
}

func (s *source) AllGroups(context.Context) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.full++
	return s.groups.list(s.groups.ids(), s.perChunk), nil
}

// sink is a worker's database in memory. It knows the agents that have an
// entry.
type sink struct {
	mu     sync.Mutex
	groups groupsOf
	sets   int // lists that were stored
	recalc int
	err    error
	slow   time.Duration
}

func newSink(ids ...agent.ID) *sink {
	s := &sink{groups: groupsOf{}}
	for _, id := range ids {
		s.groups[id] = nil
	}
	return s
}

func (s *sink) SetSyncGroups(ctx context.Context, list []byte) error {
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	var rows []entry
	if err := json.Unmarshal(list, &rows); err != nil {
		return err
	}
	s.sets++
	var err error
	for _, e := range rows {
		if _, known := s.groups[e.ID]; !known {
			err = errors.New("An error occurred during the set of the groups")
			continue
		}
		s.groups[e.ID] = e.Groups
	}
	return err
}

func (s *sink) GroupsHash(context.Context) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.groups.hash()
	return h, h != "", s.err
}

func (s *sink) checksum() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups.hash()
}

func (s *sink) RecalculateGroupHashes(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recalc++
	return s.err
}

func (s *sink) GroupsOf(_ context.Context, ids []agent.ID) (map[agent.ID][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[agent.ID][]string{}
	for _, id := range ids {
		if groups, known := s.groups[id]; known {
			found[id] = groups
		}
	}
	return found, s.err
}

// set changes groups behind the master's back, or makes an agent known.
func (s *sink) set(id agent.ID, groups ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[id] = groups
}

func (s *sink) remove(id agent.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
}

// differs says where a worker's groups are not the master's.
func (s *sink) differs(src *source) (what []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src.mu.Lock()
	defer src.mu.Unlock()
	for _, id := range src.groups.ids() {
		if own, known := s.groups[id]; !known || !slices.Equal(own, src.groups[id]) {
			what = append(what, fmt.Sprintf("%s has %v, known %v, want %v", id, own, known, src.groups[id]))
		}
	}
	if len(s.groups) != len(src.groups) {
		what = append(what, fmt.Sprintf("%d agents, want %d", len(s.groups), len(src.groups)))
	}
	return what
}

func (s *sink) same(t *testing.T, src *source) {
	t.Helper()
	if d := s.differs(src); len(d) > 0 {
		t.Error(d)
	}
}
