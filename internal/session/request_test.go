package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/wire"
)

func ask(tab *table, command, payload string) <-chan outcome[[]byte] {
	return begin(func() ([]byte, error) { return tab.Request(context.Background(), command, []byte(payload)) })
}

// waiting is how many requests of ours are in the table.
func (tab *table) waiting() int {
	tab.calls.mu.Lock()
	defer tab.calls.mu.Unlock()
	return len(tab.calls.open)
}

func TestRequest_Replies(t *testing.T) {
	tab := newTable(t, Config{}).run()
	for _, name := range []string{"ok", "ok-m", "ok-c", "ok ", "ok-m "} {
		got := ask(tab, "syn_i_w_m_p", "x")
		if f := tab.p.Reply("syn_i_w_m_p", name, "True"); string(f.Payload) != "x" {
			t.Errorf("request %q", f.Payload)
		}
		if o := <-got; o.err != nil || string(o.value) != "True" {
			t.Errorf("reply %q: %q, %v", name, o.value, o.err)
		}
	}
}

func TestRequest_ErrorReplies(t *testing.T) {
	tab := newTable(t, Config{}).run()
	for _, c := range []struct {
		payload string
		want    fault.Code
		text    string
	}{
		{string(fault.New(fault.DuplicateName, "w1").JSON()), fault.DuplicateName, "w1"},
		{"unknown command 'b'x''", fault.RemoteText, "unknown command 'b'x''"},
		{"", fault.RemoteText, ""},
		{`{"__wazuh_exception__": {"__class__": "Odd", "__object__": {"code": 1}}}`, fault.RemoteText, "Odd"},
		{strings.Repeat("[", 100000), fault.RemoteText, "[["},
	} {
		got := ask(tab, "x", "")
		tab.p.Reply("x", "err", c.payload)
		var remote *RemoteError
		if o := <-got; !errors.As(o.err, &remote) || remote.Fault.Code != c.want || !strings.Contains(remote.Error(), c.text) {
			t.Errorf("err %.80q: %v, want code %d with %q", c.payload, o.err, c.want, c.text)
		}
	}
}

func TestRequest_TimeoutAndLateReply(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{RequestTimeout: 20 * time.Second}).run()
		began := time.Now()
		got := ask(tab, "syn_i_w_m", "")
		late := tab.p.Expect("syn_i_w_m")
		o := <-got
		if !fault.Has(o.err, fault.RequestTimeout) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v, want 3020 after 20s", o.err, time.Since(began))
		}
		if !strings.Contains(o.err.Error(), "syn_i_w_m") {
			t.Errorf("%v does not name the command", o.err)
		}
		if n := tab.waiting(); n != 0 {
			t.Errorf("%d requests still in the table", n)
		}
		// The late reply is dropped without an answer and harms nothing.
		tab.p.Send(late.Counter, "ok", "late")
		tab.p.Quiet(time.Minute)
		got = ask(tab, "syn_i_w_m", "")
		tab.p.Reply("syn_i_w_m", "ok", "in time")
		if o := <-got; string(o.value) != "in time" {
			t.Errorf("%q, %v", o.value, o.err)
		}
	})
}

// A context that ends earlier than the time-out is the caller's own affair.
func TestRequest_EndsWithItsContext(t *testing.T) {
	tab := newTable(t, Config{}).run()
	ctx, cancel := context.WithCancelCause(t.Context())
	changed := errors.New("changed my mind")
	got := begin(func() ([]byte, error) { return tab.Request(ctx, "x", nil) })
	tab.p.Expect("x")
	cancel(changed)
	if o := <-got; !errors.Is(o.err, changed) {
		t.Errorf("%v, want %v", o.err, changed)
	}
	if n := tab.waiting(); n != 0 {
		t.Errorf("%d requests still in the table", n)
	}
}

// A peer that answers and closes at once has answered.
func TestRequest_ReplyJustBeforeTheEnd(t *testing.T) {
	for i := range 200 {
		tab := newTable(t, Config{}).run()
		got := ask(tab, "hello", "x")
		f := tab.p.Expect("hello")
		tab.p.Send(f.Counter, "err", "no such cluster")
		tab.p.Close()
		var remote *RemoteError
		if o := <-got; !errors.As(o.err, &remote) {
			t.Fatalf("try %d: %v, want the reply", i, o.err)
		}
	}
}

