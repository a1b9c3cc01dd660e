package session

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/metrics"
	"testudo/internal/wire"
)

// published is the value of a queue's depth.
func published(m *metrics.Set, queue string) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, rest, found := strings.Cut(w.Body.String(), `testudo_queue_depth{queue="`+queue+`"} `)
	if !found {
		return "nothing"
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// A peer that does not read fills the queue up to its budget; who sends more
// waits. The depth is published, and is 0 when the session has ended.
func TestSend_QueueIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		set := metrics.New("m", "master")
		tab := newTable(t, Config{Metrics: set, Limits: Limits{QueueBytes: 1 << 20}, RequestTimeout: time.Hour}).run()
		const size = 200 << 10 // sealed 273 KiB: the first is in the write, three are in the queue
		var got []<-chan outcome[[]byte]
		for range 10 {
			got = append(got, ask(tab, "x", string(make([]byte, size))))
		}
		synctest.Wait()
		if n := len(tab.out); n > 3 {
			t.Errorf("%d frames of %d bytes in a queue of %d", n, wire.FrameSize(size, true), 1<<20)
		}
		if depth := published(set, "unsent w1"); depth != "10" {
			t.Errorf("depth %s, want 10", depth)
		}
		// The slow peer is not waited for; nobody stays behind.
		if err := tab.end(); !errors.Is(err, ErrSlowPeer) {
			t.Errorf("session: %v", err)
		}
		for _, g := range got {
			if o := <-g; !errors.Is(o.err, ErrClosed) {
				t.Errorf("request: %v, want %v", o.err, ErrClosed)
			}
		}
		if depth := published(set, "unsent w1"); depth != "0" {
			t.Errorf("depth %s at the end", depth)
		}
	})
}

// A keep-alive overtakes what waits, even when the queue is full.
func TestSend_ControlOvertakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{QueueBytes: 1 << 20}}).run()
		for range 10 {
			ask(tab, "bulk", string(make([]byte, memnet.BufferSize)))
		}
		synctest.Wait()
		alive := begin(func() ([]byte, error) { return tab.RequestControl(t.Context(), "echo-m", []byte("keepalive")) })
		synctest.Wait()
		for before := 0; ; before++ {
			f := tab.p.Next()
			if f.Command == "bulk" {
				continue
			}
			if f.Command != "echo-m" || before > 1 {
				t.Errorf("%s after %d bulk frames", f.Command, before)
			}
			tab.p.Send(f.Counter, "ok-c", "keepalive")
			break
		}
		if o := <-alive; o.err != nil {
			t.Error(o.err)
		}
	})
}

// A single frame larger than the budget passes alone.
func TestSend_LargerThanTheBudget(t *testing.T) {
	tab := newTable(t, Config{Limits: Limits{QueueBytes: 1000}}).run()
	got := ask(tab, "x", strings.Repeat("y", 100000))
	if f := tab.p.Reply("x", "ok", "z"); len(f.Payload) != 100000 {
		t.Errorf("%d bytes", len(f.Payload))
	}
	if o := <-got; o.err != nil {
		t.Error(o.err)
	}
}

// A caller whose context outlives the session is not left waiting for room.
func TestSend_RoomWhenTheSessionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{QueueBytes: 1000}}).run()
		first := ask(tab, "x", string(make([]byte, 2*memnet.BufferSize)))
		synctest.Wait()
		second := ask(tab, "x", string(make([]byte, 1000)))
		synctest.Wait()
		tab.Close(nil)
		for _, got := range []<-chan outcome[[]byte]{first, second} {
			if o := <-got; !errors.Is(o.err, ErrClosed) {
				t.Errorf("%v, want %v", o.err, ErrClosed)
			}
		}
	})
}

// A caller that no longer wants to send gives its room back.
func TestSend_RoomWhenTheCallerGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{QueueBytes: 1 << 20}}).run()
		ask(tab, "x", string(make([]byte, 3*memnet.BufferSize)))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tab.Request(ctx, "x", make([]byte, 1<<20)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		tab.p.Reply("x", "ok", "")
		got := ask(tab, "x", string(make([]byte, 1000)))
		tab.p.Reply("x", "ok", "")
		if o := <-got; o.err != nil {
			t.Error(o.err)
		}
		synctest.Wait()
		tab.unsent.mu.Lock()
		defer tab.unsent.mu.Unlock()
		if tab.unsent.n != 0 {
			t.Errorf("%d frames counted as unsent", tab.unsent.n)
		}
	})
}

// Received requests that wait for a slow handler are bounded in number and in
// bytes; the connection then simply is not read.
func TestInbox_IsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		size, most int
		sent       uint32
	}{"small requests": {10, 65, 200}, "large requests": {300 << 10, 4, 12}} {
		inBubble(t, func(t *testing.T) {
			release := make(chan struct{})
			tab := newTable(t, Config{Limits: Limits{QueueBytes: 1 << 20}}).run(handled("slow", release))
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for i := range c.sent {
					b := tab.p.Frame(i, "slow", string(bytes.Repeat([]byte{'x'}, c.size)))
					if _, err := tab.p.Conn.Write(b); err != nil {
						return
					}
				}
			}()
			synctest.Wait()
			if n := len(tab.inbox) + 1; n > c.most {
				t.Errorf("%s: %d requests held, want at most %d", name, n, c.most)
			}
			close(release)
			for i := range c.sent {
				if f := tab.p.Next(); f.Counter != i {
					t.Fatalf("%s: answer %d is that of %d", name, i, f.Counter)
				}
			}
			<-sent
		})
	}
}

// Large answers do not overtake: what overtakes is outside the budget.
func TestAnswer_LargeEchoKeepsToTheBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{QueueBytes: 1 << 20}}).run()
		go func() {
			for i := range uint32(100) {
				if _, err := tab.p.Conn.Write(tab.p.Frame(i, "echo", string(make([]byte, memnet.BufferSize)))); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := len(tab.urgent); n != 0 {
			t.Errorf("%d large answers overtake", n)
		}
		if n := len(tab.out); n > 3 {
			t.Errorf("%d large answers wait", n)
		}
		if err := tab.end(); !errors.Is(err, ErrSlowPeer) {
			t.Errorf("session: %v", err)
		}
	})
}

// Small frames that wait for a slow reader leave together and arrive whole, in
// their order; large ones between them stay apart.
func TestSend_Together(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		tab.peer.Store(&Capabilities{})
		var want []string
		for i := range 200 {
			text := strings.Repeat("x", i)
			switch {
			case i%50 == 3:
				text = string(make([]byte, memnet.BufferSize))
			case i%30 == 5:
				text = string(make([]byte, smallFrame))
			}
			want = append(want, text)
			ask(tab, "x", text)
			synctest.Wait()
		}
		for i, text := range want {
			f := tab.p.Next()
			if string(f.Payload) != text {
				t.Fatalf("frame %d has %d bytes, want %d", i, len(f.Payload), len(text))
			}
			tab.p.Send(f.Counter, "ok", "")
		}
	})
}
