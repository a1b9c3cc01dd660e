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

func TestStore_SaysWhoRemovedTheLastAgent(t *testing.T) {
	root, _ := home(t)
	s, _ := start(t, root, Options{Purge: true})
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"nobody yet", func() error { return nil }, false},
		{"an agent", func() error { return s.adds(t, newcomer("web-01", "any")) }, false},
		{"removed", func() error { _, err := s.Remove(t.Context(), "001", true); return err }, true},
		{"another", func() error { return s.adds(t, newcomer("web-02", "any")) }, false},
		{"emptied by somebody else", func() error { return emptied(t, root, s) }, false},
		{"a third", func() error { return s.adds(t, newcomer("web-03", "any")) }, false},
		{"removed after that", func() error { _, err := s.Remove(t.Context(), "003", true); return err }, false},
		{"keys are back", func() error { return refill(t, root, s) }, false},
		{"and removed", func() error { _, err := s.Remove(t.Context(), "001", true); return err }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if s.Emptied() != step.want {
			t.Errorf("%s: %v", step.name, s.Emptied())
		}
	}
}

// emptied has somebody else empty the file, and the store see it.
func emptied(t *testing.T, root *os.Root, s *Store) error {
	t.Helper()
	return errors.Join(root.WriteFile(keysPath, nil, 0o640), s.Refresh(t.Context()))
}

// refill has somebody else put an agent back.
func refill(t *testing.T, root *os.Root, s *Store) error {
	t.Helper()
	return errors.Join(root.WriteFile(keysPath, []byte("001 web-01 any k\n"), 0o640), s.Refresh(t.Context()))
}
