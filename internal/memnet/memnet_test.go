package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestNetwork_DialAndAccept(t *testing.T) {
	tests := []struct{ name, listen, dial, from string }{
		{"IPv4", "10.0.0.1:1516", "10.0.0.1:1516", "10.0.0.2"},
		{"IPv6", "[fd00::1]:1516", "[fd00::1]:1516", "fd00::2"},
		{"name", "master:1516", "master:1516", "w1"},
		{"all hosts", "0.0.0.0:1516", "10.0.0.9:1516", "w1"},
		{"all hosts, IPv6", "[::]:1516", "[fd00::9]:1516", "w1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			n := New()
			l := must(n.Listen(tc.listen))(t)
			defer l.Close()
			client := must(n.Host(tc.from).DialContext(t.Context(), "tcp", tc.dial))(t)
			defer client.Close()
			server := must(l.Accept())(t)
			defer server.Close()
			if l.Addr().String() != tc.listen || client.RemoteAddr().String() != tc.dial {
				t.Errorf("listens on %v, connected to %v", l.Addr(), client.RemoteAddr())
			}
			host, _, err := net.SplitHostPort(server.RemoteAddr().String())
			if err != nil || host != tc.from {
				t.Errorf("connection from %v (%v), want %s", server.RemoteAddr(), err, tc.from)
			}
			if server.RemoteAddr() != client.LocalAddr() || server.LocalAddr() != client.RemoteAddr() {
				t.Error("the two ends name different addresses")
			}
			must(client.Write([]byte("ping")))(t)
			got := make([]byte, 10)
			if k := must(server.Read(got))(t); string(got[:k]) != "ping" {
				t.Errorf("read %q", got[:k])
			}
		})
	}
}

func TestNetwork_Refusals(t *testing.T) {
	n := New()
	h := n.Host("m")
	l := must(h.Listen("tcp", ":1516"))(t)
	if _, err := n.Listen("m:1516"); !errors.Is(err, ErrInUse) {
		t.Errorf("second listener: %v", err)
	}
	if _, err := n.Dial(t.Context(), "m:1517"); !IsRefused(err) {
		t.Errorf("nobody listens: %v", err)
	}
	for _, address := range []string{"m", "m:x", "m:70000"} {
		if _, err := n.Dial(t.Context(), address); err == nil || IsRefused(err) {
			t.Errorf("dial %q: %v", address, err)
		}
		if _, err := n.Listen(address); err == nil {
			t.Errorf("listen %q: no error", address)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Dial(ended, "m:1516"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if _, err := n.Dial(t.Context(), "m:1516"); !IsRefused(err) {
		t.Errorf("dial after close: %v", err)
	}
	l = must(n.Listen("m:1516"))(t) // the address is free again
	l.Close()
	if got := n.String(); got != "network in memory with 0 listeners" {
		t.Error(got)
	}
}

func TestNetwork_FreePorts(t *testing.T) {
	n := New()
	a, b := must(n.Listen("m:0"))(t), must(n.Listen("m:0"))(t)
	defer a.Close()
	defer b.Close()
	if a.Addr() == b.Addr() || strings.HasSuffix(a.Addr().String(), ":0") {
		t.Errorf("got %v and %v", a.Addr(), b.Addr())
	}
	n.lastPort = 65535
	if p := n.freePortLocked(); p != firstPort {
		t.Errorf("port %d", p)
	}
}

func TestListener_BacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l := must(n.Listen("m:1"))(t)
		var conns []net.Conn
		for range backlog {
			conns = append(conns, must(n.Dial(t.Context(), "m:1"))(t))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.Dial(ctx, "m:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one too many: %v", err)
		}
		late := make(chan error)
		go func() {
			_, err := n.Dial(t.Context(), "m:1")
			late <- err
		}()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-late; err != nil && !IsRefused(err) {
			t.Errorf("dial while the listener closes: %v", err)
		}
		for _, c := range conns {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("read on a connection that was never accepted: %v", err)
			}
			c.Close()
		}
	})
}

func TestConn_WriteWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		must(a.Write(make([]byte, BufferSize)))(t)
		done := make(chan struct{})
		go func() {
			must(a.Write([]byte("more")))(t)
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("the buffer is larger than it says")
		default:
		}
		must(io.ReadFull(b, make([]byte, BufferSize)))(t)
		<-done
		got := make([]byte, 9)
		if k := must(b.Read(got))(t); string(got[:k]) != "more" {
			t.Errorf("read %q", got[:k])
		}
	})
}

