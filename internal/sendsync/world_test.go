package sendsync

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/pairtest"
	"testudo/internal/peertest"
	"testudo/internal/shortdir"
	"testudo/internal/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHome is a home whose path is short enough for sockets.
func newHome(t *testing.T) string {
	t.Helper()
	dir := shortdir.New(t)
	return dir
}

// daemonOf runs a daemon of a home until the test ends; it answers as its
// function says.
func daemonOf(t *testing.T, home, name string, answer func(ctx context.Context, message string) string) {
	t.Helper()
	path := filepath.Join(home, daemons()[name])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := unixsock.Listen(path, 0o600, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	server := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{Message: 1 << 20, Reply: 1 << 20, Grace: time.Millisecond}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		_ = server.Serve(ctx, ln, func(ctx context.Context, _ *unixsock.Conn, message []byte) []byte {
			return []byte(answer(ctx, string(message)))
		})
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// deadDaemon leaves the socket of a daemon that has died.
func deadDaemon(t *testing.T, home, name string) {
	t.Helper()
	path := filepath.Join(home, daemons()[name])
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := unixsock.Listen(path, 0o600, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.UnixListener.Close() // and not ours, which removes the file
}

func echo(_ context.Context, message string) string { return "answer to " + message }

// hang gives a daemon that says when it has got a question, and answers when it
// may.
func hang(got chan<- string, may <-chan struct{}) func(context.Context, string) string {
	return func(ctx context.Context, message string) string {
		got <- message
		select {
		case <-may:
		case <-ctx.Done():
		}
		return "late answer"
	}
}

// worker is a worker's end that is connected to the master.
func worker(t *testing.T, m *Master, name string, change ...func(*WorkerConfig)) (w *Worker, log *peertest.Lines, stop func()) {
	t.Helper()
	log = peertest.NewLines()
	cfg := WorkerConfig{Log: log.Logger()}
	for _, f := range change {
		f(&cfg)
	}
	w = NewWorker(cfg)
	_, _, stop = pairtest.Connect(t, name, true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
	ready(w)
	return w, log, stop
}

// ready waits until the worker's end has taken the session.
func ready(w *Worker) {
	for {
		w.mu.Lock()
		s := w.session
		w.mu.Unlock()
		if s != nil {
			return
		}
		runtime.Gosched()
	}
}

func master(home string, change ...func(*MasterConfig)) (*Master, *peertest.Lines) {
	log := peertest.NewLines()
	cfg := MasterConfig{Home: home, Log: slog.New(log.Logger().Handler())}
	for _, f := range change {
		f(&cfg)
	}
	return NewMaster(cfg), log
}
