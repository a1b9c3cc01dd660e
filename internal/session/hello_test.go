package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/peertest"
	"testudo/internal/wire"
)

func acceptHello(tab *table) <-chan outcome[Hello] {
	return begin(func() (Hello, error) { return tab.AcceptHello(context.Background()) })
}

func TestAcceptHello(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    Hello
		fields  string // text of the FieldsError
	}{
		{"w1 wazuh worker 4.7.5", worker, ""},
		{"w1 wazuh  4.7.5", Hello{Name: "w1", Cluster: "wazuh", Version: "4.7.5"}, ""},
		{"   ", Hello{}, ""},
		{"", Hello{}, "not enough values to unpack (expected 4, got 1)"},
		{"w1 wazuh", Hello{}, "not enough values to unpack (expected 4, got 2)"},
		{"w1 wazuh worker", Hello{}, "not enough values to unpack (expected 4, got 3)"},
		{"w1 wazuh worker 4.7.5 ", Hello{}, "too many values to unpack (expected 4)"},
		{"a b c d e f", Hello{}, "too many values to unpack (expected 4)"},
	} {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Send(7, "hello", c.payload)
		o := <-got
		o.value.counter = 0
		if o.value != c.want {
			t.Errorf("hello %q: %+v, want %+v", c.payload, o.value, c.want)
		}
		if c.fields == "" && o.err != nil || c.fields != "" && (!IsHelloFields(o.err) || o.err.Error() != c.fields) {
			t.Errorf("hello %q: %v, want %q", c.payload, o.err, c.fields)
		}
	}
}

func TestAcceptHello_NothingComes(t *testing.T) {
	for name, before := range map[string]func(p *peertest.Peer){
		"nothing":           func(*peertest.Peer) {},
		"part of a header":  func(p *peertest.Peer) { p.Raw(p.Frame(1, "hello", "w1 wazuh worker 4.7.5")[:9]) },
		"part of a payload": func(p *peertest.Peer) { p.Raw(p.Frame(1, "hello", "w1 wazuh worker 4.7.5")[:60]) },
	} {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{Limits: Limits{HelloTimeout: 10 * time.Second}})
			began := time.Now()
			before(tab.p)
			_, err := tab.AcceptHello(t.Context())
			if !errors.Is(err, ErrNoHello) || time.Since(began) != 10*time.Second {
				t.Errorf("%s: %v after %v, want %v after 10s", name, err, time.Since(began), ErrNoHello)
			}
		})
	}
}

// A byte now and then does not win time.
func TestAcceptHello_SlowPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{})
		began := time.Now()
		stopped := tab.p.Trickle(tab.p.Frame(1, "hello", "w1 wazuh worker 4.7.5"), time.Second)
		_, err := tab.AcceptHello(t.Context())
		if !errors.Is(err, ErrNoHello) || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		tab.Close(err)
		<-stopped
	})
}

