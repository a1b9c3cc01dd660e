package unixsock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/shortdir"
)

func TestServer_AnswersInTheOrderOfRequests(t *testing.T) {
	s := start(t, Limits{}, echo)
	c := s.raw(t)
	var all []byte
	for i := range 50 {
		all = append(all, frame(fmt.Sprint(i))...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	r := &reader{src: c, framing: LengthPrefix(), limit: 100, keep: 100}
	for i := range 50 {
		reply, err := r.next(func() {})
		if want := fmt.Sprintf("re: %d", i); err != nil || string(reply) != want {
			t.Fatalf("reply %q, %v; want %q", reply, err, want)
		}
	}
}

func TestServer_OneByteAtATime(t *testing.T) {
	s := start(t, Limits{}, echo)
	c := s.raw(t)
	for _, b := range frame("slow") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 12)
	if _, err := io.ReadFull(c, got); err != nil || string(got[4:]) != "re: slow" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestServer_ClosesHostileConnections(t *testing.T) {
	for name, c := range map[string]struct {
		limits  Limits
		send    []byte
		hangup  bool // the client ends its side
		counted func(Stats) int64
	}{
		"one byte too long":  {Limits{Message: 10}, frame("12345678901"), false, func(s Stats) int64 { return s.TooLong }},
		"four gigabytes":     {Limits{}, []byte{255, 255, 255, 255}, false, func(s Stats) int64 { return s.TooLong }},
		"cut in the header":  {Limits{}, []byte{4, 0}, true, func(s Stats) int64 { return s.Cut }},
		"cut in the message": {Limits{}, frame("abcdef")[:7], true, func(s Stats) int64 { return s.Cut }},
		"slow":               {Limits{Read: 20 * time.Millisecond}, frame("abcdef")[:7], false, func(s Stats) int64 { return s.Slow }},
		"slow header":        {Limits{Read: 20 * time.Millisecond}, []byte{1}, false, func(s Stats) int64 { return s.Slow }},
		"silent":             {Limits{Idle: 20 * time.Millisecond}, nil, false, func(s Stats) int64 { return s.Idle }},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.limits, echo)
			bad := s.raw(t)
			if _, err := bad.Write(c.send); err != nil {
				t.Fatal(err)
			}
			if c.hangup {
				if err := bad.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			gone(t, bad)
			s.check(t, s.dial(t)) // the next one is not disturbed
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if got := c.counted(s.Stats()); got != 1 {
				t.Errorf("counted %d times, want once: %+v", got, s.Stats())
			}
			if open := s.Stats().Open; open != 0 {
				t.Errorf("%d connections open", open)
			}
		})
	}
}

func TestServer_LongestMessagesPass(t *testing.T) {
	s := start(t, Limits{Message: 100_000, Reply: 100_004}, echo)
	reply, err := s.dial(t).Call(t.Context(), bytes.Repeat([]byte("x"), 100_000))
	if err != nil || len(reply) != 100_004 {
		t.Fatalf("%d bytes, %v", len(reply), err)
	}
}

func TestServer_ReplyBeyondItsLimitEndsTheConnection(t *testing.T) {
	s := start(t, Limits{Reply: 8}, echo)
	_, err := s.dial(t).Call(t.Context(), []byte("hello"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
	if err := s.stop(); err != nil || s.Stats().TooLong != 1 {
		t.Fatalf("%v, %+v", err, s.Stats())
	}
}

func TestServer_ClientThatNeverReadsHoldsOnlyItself(t *testing.T) {
	s := start(t, Limits{Message: 1 << 16, Reply: 1 << 17, Write: 50 * time.Millisecond}, echo)
	bad := s.raw(t)
	big := frame(strings.Repeat("x", 1<<16))
	_ = bad.SetWriteDeadline(time.Now().Add(20 * time.Second))
	for {
		if _, err := bad.Write(big); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection was not closed")
			}
			break
		}
	}
	s.check(t, s.dial(t))
	if err := s.stop(); err != nil || s.Stats().Slow != 1 {
		t.Fatalf("%v, %+v", err, s.Stats())
	}
}

func TestServer_ManyConnections(t *testing.T) {
	const limit, tries = 300, 2000
	s := start(t, Limits{Connections: limit}, echo)
	good := s.dial(t)
	s.check(t, good)
	refused := 0
	for range tries {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Taken or closed for sure before the next one comes.
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = c.Write(frame("x"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 9))
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("neither taken nor closed")
		} else if err != nil {
			refused++
		}
	}
	s.check(t, good)
	if got := s.Stats(); got.Refused != int64(refused) || got.Open > limit || refused != tries-limit+1 {
		t.Errorf("refused %d, %+v", refused, got)
	}
}