// The reply counts as well when we were about to send more.
func TestRequest_ReplyAndEndWhileSending(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		slow := faultnet.New().Conn(near)
		tab := newTableOver(t, slow, far, Config{}).run()
		got := ask(tab, "hello", "x")
		f := tab.p.Expect("hello")
		slow.Inject(faultnet.Delay(faultnet.Read, 0, time.Second))
		tab.p.Send(f.Counter, "err", "no such cluster")
		tab.p.Close()
		more := ask(tab, "more", "")
		var remote *RemoteError
		if o := <-got; !errors.As(o.err, &remote) {
			t.Errorf("%v, want the reply", o.err)
		}
		if o := <-more; !errors.Is(o.err, ErrClosed) {
			t.Errorf("%v, want %v", o.err, ErrClosed)
		}
		if err := tab.end(); !errors.Is(err, io.EOF) {
			t.Errorf("the cause is %v, want the end of the connection", err)
		}
	})
}

func TestRequest_PeerCloses(t *testing.T) {
	tab := newTable(t, Config{}).run()
	got := ask(tab, "x", "")
	tab.p.Expect("x")
	tab.p.Close()
	if o := <-got; !errors.Is(o.err, ErrClosed) || !errors.Is(o.err, io.EOF) {
		t.Errorf("%v, want %v with its cause", o.err, ErrClosed)
	}
}

func TestRequest_CommandTooLong(t *testing.T) {
	tab := newTable(t, Config{}).run()
	if _, err := tab.Request(t.Context(), "sendsync_err", nil); !errors.Is(err, wire.ErrCommandTooLong) {
		t.Errorf("%v, want %v", err, wire.ErrCommandTooLong)
	}
	if n := tab.waiting(); n != 0 {
		t.Errorf("%d requests in the table", n)
	}
	tab.p.OK("echo", "nothing was sent")
}

// Requests of both sides with the same number do not touch one another.
func TestRequest_SameNumberInBothDirections(t *testing.T) {
	tab := newTable(t, Config{}).run()
	got := ask(tab, "syn_m_c_ok", "")
	ours := tab.p.Expect("syn_m_c_ok")
	tab.p.Send(ours.Counter, "echo", "theirs")
	if f := tab.p.Next(); f.Command != "ok" || f.Counter != ours.Counter || string(f.Payload) != "theirs" {
		t.Errorf("their request: %d %s %q", f.Counter, f.Command, f.Payload)
	}
	tab.p.Send(ours.Counter, "ok", "Thanks")
	if o := <-got; string(o.value) != "Thanks" {
		t.Errorf("our request: %q, %v", o.value, o.err)
	}
}

func TestRequest_ManyAtOnceInAnyOrder(t *testing.T) {
	tab := newTable(t, Config{}).run()
	const n = 50
	var got [n]<-chan outcome[[]byte]
	for i := range got {
		got[i] = ask(tab, "x", fmt.Sprint(i))
	}
	var frames []wire.Frame
	seen := make(map[uint32]bool)
	for range n {
		f := tab.p.Expect("x")
		if seen[f.Counter] {
			t.Errorf("number %d twice", f.Counter)
		}
		seen[f.Counter] = true
		frames = append(frames, f)
	}
	for i := range frames {
		f := frames[n-1-i]
		tab.p.Send(f.Counter, "ok", "re "+string(f.Payload))
	}
	for i := range got {
		if o := <-got[i]; string(o.value) != "re "+fmt.Sprint(i) {
			t.Errorf("request %d: %q, %v", i, o.value, o.err)
		}
	}
}

// After 2^32 requests the numbers come round, past those still open.
func TestCalls_NumbersComeRound(t *testing.T) {
	var c calls
	c.init()
	c.next = 0xfffffffd
	for _, want := range []uint32{0xfffffffe, 0xffffffff, 0, 1} {
		got, err := c.add(nil, "x")
		if err != nil || got.counter != want {
			t.Errorf("number %d, %v, want %d", got.counter, err, want)
		}
	}
	c.next = 0xfffffffd
	c.drop(0)
	if got, _ := c.add(nil, "x"); got.counter != 0 {
		t.Errorf("number %d, want the free one", got.counter)
	}
}

