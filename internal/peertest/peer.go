package peertest

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"testudo/internal/wire"
)

// Peer is the other end of a connection, made of bare frames. What goes wrong
// ends the test, unless a method says otherwise.
type Peer struct {
	T    *testing.T
	Conn net.Conn
	Key  *wire.Key
	Dec  *wire.Decoder
	Last uint32       // counter of the last request
	Held []wire.Frame // read, but not looked at
}

// New makes a peer of a connection, which it closes at the test's end.
func New(t *testing.T, conn net.Conn) *Peer {
	p := &Peer{T: t, Conn: conn, Last: 1000}
	p.Speak(NewKey(t, Key))
	t.Cleanup(p.Close)
	return p
}

// Speak uses another key, for both directions.
func (p *Peer) Speak(key *wire.Key) {
	p.Key, p.Dec = key, wire.NewDecoder(p.Conn, key, wire.DefaultLimits())
}

// Close closes the connection.
func (p *Peer) Close() { _ = p.Conn.Close() }

// Raw writes bytes as they are.
func (p *Peer) Raw(b []byte) {
	p.T.Helper()
	if _, err := p.Conn.Write(b); err != nil {
		p.T.Fatalf("peer writes: %v", err)
	}
}

// Trickle writes byte by byte with pauses until it is through or the other end
// closes.
func (p *Peer) Trickle(b []byte, pause time.Duration) (stopped <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range b {
			if _, err := p.Conn.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	return done
}

// Frame is the bytes of a frame.
func (p *Peer) Frame(counter uint32, command, payload string) []byte {
	b, err := wire.AppendFrame(nil, p.Key, wire.Frame{Counter: counter, Command: command, Payload: []byte(payload)})
	if err != nil {
		panic(err) // a mistake in the test
	}
	return b
}

// Send writes a frame.
func (p *Peer) Send(counter uint32, command, payload string) {
	p.T.Helper()
	p.Raw(p.Frame(counter, command, payload))
}

// Try is Send to somebody who may have closed.
func (p *Peer) Try(counter uint32, command, payload string) error {
	_, err := p.Conn.Write(p.Frame(counter, command, payload))
	return err
}

// Next reads a frame.
func (p *Peer) Next() wire.Frame {
	p.T.Helper()
	f, err := p.Dec.Next()
	if err != nil {
		p.T.Fatalf("peer reads: %v", err)
	}
	return f
}

// IsReply tells answers from requests.
func IsReply(command string) bool {
	return command == "ok" || command == "err" || command == "ok-m" || command == "ok-c"
}

// Ask sends a request and gives the reply; other frames are held for Expect.
func (p *Peer) Ask(command, payload string) (name, text string) {
	p.T.Helper()
	p.Last++
	p.Send(p.Last, command, payload)
	for {
		f := p.Next()
		if f.Counter == p.Last && IsReply(f.Command) {
			return f.Command, string(f.Payload)
		}
		p.Held = append(p.Held, f)
	}
}

// OK asks and wants a good answer, whose text it gives.
func (p *Peer) OK(command, payload string) string {
	p.T.Helper()
	name, text := p.Ask(command, payload)
	if !strings.HasPrefix(name, "ok") {
		p.T.Fatalf("%s %.60q was answered %s %q", command, payload, name, text)
	}
	return text
}

// Refused asks and wants the answer "err" with something in its text. The test
// goes on without.
func (p *Peer) Refused(command, payload, want string) {
	p.T.Helper()
	name, text := p.Ask(command, payload)
	if name != "err" || !strings.Contains(text, want) {
		p.T.Errorf("%s %.60q was answered %s %.300q, want err with %q", command, payload, name, text, want)
	}
}

// Request gives the next request of the other end's, also one that Ask has held.
func (p *Peer) Request() (f wire.Frame) {
	p.T.Helper()
	if len(p.Held) == 0 {
		return p.Next()
	}
	f, p.Held = p.Held[0], p.Held[1:]
	return f
}

// Expect gives the next request, which is to be of the command.
func (p *Peer) Expect(command string) wire.Frame {
	p.T.Helper()
	f := p.Request()
	if f.Command != command {
		p.T.Fatalf("got %s %.100q, want %s", f.Command, f.Payload, command)
	}
	return f
}

// Reply expects a request and answers it.
func (p *Peer) Reply(command, name, text string) wire.Frame {
	p.T.Helper()
	f := p.Expect(command)
	p.Send(f.Counter, name, text)
	return f
}

// Quiet wants no frame for a while.
func (p *Peer) Quiet(d time.Duration) {
	p.T.Helper()
	_ = p.Conn.SetReadDeadline(time.Now().Add(d))
	defer func() { _ = p.Conn.SetReadDeadline(time.Time{}) }()
	if f, err := p.Dec.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.T.Fatalf("got %s %.100q, %v; want silence", f.Command, f.Payload, err)
	}
}

// WantClosed wants the other end to close without a further word.
func (p *Peer) WantClosed() {
	p.T.Helper()
	if f, err := p.Dec.Next(); err == nil {
		p.T.Fatalf("got %s %.100q, want the end of the connection", f.Command, f.Payload)
	}
}
