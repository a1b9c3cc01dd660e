package localsock

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/fault"
)

// full is a socket whose queue of connections is full; the function takes one
// off it.
func full(t *testing.T) (path string, accept func()) {
	t.Helper()
	path = socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	return path, func() {
		conn, _, err := unix.Accept(fd)
		if err != nil {
			t.Error(err)
		}
		_ = unix.Close(conn)
	}
}

// A node that does not keep up with accepting is waited for.
func TestDial_QueueFull(t *testing.T) {
	path, accept := full(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, path, ClientOptions{}); !fault.Has(err, fault.DistributedAPI) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	accept()
	c, err := Dial(t.Context(), path, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestDial_Refused(t *testing.T) {
	dead := socketPath(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	if _, err := Dial(t.Context(), dead, ClientOptions{}); !fault.Has(err, fault.NotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
	file := socketPath(t) + "x"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), file, ClientOptions{}); err == nil {
		t.Error("a file was connected to")
	}
	// A node that starts replaces what a dead one has left.
	s := NewServer(Options{Path: dead, UID: -1, GID: -1}, Commands{})
	listener, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(); err == nil {
		t.Error("two nodes listen")
	}
	_ = listener.Close()
}