func TestAcceptHello_EndsWithItsContext(t *testing.T) {
	tab := newTable(t, Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	got := begin(func() (Hello, error) { return tab.AcceptHello(ctx) })
	stopping := errors.New("stopping")
	cancel(stopping)
	if o := <-got; !errors.Is(o.err, stopping) {
		t.Errorf("%v, want %v", o.err, stopping)
	}
}

func TestAcceptHello_Refuses(t *testing.T) {
	other, err := wire.NewKey(strings.Repeat("k", wire.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(k *wire.Key, f wire.Frame) []byte {
		b, _ := wire.AppendFrame(nil, k, f)
		return b
	}
	hello := []byte("w1 wazuh worker 4.7.5")
	for _, c := range []struct {
		name string
		sent []byte
		want string
	}{
		{"another key", sealed(other, wire.Frame{Counter: 1, Command: "hello", Payload: hello}), wire.ReasonToken},
		{"no token", sealed(nil, wire.Frame{Counter: 1, Command: "hello", Payload: hello}), wire.ReasonToken},
		{"too long", sealed(nil, wire.Frame{Counter: 1, Command: "hello", Payload: make([]byte, 4097)}), wire.ReasonTooLarge},
		{"divided", []byte("\x00\x00\x00\x01\x00\x00\x00\x0ahello -----d"), wire.ReasonDividedCount},
	} {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Raw(c.sent)
		o := <-got
		var refused *wire.RefusedError
		if !errors.As(o.err, &refused) || refused.Reason != c.want {
			t.Errorf("%s: %v, want %s", c.name, o.err, c.want)
		}
	}
}

func TestRefuse_AnswersAndCloses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Send(7, "hello", "w1 wazuh worker 4.7.4")
		h := (<-got).value
		began := time.Now()
		go tab.Refuse(h, fault.New(fault.WrongVersion, nil))
		if f := tab.p.Next(); f.Counter != 7 || f.Command != "err" || !fault.Has(fault.Parse(f.Payload), fault.WrongVersion) {
			t.Errorf("answer %d %s %s", f.Counter, f.Command, f.Payload)
		}
		// The peer does not close; it may send what it likes.
		tab.p.Raw(make([]byte, 700))
		tab.p.WantClosed()
		if took := time.Since(began); took != lingerTime {
			t.Errorf("closed after %v, want %v", took, lingerTime)
		}
	})
}

// Our numbers begin far from the peer's: a 4.7.5 node takes a request whose
// number it is waiting for as the answer.
func TestWelcome_NumbersKeepClear(t *testing.T) {
	tab := newTable(t, Config{})
	got := acceptHello(tab)
	tab.p.Send(0xfffffff0, "hello", "w1 wazuh worker 4.7.5")
	h := (<-got).value
	tab.run()
	if err := tab.Welcome(h); err != nil {
		t.Fatal(err)
	}
	if f := tab.p.Next(); f.Counter != 0xfffffff0 || f.Command != "ok" || string(f.Payload) != "Client w1 added" {
		t.Errorf("welcome %d %s %q", f.Counter, f.Command, f.Payload)
	}
	answer := begin(func() ([]byte, error) { return tab.Request(t.Context(), "syn_m_c_ok", nil) })
	if f := tab.p.Reply("syn_m_c_ok", "ok", "Thanks"); f.Counter != 0x7ffffff1 {
		t.Errorf("first number %#x", f.Counter)
	}
	if o := <-answer; o.err != nil || string(o.value) != "Thanks" {
		t.Errorf("%q, %v", o.value, o.err)
	}
}

func TestSayHello(t *testing.T) {
	for _, c := range []struct {
		name, answer, text string
		want               fault.Code // 0 = welcome
	}{
		{"welcome", "ok", "Client w1 added", 0},
		{"another text", "ok", "whatever", 0},
		{"another name", "ok-m", "x", 0},
		{"refused", "err", string(fault.New(fault.WrongCluster, nil).JSON()), fault.WrongCluster},
		{"plain text", "err", "no", fault.RemoteText},
	} {
		tab := newTable(t, Config{}).run()
		said := begin(func() (struct{}, error) { return struct{}{}, tab.SayHello(t.Context(), worker) })
		if f := tab.p.Reply("hello", c.answer, c.text); string(f.Payload) != "w1 wazuh worker 4.7.5" {
			t.Errorf("hello %q", f.Payload)
		}
		o := <-said
		if c.want == 0 && o.err != nil || c.want != 0 && !fault.Has(o.err, c.want) {
			t.Errorf("%s: %v, want code %d", c.name, o.err, c.want)
		}
	}
}

func TestAcceptHello_PeerCloses(t *testing.T) {
	tab := newTable(t, Config{})
	got := acceptHello(tab)
	tab.p.Close()
	if o := <-got; !errors.Is(o.err, io.EOF) {
		t.Errorf("%v, want EOF", o.err)
	}
}
