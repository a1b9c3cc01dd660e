package keystore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// While another program holds the lock nothing is read or written; when the store
// ends meanwhile, nothing was done.
func TestAdd_WaitsForTheLock(t *testing.T) {
	root, dir := home(t)
	s, err := Open(root, Options{Look: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	release, err := s.o.lock(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	first, second := &op{}, &op{}
	outcome := make(chan error)
	submit := func(o *op, name string) {
		a := newcomer(name, "any")
		o.add = &a
		go func() {
			_, err := s.submit(t.Context(), o)
			outcome <- err
		}()
		for o.state.Load() != opStarted {
			runtime.Gosched()
		}
	}
	submit(first, "a")
	// What the other program writes before it lets go counts.
	write(t, dir, keysPath, "005 other any k\n")
	release()
	if err := <-outcome; err != nil || first.result.ID != "006" {
		t.Error(first.result, err)
	}

	if release, err = s.o.lock(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	submit(second, "b")
	cancel()
	if err := <-outcome; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	holds(t, dir, keysPath, "005 other any k\n"+text(first.result))
}

func TestOwnerOfWhatIsMade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	root, dir := home(t)
	s, stop := start(t, root, Options{UID: 1234, GID: 2345})
	e := mustAdd(t, s, newcomer("a", "any"))
	if _, err := s.Remove(t.Context(), e.ID, false); err != nil {
		t.Fatal(err)
	}
	stop()
	for _, name := range []string{keysPath, timestampsPath, markPath, lockPath, openPath} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if o := info.Sys().(*syscall.Stat_t); o.Uid != 1234 || o.Gid != 2345 || info.Mode() != newMode {
			t.Errorf("%s belongs to %d:%d, mode %v", name, o.Uid, o.Gid, info.Mode())
		}
	}
}
