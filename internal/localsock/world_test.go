package localsock

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"testudo/internal/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socketPath is a path that is short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(shortdir.New(t), "c-internal.sock")
}

// serve runs a server of the commands until the test ends.
func serve(t testing.TB, c Commands, change ...func(*Options)) (s *Server, path string) {
	t.Helper()
	o := Options{Path: socketPath(t), UID: -1, GID: -1, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	s = NewServer(o, c)
	ln, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s, o.Path
}

// constant is a command that answers always the same.
func constant(text string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }
}
