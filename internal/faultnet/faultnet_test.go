package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wrapped gives a wrapped end, its plain peer, and what rules it.
func wrapped(t *testing.T) (*Conn, *memnet.Conn, *Control) {
	t.Helper()
	control := New()
	near, far := memnet.Pipe()
	t.Cleanup(func() {
		control.Close()
		far.Close()
	})
	return control.Conn(near), far, control
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(text), err)
	}
}

// read reads what is there, and demands that it is this.
func read(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got, err, want)
	}
}

func readError(t *testing.T, r io.Reader, want error) {
	t.Helper()
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes and %v, want %v", n, err, want)
	}
}

func writeError(t *testing.T, w io.Writer, text string, count int, want error) {
	t.Helper()
	if n, err := io.WriteString(w, text); n != count || !errors.Is(err, want) {
		t.Fatalf("wrote %d bytes and %v, want %d and %v", n, err, count, want)
	}
}

func TestConn_WithoutFaults(t *testing.T) {
	c, peer, control := wrapped(t)
	write(t, c, "ping")
	read(t, peer, "ping")
	write(t, peer, "pong")
	read(t, c, "pong")
	if c.Passed(Read) != 4 || c.Passed(Write) != 4 {
		t.Errorf("passed %d and %d", c.Passed(Read), c.Passed(Write))
	}
	if c.LocalAddr() != peer.RemoteAddr() || c.RemoteAddr() != peer.LocalAddr() {
		t.Error("addresses differ")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	readError(t, peer, io.EOF)
	readError(t, c, net.ErrClosed)
	writeError(t, c, "x", 0, net.ErrClosed)
	if err := errors.Join(c.Close()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if err := c.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("deadline after close: %v", err)
	}
	if n := len(control.Conns()); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

func TestConn_Cut(t *testing.T) {
	t.Run("write", func(t *testing.T) {
		c, peer, _ := wrapped(t)
		c.Inject(Cut(Write, 3))
		writeError(t, c, "hello", 3, syscall.ECONNRESET)
		read(t, peer, "hel")
		readError(t, peer, io.EOF)
		readError(t, c, syscall.ECONNRESET)
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Run("read", func(t *testing.T) {
		c, peer, _ := wrapped(t)
		c.Inject(Cut(Read, 3))
		write(t, peer, "hello")
		read(t, c, "hel")
		readError(t, c, syscall.ECONNRESET)
		readError(t, peer, io.EOF)
	})
	t.Run("at once, while both wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _, _ := wrapped(t)
			failed := make(chan error, 2)
			go func() { _, err := c.Read(make([]byte, 1)); failed <- err }()
			go func() { _, err := c.Write(make([]byte, 2*memnet.BufferSize)); failed <- err }()
			synctest.Wait()
			c.Inject(Cut(Read, 0))
			for range 2 {
				if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("got %v", err)
				}
			}
		})
	})
	t.Run("counted from the injection", func(t *testing.T) {
		c, peer, _ := wrapped(t)
		write(t, c, "12345")
		c.Inject(Cut(Write, 2))
		writeError(t, c, "6789", 2, syscall.ECONNRESET)
		read(t, peer, "1234567")
	})
}

func TestConn_Reset(t *testing.T) {
	c, peer, _ := wrapped(t)
	c.Inject(Reset(Write, 2))
	writeError(t, c, "hello", 2, syscall.ECONNRESET)
	readError(t, peer, syscall.ECONNRESET)
}

func TestConn_Corrupt(t *testing.T) {
	c, peer, _ := wrapped(t)
	c.Inject(Corrupt(Write, 1, 0x20), Corrupt(Write, 6, 0x20), Corrupt(Read, 0, 0), Cut(Write, 8))
	text := []byte("abcd")
	for range 2 {
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if string(text) != "abcd" {
		t.Error("the caller's buffer was changed")
	}
	read(t, peer, "aBcdabCd")
	readError(t, peer, io.EOF)

	c, peer, _ = wrapped(t)
	c.Inject(Corrupt(Read, 1, 0), Cut(Read, 1))
	write(t, peer, "ab")
	read(t, c, "a")
	readError(t, c, syscall.ECONNRESET)
}

func TestConn_Delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := wrapped(t)
		start := time.Now()
		c.Inject(Delay(Write, 2, time.Second), Delay(Write, 4, 0), Delay(Read, 0, time.Minute))
		write(t, c, "123456")
		if took := time.Since(start); took != time.Second {
			t.Errorf("writing took %v", took)
		}
		write(t, peer, "x")
		read(t, c, "x")
		if took := time.Since(start); took != time.Second+time.Minute {
			t.Errorf("with reading it took %v", took)
		}
		write(t, peer, "y")
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(start); took != 2*time.Second+time.Minute {
			t.Errorf("a close did not end the delay: %v", took)
		}
	})
}

