package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"testudo/internal/agent"
)

// A crash leaves the file cut off anywhere behind what was there before. Whatever
// was answered is whole; half a line was not answered and goes. A file that was
// closed well and does not end with a line end was edited by hand, and its line
// counts if it is whole.
func TestOpen_CutOffAtEveryByte(t *testing.T) {
	const before = "001 a any aa\n"
	const batch = "002 b any bb\n003 c any cc\n"
	for cut := range len(batch) + 1 {
		for _, crashed := range []bool{false, true} {
			root, dir := home(t)
			write(t, dir, keysPath, before+batch[:cut])
			if crashed {
				died(t, dir, 1)
			}
			s, stop := start(t, root, Options{})
			if _, unclean := s.Unclean(); unclean != crashed {
				t.Errorf("cut at %d: unclean is %v", cut, unclean)
			}
			e := mustAdd(t, s, newcomer("z", "any"))
			whole := batch[:strings.LastIndexByte(batch[:cut], '\n')+1]
			if !crashed && cut > len(whole) {
				whole = batch[:cut] + "\n"
			}
			holds(t, dir, keysPath, before+whole+text(e))
			want := 0
			if _, err := agent.ReadKeys(strings.NewReader(before+whole), agent.KeyLimits{}, func(k agent.Key) { want = int(k.ID) + 1 }); err != nil {
				t.Fatal(err)
			}
			if got := number(e.ID); got != want {
				t.Errorf("cut at %d, crashed %v: id %d, want %d", cut, crashed, got, want)
			}
			stop()
		}
	}
}

// disk makes a small file system for etc, or skips.
func disk(t *testing.T, dir string, kib int) {
	t.Helper()
	if err := unix.Mount("none", filepath.Join(dir, "etc"), "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("no small file system can be mounted here (mount: %v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(filepath.Join(dir, "etc"), unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A full disk costs nothing that was answered: additions fail and leave no half
// line, and all is well when there is space again.
func TestAdd_FullDisk(t *testing.T) {
	root, dir := home(t)
	disk(t, dir, 64)
	write(t, dir, "etc/ballast", strings.Repeat("x", 40<<10))
	s, stop := start(t, root, Options{})
	var answered strings.Builder
	name := 0
	fillUp := func() {
		t.Helper()
		for {
			name++
			e, err := s.Add(t.Context(), newcomer(fmt.Sprintf("agent-%s-%d", strings.Repeat("n", 100), name), "any"))
			if errors.Is(err, unix.ENOSPC) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			answered.WriteString(text(e))
		}
	}
	fillUp()
	fillUp()
	holds(t, dir, keysPath, answered.String())
	holds(t, dir, timestampsPath, stampsOf(s))

	// There is no room for the file twice; an addition in the same batch still fits.
	first, _ := s.ByID("001")
	if _, err := s.Remove(t.Context(), "001", true); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if got, ok := s.ByID("001"); !ok || !got.Same(first) {
		t.Error("the entry is gone, though its line is not")
	}
	holds(t, dir, keysPath, answered.String())
	if err := os.Remove(filepath.Join(dir, "etc/ballast")); err != nil {
		t.Fatal(err)
	}
	e := mustAdd(t, s, newcomer("space", "any"))
	answered.WriteString(text(e))
	holds(t, dir, keysPath, answered.String())
	if _, err := s.Remove(t.Context(), "001", true); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, keysPath, strings.TrimPrefix(answered.String(), text(first)))
	stop()
	if s, _ = start(t, root, Options{}); s.Len() != number(e.ID)-1 {
		t.Error(s.Len())
	}
}

// stampsOf is what agents-timestamp should hold.
func stampsOf(s *Store) string {
	var b []byte
	s.Each(func(e Entry) bool {
		l := newLine(e, live)
		b = timestamp(b, &l)
		return true
	})
	return string(b)
}

// In a batch whose removals find no room for the file again, those that only add
// are done.
func TestCommit_AdditionsBesideAFailedRemoval(t *testing.T) {
	root, dir := home(t)
	disk(t, dir, 64)
	write(t, dir, keysPath, lines(400))
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := newcomer("new", "any")
	replacing := newcomer("agent-000002", "any")
	old, _ := s.ByID("002")
	replacing.Replace = []Entry{old}
	batch := []*op{{add: &add}, {remove: "001"}, {add: &replacing}}
	for _, o := range batch {
		o.done = make(chan struct{})
	}
	s.commit(t.Context(), batch)
	if batch[0].err != nil || !errors.Is(batch[1].err, unix.ENOSPC) || !errors.Is(batch[2].err, unix.ENOSPC) {
		t.Error(batch[0].err, batch[1].err, batch[2].err)
	}
	if _, ok := s.ByName("new"); !ok || s.Len() != 401 {
		t.Error("not added", s.Len())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Another file that takes the place of the one written to does not take the line
// with it.
func TestAppend_FileMovedAway(t *testing.T) {
	root, dir := home(t)
	write(t, dir, keysPath, "001 a any aa\n")
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.file.openEnd(); err != nil {
		t.Fatal(err)
	}
	// What an editor does between our look and our write.
	write(t, dir, "etc/new", "001 a any aa\n002 b any bb\n")
	if err := os.Rename(filepath.Join(dir, "etc/new"), filepath.Join(dir, keysPath)); err != nil {
		t.Fatal(err)
	}
	if err := s.file.append([]byte("002 c any cc\n")); !errors.Is(err, errMoved) {
		t.Fatal(err)
	}
	add := newcomer("c", "any")
	o := &op{add: &add, done: make(chan struct{})}
	s.commit(t.Context(), []*op{o})
	if o.err != nil || o.result.ID != "003" {
		t.Error(o.result, o.err)
	}
	// Repeated on a file that has it already, it is the same entry.
	if p, err := s.try([]*op{o}); err != nil || o.result.ID != "003" || len(p.fresh.lines) != 0 {
		t.Error(o.result, o.err, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSubmit_Bound(t *testing.T) {
	root, _ := home(t)
	s, err := Open(root, Options{Waiting: 3, Look: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan error)
	for n := range 3 {
		go func() {
			_, err := s.Add(ctx, newcomer(fmt.Sprint("a-", n), "any"))
			outcome <- err
		}()
	}
	for len(s.ops) < 3 {
		runtime.Gosched()
	}
	if _, err := s.Add(t.Context(), newcomer("b", "any")); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	cancel()
	for range 3 {
		if err := <-outcome; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Add(t.Context(), newcomer("b", "any")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if s.Len() != 0 {
		t.Error("what was given up was done")
	}
}
