package filestate

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNodeLimit(t *testing.T) {
	names := func(t *testing.T, path string) (out []string) {
		nodes, err := Nodes(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			out = append(out, n.Node)
		}
		return out
	}
	rows := picture(Row{File: "f", State: Pending})
	t.Run("the longest absent makes room", func(t *testing.T) {
		path := newPath(t)
		s := mustOpen(t, path, WithNodeLimit(3))
		for i, connected := range []bool{true, false, false} {
			s.SetNode(NodeState{Node: fmt.Sprint("w", i), Connected: connected})
			s.Set(fmt.Sprint("w", i), rows)
			mustFlush(t, s)
		}
		s.Set("new", rows)
		mustFlush(t, s)
		if diff := cmp.Diff([]string{"new", "w0", "w2"}, names(t, path)); diff != "" {
			t.Error(diff)
		}
		if n := len(mustQuery(t, path, Filter{})); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
	t.Run("connected nodes stay", func(t *testing.T) {
		path := newPath(t)
		log, buf := logged()
		s := mustOpenLogged(t, path, log, WithNodeLimit(2))
		for _, node := range []string{"w0", "w1"} {
			s.SetNode(NodeState{Node: node, Connected: true})
		}
		mustFlush(t, s)
		s.Set("new", rows)
		mustFlush(t, s)
		if diff := cmp.Diff([]string{"w0", "w1"}, names(t, path)); diff != "" {
			t.Error(diff)
		}
		if n := len(mustQuery(t, path, Filter{})); n != 0 {
			t.Errorf("%d rows, want none", n)
		}
		if !strings.Contains(buf.String(), "limit=2") {
			t.Errorf("log: %s", buf)
		}
	})
	t.Run("what waits is bounded", func(t *testing.T) {
		path := newPath(t)
		log, buf := logged()
		s := mustOpenLogged(t, path, log, WithNodeLimit(2))
		entered, proceed := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s.Set("busy", func(func(Row) bool) {
			once.Do(func() {
				close(entered)
				<-proceed
			})
		})
		<-entered
		for i := range 100 {
			s.Set(fmt.Sprint("w", i), rows)
		}
		if n := s.Waiting(); n != 2 {
			t.Errorf("%d nodes wait, want 2", n)
		}
		close(proceed)
		mustFlush(t, s)
		if !strings.Contains(buf.String(), "dropped=98") {
			t.Errorf("log: %s", buf)
		}
	})
}

func TestStore_ManyAtOnce(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	var wg sync.WaitGroup
	work := func(f func(i int) error) {
		wg.Go(func() {
			for i := range 10 {
				if err := f(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range 4 {
		node := fmt.Sprint("w", w)
		work(func(i int) error { s.Set(node, tree(10*i, Pending, "a")); return nil })
		work(func(i int) error { s.SetNode(NodeState{Node: node, Files: i, Connected: true}); return nil })
	}
	work(func(int) error { return s.Flush(t.Context()) })
	work(func(int) error { _, err := s.Counts(t.Context()); return err })
	work(func(int) error { _, err := Query(t.Context(), path, Filter{}); return err })
	work(func(int) error { return AcceptShrink(t.Context(), path, time.Now().Add(time.Hour)) })
	work(func(int) error { _, err := s.TakeShrinkDecision(t.Context()); return err })
	wg.Wait()
	mustFlush(t, s)
	if n := len(mustQuery(t, path, Filter{})); n != 4*90 {
		t.Errorf("%d rows, want %d", n, 4*90)
	}
}

// What comes while a write does not succeed is newer than what it returns.
func TestPutBack_NewerWins(t *testing.T) {
	old, newer := picture(Row{File: "old"}), picture(Row{File: "newer"})
	oldNode, newerNode := &NodeState{Files: 1}, &NodeState{Files: 2}
	tests := []struct {
		name  string
		back  order
		since *order
		want  string
	}{
		{"nothing came", order{rows: old, node: oldNode}, nil, "old 1"},
		{"rows came", order{rows: old, node: oldNode}, &order{rows: newer}, "newer 1"},
		{"a node came", order{rows: old, node: oldNode}, &order{node: newerNode}, "old 2"},
		{"both came", order{rows: old, node: oldNode}, &order{rows: newer, node: newerNode}, "newer 2"},
		{"forgotten since", order{rows: old, node: oldNode}, &order{forget: true}, "forget"},
		{"to be forgotten first", order{forget: true}, &order{rows: newer}, "forget newer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &Store{waiting: map[string]*order{}}
			if tt.since != nil {
				s.waiting["w1"] = tt.since
			}
			s.putBackLocked("w1", &tt.back)
			o := s.waiting["w1"]
			var got []string
			if o.forget {
				got = append(got, "forget")
			}
			if o.rows != nil {
				for r := range o.rows {
					got = append(got, r.File)
				}
			}
			if o.node != nil {
				got = append(got, fmt.Sprint(o.node.Files))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
