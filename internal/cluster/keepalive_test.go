package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
	"testudo/internal/peertest"
	"testudo/internal/session"
)

// fakeMaster is a listener that a test answers by hand.
type fakeMaster struct {
	t       *testing.T
	arrived chan *peertest.Peer
}

// newFakeMaster listens where workers of the test look for their master.
func newFakeMaster(t *testing.T, w *world) *fakeMaster {
	t.Helper()
	m := &fakeMaster{t: t, arrived: make(chan *peertest.Peer, 100)}
	listener, err := w.network.Host("10.0.0.1").Listen("tcp", ":1516")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.arrived <- peertest.New(t, conn)
		}
	}()
	return m
}

// welcome accepts a worker as a 4.7.5 master does.
func (m *fakeMaster) welcome() *peertest.Peer {
	m.t.Helper()
	g := <-m.arrived
	g.Reply("hello", "ok", "Client w1 added")
	g.Reply("testudo", "err", "unknown command 'b'testudo''")
	return g
}

// A world without a master of ours.
func newWorldOf(t *testing.T) *world {
	w := newWorld(t, nil)
	w.stop()
	<-w.served
	w.served <- nil
	return w
}

// The master closes whom it has not heard of for long, and only them.
func TestKeepAlive_MasterClosesSilentWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) { c.CheckEvery, c.MaxSilence = time.Minute, 2*time.Minute })
		silent, talks, other := w.join("silent"), w.join("talks"), w.join("other")
		began := time.Now()
		go func() {
			for talks.Try(1, "echo-c", "keepalive") == nil && other.Try(1, "ok", "anything at all counts") == nil {
				time.Sleep(time.Minute)
			}
		}()
		silent.WantClosed()
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("closed after %v, want 3m", took)
		}
		time.Sleep(10 * time.Minute)
		if w.names() != "talks other" {
			t.Errorf("members %q", w.names())
		}
		w.lines.Want(t, "No keep alives have been received from silent in the last minute. Disconnecting", "Disconnected silent.")
		talks.Close()
		other.Close()
		time.Sleep(2 * time.Minute)
	})
}

// A half-open worker goes, too: there is nobody to tell.
func TestKeepAlive_HalfOpenWorker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		faults := faultnet.New()
		defer faults.Close()
		settle(t, faults.Dialer(w.network.Host("10.0.0.2").DialContext), "w1", nil)
		time.Sleep(time.Minute)
		if w.names() != "w1" {
			t.Fatalf("members %q", w.names())
		}
		faults.Partition(true)
		time.Sleep(3*time.Minute + time.Second)
		if w.names() != "" {
			t.Errorf("members %q", w.names())
		}
	})
}

func TestKeepAlive_WorkerAsksEachMinute(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorldOf(t)
		master := newFakeMaster(t, w)
		worker := w.settle("w1", nil)
		g := master.welcome()
		for range 3 {
			began := time.Now()
			if f := g.Reply("echo-c", "ok-m", "keepalive"); string(f.Payload) != "keepalive" || time.Since(began) != time.Minute {
				t.Errorf("%q after %v", f.Payload, time.Since(began))
			}
		}
		worker.lines.Want(t, "Successful response from master: keepalive")
		if name, text := g.Ask("echo-m", "are you there?"); name != "ok-c" || text != "are you there?" {
			t.Errorf("answer %s %q", name, text)
		}
	})
}

func TestKeepAlive_WorkerClosesAfterFailures(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(g *peertest.Peer, counter uint32) // to a keep-alive
		after  time.Duration                          // from the welcome
	}{
		"no answer": {func(*peertest.Peer, uint32) {}, time.Minute + 2*20*time.Second},
		"refused":   {func(g *peertest.Peer, counter uint32) { g.Send(counter, "err", "no") }, time.Minute},
	} {
		inBubble(t, func(t *testing.T) {
			w := newWorldOf(t)
			master := newFakeMaster(t, w)
			worker := w.settle("w1", nil)
			g := master.welcome()
			began, asked := time.Now(), 0
			for f, err := g.Dec.Next(); err == nil; f, err = g.Dec.Next() {
				asked++
				c.answer(g, f.Counter)
			}
			if took := time.Since(began); asked != 2 || took != c.after {
				t.Errorf("%s: closed after %d keep-alives and %v, want 2 and %v", name, asked, took, c.after)
			}
			synctest.Wait()
			worker.lines.Want(t, "Error sending keep alive: ", "Maximum number of failed keep alives reached. Disconnecting.", "The master closed the connection")
			if !worker.Connected().IsZero() {
				t.Errorf("%s: still connected", name)
			}
			master.welcome() // it comes back
		})
	}
}

// One failure in between is forgiven.
func TestKeepAlive_OneFailureIsForgiven(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorldOf(t)
		master := newFakeMaster(t, w)
		w.settle("w1", nil)
		g := master.welcome()
		for range 5 {
			g.Reply("echo-c", "err", "busy")
			g.Reply("echo-c", "ok-m", "keepalive")
		}
	})
}

// Keep-alives go on while a large transfer fills the connection.
func TestKeepAlive_OvertakesATransfer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bulk := exchangeFunc(func(s *session.Session, _ *session.Mux) func(context.Context) {
			return func(ctx context.Context) {
				for ctx.Err() == nil {
					_, _ = s.Request(ctx, "bulk", make([]byte, 200<<10))
				}
			}
		})
		w := newWorldOf(t)
		master := newFakeMaster(t, w)
		worker := w.settle("w1", func(c *WorkerConfig) { c.Session.RequestTimeout = time.Hour }, bulk, bulk, bulk, bulk)
		g := master.welcome()
		behind, asked := 0, 0
		for asked < 3 {
			f := g.Next()
			if f.Command == "echo-c" {
				asked++
				behind = 0
				g.Send(f.Counter, "ok-m", "keepalive")
				continue
			}
			if behind++; asked > 0 && behind > 200 {
				t.Fatalf("%d bulk requests without a keep-alive", behind)
			}
			time.Sleep(time.Second) // a slow master
			g.Send(f.Counter, "ok", "")
		}
		if n := worker.lines.Count("Error sending keep alive"); n != 0 {
			t.Errorf("%d keep-alives failed", n)
		}
	})
}
