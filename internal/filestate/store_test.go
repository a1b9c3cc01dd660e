package filestate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"testudo/internal/manifest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "cluster.db") }

// mustOpen opens a store that is closed when the test ends.
func mustOpen(t *testing.T, path string, opts ...Option) *Store {
	t.Helper()
	return mustOpenLogged(t, path, nil, opts...)
}

func mustOpenLogged(t *testing.T, path string, log *slog.Logger, opts ...Option) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, log, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func mustFlush(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustQuery(t *testing.T, path string, f Filter) []Row {
	t.Helper()
	rows, err := Query(t.Context(), path, f)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// logged collects what a store reports.
func logged() (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return slog.New(slog.NewTextHandler(&buf, nil)), &buf
}

func digest(content string) manifest.Digest { return manifest.DigestOf([]byte(content)) }

func at(minute int) time.Time {
	return time.UnixMilli(1_800_000_000_123).Add(time.Duration(minute) * time.Minute)
}

// picture makes rows from "file state" pairs.
func picture(rows ...Row) iter.Seq[Row] { return slices.Values(rows) }

func TestSet_RowsComeBack(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	want := []Row{
		{File: "etc/client.keys", State: Synchronized, Digest: digest("keys"), Since: at(0)},
		{File: "etc/rules/größe.xml", State: Failed, Digest: digest("r"), Reason: "larger than the package limit", Since: at(1)},
		{File: "etc/rules/new.xml", State: Pending, Since: at(2)},
		{File: "etc/shared/old", State: ToBeDeleted, Digest: digest("o"), Since: at(3)},
	}
	s.Set("w1", picture(want...))
	mustFlush(t, s)
	for i := range want {
		want[i].Node = "w1"
	}
	if diff := cmp.Diff(want, mustQuery(t, path, Filter{})); diff != "" {
		t.Error(diff)
	}
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantCounts := map[string]map[State]int{"w1": {Synchronized: 1, Failed: 1, Pending: 1, ToBeDeleted: 1}}
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Error(diff)
	}
	other, err := Counts(t.Context(), path)
	if diff := cmp.Diff(wantCounts, other); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestSet_SinceIsWhenTheStateBegan(t *testing.T) {
	first := Row{File: "f", State: Pending, Digest: digest("1"), Reason: "because", Since: at(0)}
	tests := []struct {
		name   string
		change func(*Row)
		want   time.Time
	}{
		{"nothing changed", func(*Row) {}, at(0)},
		{"other state", func(r *Row) { r.State = Synchronized }, at(5)},
		{"other digest", func(r *Row) { r.Digest = digest("2") }, at(5)},
		{"no digest", func(r *Row) { r.Digest = manifest.Digest{} }, at(5)},
		{"other reason", func(r *Row) { r.Reason = "" }, at(5)},
	}
	for _, restart := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/restart=%t", tt.name, restart), func(t *testing.T) {
				path := newPath(t)
				s := mustOpen(t, path)
				s.Set("w1", picture(first))
				mustFlush(t, s)
				if restart {
					mustClose(t, s)
					s = mustOpen(t, path)
				}
				second := first
				second.Since = at(5)
				tt.change(&second)
				s.Set("w1", picture(second))
				mustFlush(t, s)
				if rows := mustQuery(t, path, Filter{}); !rows[0].Since.Equal(tt.want) {
					t.Errorf("since %v, want %v", rows[0].Since, tt.want)
				}
			})
		}
	}
}

func TestSet_SinceLeftOutIsNow(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	before := time.Now().Truncate(time.Millisecond)
	s.Set("w1", picture(Row{File: "f", State: Pending}))
	mustFlush(t, s)
	if since := mustQuery(t, path, Filter{})[0].Since; since.Before(before) || since.After(time.Now()) {
		t.Error(since)
	}
}

// Whatever was there and whatever comes: afterwards the rows are the picture.
func TestSet_MergeProperty(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	s.pageRows = 3 // nothing is written before the first Set, so nobody reads it yet
	row := rapid.Custom(func(t *rapid.T) Row {
		return Row{
			File:   rapid.StringMatching(`[a-c/ü]{1,3}`).Draw(t, "file"),
			State:  rapid.SampledFrom(States()).Draw(t, "state"),
			Reason: rapid.SampledFrom([]string{"", "why"}).Draw(t, "reason"),
			Digest: manifest.Digest{rapid.Byte().Draw(t, "digest") % 3},
			Since:  at(0),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		for node, other := range map[string]string{"w1": "w2", "w2": "w1"} {
			rows := rapid.SliceOfNDistinct(row, 0, 20, func(r Row) string { return r.File }).Draw(rt, node)
			slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.File, b.File) })
			keep := mustQuery(t, path, Filter{Node: other})
			s.Set(node, picture(rows...))
			mustFlush(t, s)
			for i := range rows {
				rows[i].Node = node
			}
			if len(rows) == 0 {
				rows = nil
			}
			if diff := cmp.Diff(rows, mustQuery(t, path, Filter{Node: node})); diff != "" {
				rt.Fatal(diff)
			}
			if diff := cmp.Diff(keep, mustQuery(t, path, Filter{Node: other})); diff != "" {
				rt.Fatal("the other node changed", diff)
			}
		}
	})
}

