package unixsock

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server that ends with its test.
type running struct {
	*Server
	path string
	stop func() error
}

func start(t testing.TB, limits Limits, handler Handler) *running {
	t.Helper()
	path := filepath.Join(shortdir.New(t), "s")
	ln, err := Listen(path, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, path, ln, NewServer(LengthPrefix(), limits, nil), handler)
}

func serve(t testing.TB, path string, ln *Listener, s *Server, handler Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln, handler) }()
	var result error
	stopped := false
	stop := func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return &running{Server: s, path: path, stop: stop}
}

func echo(_ context.Context, _ *Conn, request []byte) []byte {
	return append([]byte("re: "), request...)
}

func (r *running) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(t.Context(), r.path, LengthPrefix(), Limits{Message: 1 << 20, Reply: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (r *running) check(t testing.TB, c *Client) {
	t.Helper()
	reply, err := c.Call(t.Context(), []byte("hello"))
	if err != nil || string(reply) != "re: hello" {
		t.Fatalf("reply %q, %v", reply, err)
	}
}

// raw is a connection without manners.
func (r *running) raw(t testing.TB) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

func frame(body string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// gone waits until the other end has closed.
func gone(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was not closed")
	}
}
