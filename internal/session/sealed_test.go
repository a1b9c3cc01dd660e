package session

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/peertest"
	"testudo/internal/wire"
)

// tap keeps what is written to a connection.
type tap struct {
	net.Conn
	mu      sync.Mutex
	written bytes.Buffer
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.written.Write(p)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tap) holds(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.written.Bytes(), []byte(text))
}

// couple runs two sessions with each other, which take packages of the kind
// "parcel" and give their contents to arrived.
func couple(t *testing.T) (w, m *Session, wire [2]*tap, arrived chan string) {
	t.Helper()
	near, far := memnet.Pipe()
	wire = [2]*tap{{Conn: near}, {Conn: far}}
	arrived = make(chan string, 1)
	both := [2]*Session{}
	for i := range both {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		mux := NewMux()
		mux.HandleDelivery("parcel", func(ctx context.Context, d *Delivery) {
			u, err := d.Wait(ctx, time.Minute)
			if err != nil {
				arrived <- err.Error()
				return
			}
			text, _ := io.ReadAll(u.Reader())
			if u.Sum() != [32]byte{} {
				text = append(text, " with a digest"...)
			}
			_ = u.Close()
			arrived <- string(text)
		})
		s := New(wire[i], Config{Key: peertest.NewKey(t, peertest.Key), Home: root})
		s.Establish(worker, mux, nil)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.Run(context.Background()) }()
		t.Cleanup(func() { s.Close(nil); <-ended; _ = root.Close() })
		both[i] = s
	}
	return both[0], both[1], wire, arrived
}

func sendText(t *testing.T, s *Session, text string) {
	t.Helper()
	if _, err := s.SendPackage(t.Context(), "parcel", func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}); err != nil {
		t.Errorf("%d bytes: %v", len(text), err)
	}
}

func TestSealed_FilesBothWays(t *testing.T) {
	w, m, wires, arrived := couple(t)
	if err := w.Introduce(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The master does not know yet that its answer has been read.
	sendText(t, m, "one")
	if got := <-arrived; got != "one with a digest" || wires[1].holds(cmdSealedUpdate) {
		t.Errorf("%q, sealed before the worker was known to be prepared", got)
	}
	for _, size := range []int{0, 1, chunkBytes, 5*chunkBytes + 7} {
		for i, s := range []*Session{w, m} {
			text := strings.Repeat("secret", size/6+1)[:size]
			sendText(t, s, text)
			if got := <-arrived; got != text {
				t.Errorf("%d bytes from %d: %d arrived", size, i, len(got))
			}
			if !wires[i].holds(cmdSealedEnd) || wires[i].holds("secret") || wires[0].holds("file_upd -") {
				t.Errorf("%d bytes from %d did not travel sealed", size, i)
			}
		}
	}
	for _, s := range []*Session{w, m} {
		if err := s.Cause(); err != nil {
			t.Error(err)
		}
	}
}

// sealedPeer makes a peer of bare frames that has agreed on sealed ones.
func sealedPeer(t *testing.T, tab *table) *wire.Stream {
	t.Helper()
	seals, opens, err := peertest.NewKey(t, peertest.Key).Streams([wire.SeedSize]byte{}, tab.sealing.seed)
	if err != nil {
		t.Fatal(err)
	}
	tab.p.Dec.OpenSealed(opens)
	answer := tab.p.OK(introduce, `{"features": ["sealed"], "seed": "`+strings.Repeat("00", wire.SeedSize)+`"}`)
	if !strings.Contains(answer, FeatureSealed) {
		t.Fatal(answer)
	}
	return seals
}

func sealed(p *peertest.Peer, s *wire.Stream, command, payload string) (name, text string) {
	p.T.Helper()
	p.Last++
	b, err := wire.AppendClear(nil, wire.Frame{Counter: p.Last, Command: command, Payload: []byte(payload)})
	if err != nil {
		p.T.Fatal(err)
	}
	s.Seal(b)
	p.Raw(b)
	f := p.Next()
	return f.Command, string(f.Payload)
}

func TestSealed_Refused(t *testing.T) {
	const checksum = "\x1c\x31\xcc\x29" // of nothing like it
	for name, test := range map[string]func(t *testing.T, p *peertest.Peer, s *wire.Stream) (reply, text string){
		"its commands in tokens": func(_ *testing.T, p *peertest.Peer, _ *wire.Stream) (string, string) {
			return p.Ask(cmdSealedUpdate, upload+" x")
		},
		"token after seal": func(_ *testing.T, p *peertest.Peer, s *wire.Stream) (string, string) {
			sealed(p, s, cmdSealedUpdate, upload+" x")
			return p.Ask("file_upd", upload+" y")
		},
		"seal after token": func(_ *testing.T, p *peertest.Peer, s *wire.Stream) (string, string) {
			p.OK("file_upd", upload+" x")
			return sealed(p, s, cmdSealedUpdate, upload+" y")
		},
		"end by a token": func(_ *testing.T, p *peertest.Peer, s *wire.Stream) (string, string) {
			sealed(p, s, cmdSealedUpdate, upload+" x")
			return p.Ask("file_end", upload+" "+digest("x"))
		},
		"wrong checksum": func(_ *testing.T, p *peertest.Peer, s *wire.Stream) (string, string) {
			sealed(p, s, cmdSealedUpdate, upload+" x")
			return sealed(p, s, cmdSealedEnd, upload+" "+checksum)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			s := sealedPeer(t, tab)
			tab.p.OK("new_file", upload)
			if reply, text := test(t, tab.p, s); reply != replyErr {
				t.Errorf("%s %q", reply, text)
			}
		})
	}
}