func TestSet_UnchangedPictureWritesNothing(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	rows := tree(5000, Synchronized, "a")
	s.Set("w1", rows)
	mustFlush(t, s)
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	for range 3 {
		s.Set("w1", rows)
		s.SetNode(NodeState{Node: "w1"})
		mustFlush(t, s)
	}
	if after := size(); after != before {
		t.Errorf("the log grew from %d to %d bytes", before, after)
	}
}

func TestSet_NewestPictureOfANodeWins(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	entered, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.Set("w0", func(func(Row) bool) {
		once.Do(func() {
			close(entered)
			<-proceed
		})
	})
	<-entered // the writer is busy from here on
	walked := 0
	for i := range 1000 {
		s.Set("w1", func(yield func(Row) bool) {
			walked++
			yield(Row{File: fmt.Sprintf("file %d", i), State: Pending})
		})
	}
	if n := s.Waiting(); n != 1 {
		t.Errorf("%d nodes wait, want 1", n)
	}
	close(proceed)
	mustFlush(t, s)
	rows := mustQuery(t, path, Filter{Node: "w1"})
	if len(rows) != 1 || rows[0].File != "file 999" {
		t.Error(rows)
	}
	if walked > 2 {
		t.Errorf("%d pictures were looked at", walked)
	}
}

func TestSet_UnusablePictureIsRefused(t *testing.T) {
	good := Row{File: "good", State: Pending, Since: at(0)}
	tests := map[string][]Row{
		"not sorted":    {{File: "b", State: Pending}, {File: "a", State: Pending}},
		"twice":         {{File: "a", State: Pending}, {File: "a", State: Failed}},
		"no name":       {{File: "", State: Pending}},
		"unknown state": {{File: "a", State: "perhaps"}},
		"no state":      {{File: "a"}},
	}
	for name, rows := range tests {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			log, buf := logged()
			s := mustOpenLogged(t, path, log)
			s.Set("w1", picture(good))
			mustFlush(t, s)
			s.Set("w1", picture(rows...))
			s.Set("w2", picture(good))
			if err := s.Flush(t.Context()); !errors.Is(err, ErrPicture) {
				t.Errorf("error is %v", err)
			}
			for _, node := range []string{"w1", "w2"} {
				if got := mustQuery(t, path, Filter{Node: node}); len(got) != 1 || got[0].File != "good" {
					t.Error(node, got)
				}
			}
			if s.Waiting() != 0 {
				t.Error("the picture is tried again")
			}
			s.Set("w1", nil)
			mustFlush(t, s)
			if n := len(mustQuery(t, path, Filter{Node: "w1"})); n != 0 {
				t.Errorf("%d rows, want none", n)
			}
			if !strings.Contains(buf.String(), "node=w1") {
				t.Errorf("log: %s", buf)
			}
		})
	}
}

func TestSet_LongReasonIsCut(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	long := Row{File: "f", State: Failed, Reason: "x" + strings.Repeat("ü", 4000) + "\xff", Since: at(0)}
	for i := range 2 { // the second is equal although its end is not stored
		long.Since = at(i)
		s.Set("w1", picture(long, Row{File: fmt.Sprint("g", i), State: Pending}))
		mustFlush(t, s)
	}
	got := mustQuery(t, path, Filter{FilePrefix: "f"})[0]
	if len(got.Reason) > reasonBytes || len(got.Reason) < reasonBytes-3 || !utf8.ValidString(got.Reason) {
		t.Errorf("reason of %d bytes", len(got.Reason))
	}
	if !got.Since.Equal(at(0)) {
		t.Error("the cut reason counted as a change")
	}
}

func TestForget(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	rows := picture(Row{File: "f", State: Pending})
	for _, node := range []string{"w1", "w2", "w3"} {
		s.Set(node, rows)
		s.SetNode(NodeState{Node: node, Role: "worker"})
	}
	mustFlush(t, s)
	s.Forget("w1")
	s.Forget("w2")
	s.Set("w2", rows) // comes back
	mustFlush(t, s)
	var got []string
	nodes, err := Nodes(t.Context(), path)
	for _, n := range nodes {
		got = append(got, n.Node+" "+n.Role)
	}
	if diff := cmp.Diff([]string{"w2 ", "w3 worker"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	counts, err := s.Counts(t.Context())
	if diff := cmp.Diff(map[string]map[State]int{"w2": {Pending: 1}, "w3": {Pending: 1}}, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if n := len(mustQuery(t, path, Filter{})); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestFlush_EndsWithItsContextAndWithTheStore(t *testing.T) {
	s := mustOpen(t, newPath(t))
	proceed := make(chan struct{})
	var once sync.Once
	s.Set("busy", func(func(Row) bool) { once.Do(func() { <-proceed }) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(proceed)
	mustClose(t, s)
	s.Set("late", nil)
	if err := s.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Counts(t.Context()); err == nil {
		t.Error("counted in a closed store")
	}
}

func TestRun_ClosesWhenItsContextEnds(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path)
	s.Set("w1", picture(Row{File: "f", State: Pending}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(mustQuery(t, path, Filter{})); n != 1 {
		t.Errorf("%d rows, want 1: Close writes what waits", n)
	}
}
