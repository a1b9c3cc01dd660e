package session

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/wire"
)

const testKey = "0123456789abcdef0123456789ABCDEF"

func newKey(t testing.TB) *wire.Key {
	t.Helper()
	key, err := wire.NewKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// lines is a log that tests read.
type lines struct {
	level slog.LevelVar
	mu    sync.Mutex
	text  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: &l.level}))
}

// table is a session that runs and the hand-made peer it talks to.
type table struct {
	*Session
	p     *peer
	t     *testing.T
	lines *lines
	home  string
	ended chan error // what Run returned
}

var worker = Hello{Name: "w1", Cluster: "wazuh", Type: "worker", Version: "4.7.5"}

// newTable makes a session with a peer; it does not run yet.
func newTable(t *testing.T, cfg Config) *table {
	t.Helper()
	near, far := memnet.Pipe()
	return newTableOver(t, near, far, cfg)
}

func newTableOver(t *testing.T, ours, theirs net.Conn, cfg Config) *table {
	t.Helper()
	tab := &table{t: t, lines: new(lines), home: t.TempDir(), ended: make(chan error, 1)}
	tab.lines.level.Set(slog.LevelDebug)
	root, err := os.OpenRoot(tab.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	cfg.Key, cfg.Home = newKey(t), root
	if cfg.Log == nil {
		cfg.Log = tab.lines.logger()
	}
	tab.Session = New(ours, cfg)
	tab.p = newPeer(t, theirs)
	t.Cleanup(func() { tab.p.close(); tab.Close(nil) })
	return tab
}

// run establishes the session with a mux and runs it until the test's end.
func (tab *table) run(register ...func(*Mux)) *table {
	mux := NewMux()
	for _, r := range register {
		r(mux)
	}
	tab.Establish(worker, mux, tab.lines.logger())
	go func() { tab.ended <- tab.Run(context.Background()) }()
	tab.t.Cleanup(func() {
		tab.Close(nil)
		<-tab.ended
	})
	return tab
}

// end waits for the session's end and gives its cause.
func (tab *table) end() error {
	err := <-tab.ended
	tab.ended <- err // for the cleanup
	return err
}

// files lists what lies below the home, without directories.
func (tab *table) files() (names []string) {
	_ = filepath.WalkDir(tab.home, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(tab.home, name)
			names = append(names, rel)
		}
		return err
	})
	return names
}

// peer is the other end, made of bare frames.
type peer struct {
	t    *testing.T
	conn net.Conn
	key  *wire.Key
	dec  *wire.Decoder
	last uint32 // counter of the last request
	held []wire.Frame
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	key := newKey(t)
	return &peer{t: t, conn: conn, key: key, dec: wire.NewDecoder(conn, key, wire.DefaultLimits()), last: 1000}
}

func (p *peer) close() { _ = p.conn.Close() }

// raw writes bytes as they are.
func (p *peer) raw(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("peer writes: %v", err)
	}
}

// trickle writes byte by byte with pauses until it is through or the session
// closes.
func (p *peer) trickle(b []byte, pause time.Duration) (stopped <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range b {
			if _, err := p.conn.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	return done
}

// frame is the bytes of a frame.
func (p *peer) frame(counter uint32, command, payload string) []byte {
	p.t.Helper()
	b, err := wire.AppendFrame(nil, p.key, wire.Frame{Counter: counter, Command: command, Payload: []byte(payload)})
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// send writes a frame.
func (p *peer) send(counter uint32, command, payload string) {
	p.t.Helper()
	p.raw(p.frame(counter, command, payload))
}

// next reads a frame.
func (p *peer) next() wire.Frame {
	p.t.Helper()
	f, err := p.dec.Next()
	if err != nil {
		p.t.Fatalf("peer reads: %v", err)
	}
	return f
}

// ask sends a request and gives the reply; other frames are held for expect.
func (p *peer) ask(command, payload string) (name, text string) {
	p.t.Helper()
	p.last++
	p.send(p.last, command, payload)
	for {
		f := p.next()
		if f.Counter == p.last && isReply(f.Command) {
			return f.Command, string(f.Payload)
		}
		p.held = append(p.held, f)
	}
}

// ok asks and wants the answer "ok", whose text it gives.
func (p *peer) ok(command, payload string) string {
	p.t.Helper()
	name, text := p.ask(command, payload)
	if name != "ok" {
		p.t.Fatalf("%s %.60q was answered %s %q", command, payload, name, text)
	}
	return text
}

// refused asks and wants the answer "err" with something in its text.
func (p *peer) refused(command, payload, want string) {
	p.t.Helper()
	name, text := p.ask(command, payload)
	if name != "err" || !strings.Contains(text, want) {
		p.t.Errorf("%s %.60q was answered %s %.200q, want err with %q", command, payload, name, text, want)
	}
}

// request gives the next request of ours, also one that ask has held.
func (p *peer) request() (f wire.Frame) {
	p.t.Helper()
	if len(p.held) == 0 {
		return p.next()
	}
	f, p.held = p.held[0], p.held[1:]
	return f
}

// expect gives the next request of ours, of the command.
func (p *peer) expect(command string) wire.Frame {
	p.t.Helper()
	f := p.request()
	if f.Command != command {
		p.t.Fatalf("got %s %.100q, want %s", f.Command, f.Payload, command)
	}
	return f
}

// reply expects a request and answers it.
func (p *peer) reply(command, name, text string) wire.Frame {
	p.t.Helper()
	f := p.expect(command)
	p.send(f.Counter, name, text)
	return f
}

// quiet wants no frame for a while.
func (p *peer) quiet(d time.Duration) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	defer func() { _ = p.conn.SetReadDeadline(time.Time{}) }()
	if f, err := p.dec.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("got %s %.100q, %v; want silence", f.Command, f.Payload, err)
	}
}

// wantClosed wants the connection to be ended by the session, with nothing
// more sent on it.
func (p *peer) wantClosed() {
	p.t.Helper()
	if f, err := p.dec.Next(); err == nil {
		p.t.Fatalf("got %s %.100q, want the end of the connection", f.Command, f.Payload)
	}
}

// inBubble runs a test with its own time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// outcome is what a call of ours gave.
type outcome[T any] struct {
	value T
	err   error
}

// begin calls f on a goroutine.
func begin[T any](f func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		v, err := f()
		done <- outcome[T]{v, err}
	}()
	return done
}