// A seed that is none leaves the peer one that sends tokens, and a second
// question changes no key.
func TestSealed_Agreement(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.Refused(introduce, `{"features": ["sealed"], "seed": "00"}`, "seed")
	s := sealedPeer(t, tab)
	tab.p.OK(introduce, `{"features": ["sealed"], "seed": "`+strings.Repeat("11", wire.SeedSize)+`"}`)
	tab.p.OK("new_file", upload)
	if reply, text := sealed(tab.p, s, cmdSealedUpdate, upload+" x"); reply != replyOK {
		t.Errorf("%s %q", reply, text)
	}
}

func TestSealed_LongStrings(t *testing.T) {
	w, m, wires, _ := couple(t)
	if err := w.Introduce(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, chunkBytes, 5*chunkBytes + 7} {
		for i, s := range []*Session{w, m} {
			text, other := strings.Repeat("secret", size/6+1)[:size], []*Session{m, w}[i]
			id, err := s.SendString(t.Context(), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := other.TakeString(id); err != nil || string(got) != text {
				t.Errorf("%d bytes from %d: %d arrived, %v", size, i, len(got), err)
			}
			if wires[i].holds("secret") {
				t.Errorf("%d bytes from %d travelled in the clear", size, i)
			}
		}
	}
	if !wires[0].holds(cmdSealedString+" -s") || !wires[1].holds(cmdSealedString+" -s") || wires[0].holds(cmdStringUpdate+" --") {
		t.Error("not all strings of the worker travelled sealed, or none of the master's did")
	}
}

// Strings of a 4.7.5 node are tokens, and so is what it gets.
func TestSealed_NotBeforeItIsAgreed(t *testing.T) {
	w, m, wires, _ := couple(t)
	id, err := w.SendString(t.Context(), []byte("text"))
	if err != nil || wires[0].holds(cmdSealedString) {
		t.Errorf("%v, or sealed for a stranger", err)
	}
	if got, err := m.TakeString(id); string(got) != "text" {
		t.Error(err)
	}
	if _, err := w.Request(t.Context(), cmdSealedString, []byte(id+" x")); err == nil {
		t.Error("a token was taken for a sealed frame")
	}
}