func TestConn_Deadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		expect := func(what string, wait time.Duration, do func() (int, error)) {
			t.Helper()
			start := time.Now()
			n, err := do()
			var timeout net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s: %d, %v", what, n, err)
			}
			if took := time.Since(start); took != wait {
				t.Errorf("%s took %v, want %v", what, took, wait)
			}
		}
		one := make([]byte, 1)
		_ = a.SetReadDeadline(time.Now().Add(time.Minute))
		expect("read", time.Minute, func() (int, error) { return a.Read(one) })
		expect("read again", 0, func() (int, error) { return a.Read(one) })
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		expect("write", time.Second, func() (int, error) { return a.Write(make([]byte, BufferSize+1)) })
		expect("write again", 0, func() (int, error) { return a.Write(one) })

		// A deadline moved while a read waits counts at once.
		_ = a.SetDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { _ = a.SetReadDeadline(time.Now()) })
		expect("read cut short", time.Hour, func() (int, error) { return a.Read(one) })
		_ = a.SetReadDeadline(time.Now().Add(time.Second))
		time.AfterFunc(time.Millisecond, func() { _ = a.SetReadDeadline(time.Now().Add(time.Minute)) })
		expect("read drawn out", time.Minute+time.Millisecond, func() (int, error) { return a.Read(one) })

		_ = a.SetReadDeadline(time.Time{})
		must(b.Write(one))(t)
		must(a.Read(one))(t)
	})
}

func TestConn_Ends(t *testing.T) {
	one := make([]byte, 1)
	t.Run("close", func(t *testing.T) {
		a, b := Pipe()
		must(a.Write([]byte("x")))(t)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		must(b.Read(one))(t)
		if _, err := b.Read(one); !errors.Is(err, io.EOF) {
			t.Errorf("read behind the end: %v", err)
		}
		if _, err := b.Write(one); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed end: %v", err)
		}
		for _, err := range []error{a.Close(), a.CloseWrite(), a.SetDeadline(time.Now()), second(a.Read(one)), second(a.Write(one))} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("use after close: %v", err)
			}
		}
		b.Close()
	})
	t.Run("half", func(t *testing.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		if err := a.CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := b.Read(one); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v", err)
		}
		must(b.Write([]byte("y")))(t)
		must(a.Read(one))(t)
		if _, err := a.Write(one); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		a, b := Pipe()
		must(a.Write([]byte("x")))(t)
		_ = a.SetLinger(0)
		a.Close()
		if _, err := b.Read(one); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := b.Write(one); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
		b.Close()
	})
}

func second(_ int, err error) error { return err }

func TestConn_CloseWakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		defer b.Close()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := a.Write(make([]byte, 2*BufferSize)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("write: %v", err)
				}
			})
		}
		synctest.Wait()
		_ = a.SetDeadline(time.Now().Add(time.Hour))
		a.Close()
		wg.Wait()
	})
}

// Two writes at once must not mix, and a writer that waits for the other must
// not stop the clock of the bubble.
func TestConn_WritesDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		var wg sync.WaitGroup
		const size = BufferSize * 3 / 2
		for i := range 4 {
			wg.Go(func() { must(a.Write(bytes.Repeat([]byte{byte('a' + i)}, size)))(t) })
		}
		time.Sleep(time.Second)
		for range 4 {
			got := make([]byte, size)
			must(io.ReadFull(b, got))(t)
			if bytes.Count(got, got[:1]) != size {
				t.Error("two writes are mixed")
			}
		}
		wg.Wait()
		a.Close()
		b.Close()
	})
}

func TestConn_StreamIsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring
		var want []byte
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				p := bytes.Repeat([]byte{byte(len(want))}, rapid.IntRange(0, 100_000).Draw(t, "size"))
				k := r.put(p)
				want = append(want, p[:k]...)
				if k < len(p) && r.n != BufferSize {
					t.Fatalf("took %d of %d bytes with %d in the buffer", k, len(p), r.n)
				}
			} else {
				p := make([]byte, rapid.IntRange(0, 100_000).Draw(t, "size"))
				k := r.take(p)
				if !bytes.Equal(p[:k], want[:k]) || k != min(len(p), len(want)) {
					t.Fatalf("took %d wrong bytes", k)
				}
				want = want[k:]
			}
			if r.n != len(want) || len(r.data) > BufferSize {
				t.Fatalf("%d bytes in %d, want %d", r.n, len(r.data), len(want))
			}
		}
	})
}