// handled registers a handler that answers with its payload when told to.
func handled(command string, release <-chan struct{}) func(*Mux) {
	return func(m *Mux) {
		m.Handle(command, func(_ context.Context, _ *Session, payload []byte) (Reply, error) {
			<-release
			return OK(string(payload)), nil
		})
	}
}

func TestRequest_HandledInOrderWhileControlOvertakes(t *testing.T) {
	release := make(chan struct{})
	tab := newTable(t, Config{}).run(handled("slow", release), func(m *Mux) {
		m.HandleControl("quick", func(context.Context, *Session, []byte) (Reply, error) { return OK("now"), nil })
	})
	for i := range uint32(5) {
		tab.p.Send(100+i, "slow", fmt.Sprint(i))
	}
	tab.p.Send(200, "quick", "")
	if f := tab.p.Next(); f.Counter != 200 {
		t.Errorf("first answer is that of %d", f.Counter)
	}
	close(release)
	for i := range uint32(5) {
		if f := tab.p.Next(); f.Counter != 100+i || string(f.Payload) != fmt.Sprint(i) {
			t.Errorf("answer %d is that of %d", i, f.Counter)
		}
	}
}

func TestRequest_HandlerErrors(t *testing.T) {
	tab := newTable(t, Config{}).run(func(m *Mux) {
		for command, err := range map[string]error{
			"coded":   fmt.Errorf("look up task: %w", fault.New(fault.UnknownTask, "t1")),
			"plain":   fmt.Errorf("check: %w", PlainError("File wasn't received")),
			"unknown": errors.New("disk full\nreally"),
		} {
			m.Handle(command, func(context.Context, *Session, []byte) (Reply, error) { return Reply{}, err })
		}
	})
	for _, c := range []struct{ command, want string }{
		{"coded", `"code": 3027, "extra_message": "t1"`},
		{"plain", "File wasn't received"},
		{"unknown", `"title": "Wazuh Internal Error", "code": 1000, "extra_message": "disk full\nreally"`},
		{"nosuch", "unknown command 'b'nosuch''"},
	} {
		tab.p.Refused(c.command, "", c.want)
	}
	if log := tab.lines.String(); strings.Contains(log, "full\nreally") || !strings.Contains(log, "Unhandled error processing request 'b'coded''") {
		t.Errorf("log: %s", log)
	}
}

// The mux is a program's own: to register a command twice is a mistake in it.
func TestMux_TwoHandlers(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	m := NewMux()
	m.Handle("x", nil)
	m.HandleControl("x", nil)
}

// A peer that answers nothing keeps no request of ours for ever.
func TestRequest_HalfOpenPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{RequestTimeout: 20 * time.Second}).run()
		var got []<-chan outcome[[]byte]
		for range 10 {
			got = append(got, ask(tab, "x", ""))
		}
		synctest.Wait()
		for _, g := range got {
			if o := <-g; !isTimeout(o.err) {
				t.Errorf("%v, want 3020", o.err)
			}
		}
		if n := tab.waiting(); n != 0 {
			t.Errorf("%d requests still in the table", n)
		}
	})
}

// A handler may reply when it is ready, after those of later requests.
func TestHandleLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var waiting []func(Reply, error)
		tab := newTable(t, Config{}).run(func(m *Mux) {
			m.HandleLate("late", func(_ context.Context, _ *Session, payload []byte, respond func(Reply, error)) {
				if string(payload) == "now" {
					respond(OK("here"), nil)
					return
				}
				waiting = append(waiting, respond)
			})
		})
		tab.p.Send(1, "late", "a")
		tab.p.Send(2, "late", "b")
		tab.p.Send(3, "late", "now")
		if f := tab.p.Next(); f.Counter != 3 || string(f.Payload) != "here" {
			t.Errorf("%d %s %q", f.Counter, f.Command, f.Payload)
		}
		waiting[1](OK("later"), nil)
		if f := tab.p.Next(); f.Counter != 2 || string(f.Payload) != "later" {
			t.Errorf("%d %s %q", f.Counter, f.Command, f.Payload)
		}
		waiting[0](Reply{}, errors.New("no"))
		if f := tab.p.Next(); f.Counter != 1 || f.Command != "err" {
			t.Errorf("%d %s %q", f.Counter, f.Command, f.Payload)
		}
	})
}
