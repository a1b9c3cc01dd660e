package unixsock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// awaitSilent waits until so many connections are silent, as the server sees it.
func (r *running) awaitSilent(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		have := 0
		r.each(func(c *Conn) {
			if _, ok := c.silentSince(); ok {
				have++
			}
		})
		if have == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d connections are silent, want %d", have, want)
		}
	}
}

// taken connects and says nothing; the server has it when this returns.
func (r *running) taken(t *testing.T) *net.UnixConn {
	t.Helper()
	c := r.raw(t)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(frame("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4+len("re: x"))); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServer_SilentOnesMakeRoom(t *testing.T) {
	const limit, comers = 8, 40
	s := start(t, Limits{Connections: limit, Silent: time.Nanosecond}, echo)
	var held []*net.UnixConn
	for i := range limit + comers {
		held = append(held, s.taken(t))
		s.awaitSilent(t, min(i+1, limit))
		if open := s.Stats().Open; open > limit {
			t.Fatalf("%d connections are open, limit %d", open, limit)
		}
	}
	// The oldest are gone, each in its turn.
	for _, c := range held[:comers] {
		gone(t, c)
	}
	if got := s.Stats(); got.Evicted != comers || got.Refused != 0 || got.Open != limit {
		t.Errorf("%+v", got)
	}
}

func TestServer_WhoHasJustSpokenStays(t *testing.T) {
	s := start(t, Limits{Connections: 2}, echo)
	a, b := s.dial(t), s.dial(t)
	s.check(t, a)
	s.check(t, b)
	s.awaitSilent(t, 2)
	gone(t, s.raw(t))
	s.check(t, a)
	s.check(t, b)
	s.awaitSilent(t, 2)
	// Silent for less than the limit, and for as long as it.
	now := time.Now()
	if c := s.mostSilent(now.Add(9 * time.Second)); c != nil {
		t.Errorf("connection %d may be closed too soon", c.Number())
	}
	if c := s.mostSilent(now.Add(10 * time.Second)); c == nil || c.Number() != 1 {
		t.Errorf("connection %+v is the one silent longest", c)
	}
}

func TestServer_WhoIsServedStays(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, Limits{Connections: 2, Silent: time.Nanosecond}, func(_ context.Context, _ *Conn, request []byte) []byte {
		if string(request) == "long" {
			close(entered)
			<-leave
		}
		return append([]byte("re: "), request...)
	})
	c := s.dial(t)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), []byte("long"))
		answered <- err
	}()
	<-entered
	coming := s.raw(t) // half of a message
	if _, err := coming.Write(frame("abc")[:5]); err != nil {
		t.Fatal(err)
	}
	s.awaitOpen(t, 2)
	s.awaitSilent(t, 0)
	gone(t, s.raw(t))
	close(leave)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if _, err := coming.Write(frame("abc")[5:]); err != nil {
		t.Error(err)
	}
	_ = coming.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(coming, make([]byte, 4+len("re: abc"))); err != nil {
		t.Error(err)
	}
	if got := s.Stats(); got.Evicted != 0 || got.Refused != 1 {
		t.Errorf("%+v", got)
	}
}

// awaitOpen waits until so many connections are taken.
func (r *running) awaitOpen(t *testing.T, want int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for r.Stats().Open != want {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d connections are open, want %d", r.Stats().Open, want)
		}
	}
}

// A client whose connection was closed for another's knows that its next request
// did not arrive, and may send it again.
func TestClient_KnowsThatItMadeRoom(t *testing.T) {
	s := start(t, Limits{Connections: 1, Silent: time.Nanosecond}, echo)
	c := s.dial(t)
	s.check(t, c)
	s.awaitSilent(t, 1)
	s.taken(t)
	_, err := c.Call(t.Context(), []byte("x"))
	if _, ok := errors.AsType[*UnsentError](err); !ok || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