func TestConn_HalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, control := wrapped(t)
		c.Inject(HalfOpen(Write, 3))
		write(t, c, "hello") // taken, but only three bytes travel
		write(t, c, strings.Repeat("x", 2*memnet.BufferSize))
		read(t, peer, "hel")
		write(t, peer, "lost")

		start := time.Now()
		_ = c.SetReadDeadline(start.Add(time.Minute))
		readError(t, c, os.ErrDeadlineExceeded)
		_ = c.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { _ = c.SetReadDeadline(time.Now()) })
		readError(t, c, os.ErrDeadlineExceeded)
		if took := time.Since(start); took != time.Minute+time.Hour {
			t.Errorf("the two reads took %v", took)
		}
		_ = c.SetWriteDeadline(time.Now())
		writeError(t, c, "x", 0, os.ErrDeadlineExceeded)

		_ = c.SetDeadline(time.Time{})
		c.Inject(Cut(Write, 0)) // the peer cannot be told
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		readError(t, c, net.ErrClosed)
		_ = peer.SetReadDeadline(time.Now().Add(time.Hour))
		readError(t, peer, os.ErrDeadlineExceeded)
		control.Close()
		readError(t, peer, os.ErrDeadlineExceeded)
		_ = peer.SetReadDeadline(time.Time{})
		readError(t, peer, io.EOF)
	})
}

func TestConn_HalfOpenWhileBothWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := wrapped(t)
		wrote := make(chan error, 1)
		done := make(chan struct{})
		go func() { _, err := c.Write(make([]byte, 2*memnet.BufferSize)); wrote <- err }()
		go func() { readError(t, c, net.ErrClosed); close(done) }()
		synctest.Wait()
		c.Inject(HalfOpen(Read, 0))
		if err := <-wrote; err != nil {
			t.Errorf("write: %v", err)
		}
		write(t, peer, "x")
		synctest.Wait()
		c.Close()
		<-done
	})
}

func network(t *testing.T, control *Control) (DialFunc, net.Listener) {
	t.Helper()
	mem := memnet.New()
	l, err := mem.Listen("m:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return control.Dialer(mem.Host("w").DialContext), l
}

func TestControl_ScriptGivesEachConnectionItsFaults(t *testing.T) {
	control := New()
	defer control.Close()
	control.Script(func(n int) []Fault {
		if n == 1 {
			return []Fault{Cut(Write, int64(n))}
		}
		return nil
	})
	dial, _ := network(t, control)
	var conns []net.Conn
	for range 3 {
		c, err := dial(t.Context(), "tcp", "m:1")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	write(t, conns[0], "hello")
	writeError(t, conns[1], "hello", 1, syscall.ECONNRESET)
	write(t, conns[2], "hello")
	if n := len(control.Conns()); n != 3 {
		t.Errorf("%d connections", n)
	}
	control.Inject(Reset(Write, 0))
	writeError(t, conns[2], "x", 0, syscall.ECONNRESET)
}

func TestControl_Refuse(t *testing.T) {
	control := New()
	defer control.Close()
	dial, l := network(t, control)
	control.Refuse(true)
	if _, err := dial(t.Context(), "tcp", "m:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	control.Refuse(false)
	c, err := dial(t.Context(), "tcp", "m:1")
	if err != nil {
		t.Fatal(err)
	}
	// The side that listens refuses.
	master := New()
	defer master.Close()
	master.Refuse(true)
	ended := make(chan error)
	go func() {
		_, err := master.Listener(l).Accept()
		ended <- err
	}()
	readError(t, c, syscall.ECONNRESET)
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if _, err := dial(t.Context(), "tcp", "m:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial a closed listener: %v", err)
	}
}

func TestControl_Partition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := New()
		defer control.Close()
		dial, inner := network(t, control)
		l := control.Listener(inner)
		old, err := dial(t.Context(), "tcp", "m:1")
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		control.Partition(true)
		write(t, old, "x")
		_ = accepted.SetReadDeadline(time.Now().Add(time.Hour))
		readError(t, accepted, os.ErrDeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := dial(ctx, "tcp", "m:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		control.Partition(false)
		again, err := dial(t.Context(), "tcp", "m:1")
		if err != nil {
			t.Fatal(err)
		}
		write(t, again, "y")
		fresh, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		read(t, fresh, "y")
		write(t, old, "still swallowed")
	})
}

// Over real sockets the faults are the same.
func TestConn_OverTCP(t *testing.T) {
	control := New()
	defer control.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no loopback network here")
	}
	l := control.Listener(inner)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := conn.(*Conn)
	c.Inject(Corrupt(Write, 0, 0x20), HalfOpen(Write, 4))
	write(t, c, "Hello")
	read(t, peer, "hell")
	write(t, peer, "x")
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	readError(t, c, os.ErrDeadlineExceeded)
	c.Close()
	_ = peer.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	readError(t, peer, os.ErrDeadlineExceeded)
}