// That the socket is full is told each time that it has become so.
func TestServer_FullIsToldAgain(t *testing.T) {
	var lines strings.Builder // written by the one who accepts, read when he is gone
	path := filepath.Join(shortdir.New(t), "s")
	ln, err := Listen(path, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan int, 100)
	server := NewServer(LengthPrefix(), Limits{Connections: 2}, slog.New(slog.NewTextHandler(&lines, nil)))
	server.Watch(func(n int) { open <- n })
	s := serve(t, path, ln, server, echo)
	await := func(n int) {
		for n != <-open {
		}
	}
	for range 2 {
		a, b := s.raw(t), s.raw(t)
		await(2)
		gone(t, s.raw(t))
		a.Close()
		b.Close()
		await(0)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := lines.String(); strings.Count(got, "Too many connections") != 2 || strings.Count(got, "Connections are taken again.") != 1 {
		t.Error(got)
	}
}

func TestServer_HangupAfterTheReply(t *testing.T) {
	s := start(t, Limits{}, func(_ context.Context, c *Conn, _ []byte) []byte {
		c.Hangup()
		return []byte("bye")
	})
	c := s.dial(t)
	if reply, err := c.Call(t.Context(), []byte("x")); err != nil || string(reply) != "bye" {
		t.Fatalf("%q, %v", reply, err)
	}
	if _, err := c.Call(t.Context(), []byte("x")); err == nil {
		t.Fatal("the connection went on")
	}
}

func TestServer_NilReplySendsNothing(t *testing.T) {
	s := start(t, Limits{}, func(_ context.Context, _ *Conn, request []byte) []byte {
		if string(request) == "quiet" {
			return nil
		}
		return []byte{}
	})
	c := s.raw(t)
	if _, err := c.Write(append(frame("quiet"), frame("x")...)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || binary.LittleEndian.Uint32(got) != 0 {
		t.Fatalf("%x, %v", got, err)
	}
}

func TestServer_HeadersThatAreTheHandlers(t *testing.T) {
	// A header of two bytes: a tag that comes back, and the length.
	framing := Framing{Header: 2, Size: func(h []byte) uint64 { return uint64(h[1]) }}
	s := start(t, Limits{}, nil)
	s.framing = framing
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(s.path, 0o600, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_ = s.Serve(ctx, ln, func(_ context.Context, _ *Conn, request []byte) []byte {
			return append([]byte{request[0], byte(len(request))}, request...)
		})
	})
	c, err := Dial(t.Context(), s.path, framing, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := c.Call(t.Context(), []byte("\x07\x02ab"))
	if err != nil || string(reply) != "\x07\x04\x07\x02ab" {
		t.Fatalf("%q, %v", reply, err)
	}
	c.Close()
	cancel()
}

func TestServe_StopLetsRequestsEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, Limits{}, func(_ context.Context, _ *Conn, request []byte) []byte {
		close(entered)
		<-leave
		return request
	})
	c := s.dial(t)
	idle := s.raw(t)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), []byte("x"))
		answered <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	gone(t, idle)
	close(leave)
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
}

func TestServe_StopCutsOffWhatTakesTooLong(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, Limits{Grace: 10 * time.Millisecond}, func(ctx context.Context, _ *Conn, _ []byte) []byte {
		close(entered)
		<-ctx.Done()
		return []byte("late")
	})
	c := s.dial(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = c.Call(t.Context(), []byte("x")) })
	<-entered
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestConn_Peer(t *testing.T) {
	who := make(chan Credentials, 1)
	s := start(t, Limits{}, func(ctx context.Context, c *Conn, _ []byte) []byte {
		if ConnOf(ctx) != c {
			t.Error("the request is not known to be of its connection")
		}
		peer, err := c.Peer()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
		who <- peer
		return []byte("ok")
	})
	if _, err := s.dial(t).Call(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := <-who; got.PID != 0 && (got.PID != int32(os.Getpid()) || got.UID != uint32(os.Getuid())) {
		t.Errorf("got %+v", got)
	}
	if ConnOf(t.Context()) != nil {
		t.Error("a connection without a request")
	}
}
