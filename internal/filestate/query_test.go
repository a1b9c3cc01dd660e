package filestate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuery_Filters(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	files := []Row{
		{File: "etc/lists/ü", State: Pending},
		{File: "etc/lists/üa", State: Failed},
		{File: "etc/rules/a", State: Synchronized},
		{File: "etc/rules/a%", State: Failed},
		{File: "etc/rules/a/b", State: Failed},
		{File: "etc/rules_of_mine", State: Pending},
	}
	for _, node := range []string{"w1", "w2"} {
		s.Set(node, picture(files...))
	}
	mustFlush(t, s)
	tests := []struct {
		name   string
		filter Filter
		want   string
	}{
		{"node and state", Filter{Node: "w2", State: Pending}, "w2:etc/lists/ü w2:etc/rules_of_mine"},
		{"state", Filter{State: Synchronized}, "w1:etc/rules/a w2:etc/rules/a"},
		{"prefix", Filter{Node: "w1", FilePrefix: "etc/rules/a"}, "w1:etc/rules/a w1:etc/rules/a% w1:etc/rules/a/b"},
		{"prefix is no pattern", Filter{FilePrefix: "etc/rules/a%"}, "w1:etc/rules/a% w2:etc/rules/a%"},
		{"prefix beyond ASCII", Filter{Node: "w1", FilePrefix: "etc/lists/ü"}, "w1:etc/lists/ü w1:etc/lists/üa"},
		{"limit over two nodes", Filter{State: Pending, Limit: 3}, "w1:etc/lists/ü w1:etc/rules_of_mine w2:etc/lists/ü"},
		{"unknown node", Filter{Node: "w3"}, ""},
		{"unknown state", Filter{State: "perhaps"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range mustQuery(t, path, tt.filter) {
				got = append(got, r.Node+":"+r.File)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWalk_GoesThroughAllPages(t *testing.T) {
	const each = pageRows + pageRows/2
	path := newPath(t)
	s := mustOpen(t, path)
	for i := range 3 {
		s.Set(fmt.Sprint("w", i), tree(each, Synchronized, "a"))
	}
	mustFlush(t, s)
	tests := []struct {
		filter Filter
		want   int
	}{
		{Filter{}, 3 * each},
		{Filter{Node: "w1"}, each},
		{Filter{State: Synchronized}, 3 * each},
		{Filter{Limit: pageRows}, pageRows},
		{Filter{Limit: pageRows + 1}, pageRows + 1},
		{Filter{Limit: 10 * each}, 3 * each},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.filter), func(t *testing.T) {
			n, last := 0, ""
			err := Walk(t.Context(), path, tt.filter, func(r Row) error {
				if place := r.Node + " " + r.File; place <= last {
					t.Fatalf("%q after %q", place, last)
				} else {
					last = place
				}
				n++
				return nil
			})
			if n != tt.want || err != nil {
				t.Errorf("%d rows, want %d; %v", n, tt.want, err)
			}
		})
	}
	boom := errors.New("boom")
	n := 0
	err := Walk(t.Context(), path, Filter{}, func(Row) error { n++; return boom })
	if n != 1 || !errors.Is(err, boom) {
		t.Error("the walk went on:", n, err)
	}
}

func TestReading_WithoutADatabase(t *testing.T) {
	path := newPath(t)
	_, queryErr := Query(t.Context(), path, Filter{})
	_, nodesErr := Nodes(t.Context(), path)
	_, countsErr := Counts(t.Context(), path)
	_, heldErr := HeldBack(t.Context(), path)
	for name, err := range map[string]error{
		"Query": queryErr, "Nodes": nodesErr, "Counts": countsErr, "HeldBack": heldErr,
		"AcceptShrink": AcceptShrink(t.Context(), path, time.Now().Add(time.Hour)),
	} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made the file")
	}
}

func TestSetNode(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	full := NodeState{
		Node: "w1", Role: "worker", Version: "4.7.5", Address: "192.0.2.7", Connected: true,
		ConnectedSince: at(0), LastCheck: at(1), LastSync: at(2), InStepSince: at(3),
		Lag: 1500 * time.Millisecond, Files: 12, ManifestSum: digest("tree"),
	}
	bare := NodeState{Node: "w2"}
	s.SetNode(full)
	s.SetNode(bare)
	s.Set("w3", nil) // known by its rows alone
	check := func(t *testing.T, want ...NodeState) {
		t.Helper()
		mustFlush(t, s)
		got, err := Nodes(t.Context(), path)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
	check(t, full, bare, NodeState{Node: "w3"})

	full.Lag, full.InStepSince = 0, time.Time{}
	s.SetNode(full)
	check(t, full, bare, NodeState{Node: "w3"})

	// Rows that come later do not touch what is known of the node.
	s.Set("w1", picture(Row{File: "f", State: Pending}))
	check(t, full, bare, NodeState{Node: "w3"})
}

func TestSetNode_NobodyIsConnectedToAClosedStore(t *testing.T) {
	connected := func(t *testing.T, path string) (n int) {
		nodes, err := Nodes(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range nodes {
			if node.Connected {
				n++
			}
		}
		return n
	}
	path := newPath(t)
	s := mustOpen(t, path)
	s.SetNode(NodeState{Node: "written", Connected: true})
	mustFlush(t, s)
	if n := connected(t, path); n != 1 {
		t.Errorf("%d nodes connected, want 1", n)
	}
	s.SetNode(NodeState{Node: "waiting", Connected: true})
	mustClose(t, s)
	if n := connected(t, path); n != 0 {
		t.Errorf("%d nodes connected after Close", n)
	}
}

func TestShrinkDecision(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	take := func(t *testing.T, want bool) {
		t.Helper()
		got, err := s.TakeShrinkDecision(t.Context())
		if got != want || err != nil {
			t.Errorf("decision is %t, want %t; %v", got, want, err)
		}
	}
	accept := func(t *testing.T, until time.Time) {
		t.Helper()
		if err := AcceptShrink(t.Context(), path, until); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("nobody decided", func(t *testing.T) { take(t, false) })
	t.Run("good once", func(t *testing.T) {
		accept(t, time.Now().Add(time.Hour))
		take(t, true)
		take(t, false)
	})
	t.Run("too late", func(t *testing.T) {
		accept(t, time.Now().Add(-time.Second))
		take(t, false)
	})
	t.Run("the last one counts", func(t *testing.T) {
		accept(t, time.Now().Add(time.Hour))
		accept(t, time.Now().Add(-time.Second))
		take(t, false)
	})
}

func TestHeldBack(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	for _, want := range []*Held{nil, {Since: at(0), Detail: "9 of 10 files are gone"}, {Since: at(1), Detail: "all"}, nil} {
		if err := s.SetHeld(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := HeldBack(t.Context(), path)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}
