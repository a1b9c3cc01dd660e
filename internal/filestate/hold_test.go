package filestate

import (
	"fmt"
	"testing"
	"time"
)

// held opens a store for which three rows are many.
func held(t *testing.T, path string, back time.Duration) *Store {
	t.Helper()
	s := mustOpen(t, path)
	s.pageRows, s.holdBack = 3, back // nothing is written before the first Set, so nobody reads them yet
	return s
}

func many(state State) []Row {
	var rows []Row
	for i := range 4 {
		rows = append(rows, Row{File: fmt.Sprint("file ", i), State: state})
	}
	return rows
}

// afterTurn does something and waits until the writer has tried to write it.
func afterTurn(s *Store, do func()) {
	s.mu.Lock()
	turn := s.turn
	s.mu.Unlock()
	do()
	<-turn
}

// A large picture waits for a newer one; the node itself, and small pictures, do
// not wait.
func TestSet_LargePictureIsHeldBack(t *testing.T) {
	path := newPath(t)
	s := held(t, path, time.Hour)
	afterTurn(s, func() {
		s.mu.Lock() // all in one turn
		s.waiting["w1"] = &order{rows: picture(many(Pending)...), since: time.Now(), node: &NodeState{Node: "w1", Connected: true}}
		s.waiting["w2"] = &order{rows: picture(many(Pending)[:2]...), since: time.Now()}
		s.asked += 2
		s.mu.Unlock()
		signal(s.kick)
	})
	if rows := mustQuery(t, path, Filter{}); len(rows) != 2 || rows[0].Node != "w2" {
		t.Errorf("%d rows written: %v", len(rows), rows)
	}
	if nodes, err := Nodes(t.Context(), path); err != nil || len(nodes) != 2 || !nodes[0].Connected {
		t.Errorf("nodes: %v, %v", nodes, err)
	}
	if n := s.Waiting(); n != 1 {
		t.Errorf("%d nodes wait, want 1", n)
	}
	s.Set("w1", picture(many(Synchronized)...))
	mustFlush(t, s) // who waits gets all
	for _, r := range mustQuery(t, path, Filter{Node: "w1"}) {
		if r.State != Synchronized {
			t.Errorf("%s is %s", r.File, r.State)
		}
	}
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d nodes wait after all", n)
	}
}

func TestSet_HeldPictureIsWrittenInTime(t *testing.T) {
	path := newPath(t)
	s := held(t, path, 300*time.Millisecond)
	s.Set("w1", picture(many(Pending)...))
	for {
		s.mu.Lock()
		turn := s.turn
		s.mu.Unlock()
		if len(mustQuery(t, path, Filter{Node: "w1"})) == 4 {
			return
		}
		<-turn
	}
}

// A small picture that follows a held one is not held.
func TestSet_SmallAfterHeld(t *testing.T) {
	path := newPath(t)
	s := held(t, path, time.Hour)
	afterTurn(s, func() { s.Set("w1", picture(many(Pending)...)) })
	afterTurn(s, func() { s.Set("w1", picture(many(Synchronized)[:1]...)) })
	if n := len(mustQuery(t, path, Filter{Node: "w1"})); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestClose_WritesHeldPictures(t *testing.T) {
	path := newPath(t)
	s := held(t, path, time.Hour)
	afterTurn(s, func() { s.Set("w1", picture(many(Pending)...)) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(mustQuery(t, path, Filter{Node: "w1"})); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}
