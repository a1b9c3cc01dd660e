package keystore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"testudo/internal/agent"
)

// home makes a home without keys.
func home(t testing.TB) (*os.Root, string) {
	t.Helper()
	return homeAt(t, t.TempDir())
}

// homeInMemory is home for a test that makes very many, where that is possible.
func homeInMemory(t testing.TB) (*os.Root, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "keystore")
	if err != nil {
		return home(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return homeAt(t, dir)
}

func homeAt(t testing.TB, dir string) (*os.Root, string) {
	t.Helper()
	for _, sub := range []string{"etc", "queue/db", "var/run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// start opens the store of a home and runs it until the test's end or stop.
func start(t testing.TB, root *os.Root, o Options) (s *Store, stop func()) {
	t.Helper()
	if o.Look == 0 {
		o.Look = -1
	}
	s, err := Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	over := false
	stop = func() {
		t.Helper()
		if over {
			return
		}
		over = true
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// newcomer is an addition with a key of its own.
func newcomer(name, address string) Addition {
	return Addition{Entry: Entry{Name: name, Address: address, Secret: agent.NewSecret("key-of-" + name)}}
}

func TestStore_AddFindRemove(t *testing.T) {
	root, _ := home(t)
	s, _ := start(t, root, Options{})
	ctx := t.Context()
	e, err := s.Add(ctx, newcomer("web-01", "any"))
	if err != nil || e.ID != "001" || e.Added.IsZero() {
		t.Fatal(e, err)
	}
	other, err := s.Add(ctx, newcomer("db-01", "10.0.0.0/24"))
	if err != nil || other.ID != "002" {
		t.Fatal(other, err)
	}
	if got, ok := s.ByName("web-01"); !ok || !got.Same(e) {
		t.Error(got, ok)
	}
	if got, ok := s.ByBareAddress("10.0.0.0"); !ok || !got.Same(other) {
		t.Error(got, ok)
	}
	if _, ok := s.ByBareAddress("any"); ok {
		t.Error("found by any")
	}
	if got, err := s.Remove(ctx, "001", false); err != nil || !got.Same(e) {
		t.Error(got, err)
	}
	if _, err := s.Remove(ctx, "001", false); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if s.Len() != 1 {
		t.Error(s.Len())
	}
}
