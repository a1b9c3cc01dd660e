package keystore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A program that writes the file itself keeps a store out for the time, and knows
// whether there is one.
func TestLock_BesideAStore(t *testing.T) {
	dir := t.TempDir()
	for _, below := range []string{"etc", "queue/db", "var/run"} {
		if err := os.MkdirAll(filepath.Join(dir, below), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	guard := func() *Guard {
		t.Helper()
		g, err := Lock(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if g := guard(); g.Open {
		t.Error("nobody has the keys open")
	} else {
		g.Release()
	}
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(running) }()
	g := guard()
	if !g.Open {
		t.Error("a store has the keys open")
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Lock(late, root); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v while the lock is held", err)
	}
	if err := os.WriteFile(filepath.Join(dir, keysPath), []byte("005 by-hand any k\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	g.Release()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, ok := s.ByID("005"); !ok || e.Name != "by-hand" {
		t.Errorf("%+v, %v", e, ok)
	}
	stop()
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
	if g := guard(); g.Open {
		t.Error("the store is closed")
	} else {
		g.Release()
	}
}

// A program that root runs before the first start of a node does not keep that
// node, which is another account's, from the locks.
func TestLock_OwnerOfWhatIsMade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	root, dir := home(t)
	if err := os.Chown(filepath.Join(dir, "etc"), 1234, 2345); err != nil {
		t.Fatal(err)
	}
	g, err := Lock(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	g.Release()
	for _, name := range []string{lockPath, openPath} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if o := info.Sys().(*syscall.Stat_t); o.Uid != 1234 || o.Gid != 2345 {
			t.Errorf("%s belongs to %d:%d", name, o.Uid, o.Gid)
		}
	}
}
