package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/session"
	"testudo/internal/wire"
)

const testKey = "0123456789abcdef0123456789ABCDEF"

func newKey(t testing.TB, text string) *wire.Key {
	t.Helper()
	key, err := wire.NewKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
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
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// want checks that each text stands in the log.
func (l *lines) want(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(l.String(), text) {
			t.Errorf("no %q in the log:\n%s", text, l.String())
		}
	}
}

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

// inBubble runs a test with its own time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// world is a network with a master on it.
type world struct {
	*Master
	t       *testing.T
	network *memnet.Network
	lines   *lines
	home    string
	stop    context.CancelFunc
	served  chan error
}

const masterAddress = "10.0.0.1:1516"

func homeRoot(t *testing.T) (string, *os.Root) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return dir, root
}

// newWorld starts a master called "master" of cluster "wazuh".
func newWorld(t *testing.T, change func(*MasterConfig), exchanges ...Exchange) *world {
	t.Helper()
	w := &world{t: t, network: memnet.New(), lines: new(lines), served: make(chan error, 1)}
	cfg := MasterConfig{
		NodeName: "master", Cluster: "wazuh", Version: "4.7.5", Log: w.lines.logger(),
		Limits: AdmissionLimits{Connections: 1024, PerAddress: 256, StrangersPerAddress: 64},
	}
	w.home, cfg.Session.Home = homeRoot(t)
	cfg.Session.Key, cfg.Session.Log = newKey(t, testKey), cfg.Log
	if change != nil {
		change(&cfg)
	}
	listener, err := w.network.Host("10.0.0.1").Listen("tcp", ":1516")
	if err != nil {
		t.Fatal(err)
	}
	w.Master = NewMaster(cfg, exchanges...)
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() { w.served <- w.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if left := w.Members(); len(left) > 0 {
			t.Errorf("still in the registry: %v", left)
		}
		if n := w.admission.total + len(w.admission.byAddress); n > 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
	return w
}

// dial connects from an address.
func (w *world) dial(host string) *guest {
	w.t.Helper()
	conn, err := w.network.Host(host).DialContext(w.t.Context(), "tcp", masterAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	return newGuest(w.t, conn)
}

// join connects and is welcomed.
func (w *world) join(name string) *guest {
	w.t.Helper()
	g := w.dial("10.0.0.2")
	if got := g.ok("hello", name+" wazuh worker 4.7.5"); got != "Client "+name+" added" {
		w.t.Errorf("welcome %q", got)
	}
	return g
}

func (w *world) names() string {
	var names []string
	for _, m := range w.Members() {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

// guest is the other end of a connection, made of bare frames.
type guest struct {
	t    *testing.T
	conn net.Conn
	key  *wire.Key
	dec  *wire.Decoder
	last uint32
	held []wire.Frame
}

func newGuest(t *testing.T, conn net.Conn) *guest {
	key := newKey(t, testKey)
	g := &guest{t: t, conn: conn, key: key, dec: wire.NewDecoder(conn, key, wire.DefaultLimits()), last: 1000}
	t.Cleanup(g.close)
	return g
}

func (g *guest) close() { _ = g.conn.Close() }

func (g *guest) send(counter uint32, command, payload string) {
	g.t.Helper()
	if err := g.try(counter, command, payload); err != nil {
		g.t.Fatalf("guest sends %s: %v", command, err)
	}
}

// try is send to somebody who may have closed.
func (g *guest) try(counter uint32, command, payload string) error {
	_, err := g.conn.Write(g.frameOf(counter, command, payload))
	return err
}

func (g *guest) frameOf(counter uint32, command, payload string) []byte {
	b, err := wire.AppendFrame(nil, g.key, wire.Frame{Counter: counter, Command: command, Payload: []byte(payload)})
	if err != nil {
		panic(err) // a mistake in the test
	}
	return b
}

func (g *guest) next() wire.Frame {
	g.t.Helper()
	f, err := g.dec.Next()
	if err != nil {
		g.t.Fatalf("guest reads: %v", err)
	}
	return f
}

func isReply(name string) bool {
	return name == "ok" || name == "err" || name == "ok-m" || name == "ok-c"
}

// ask sends a request and gives the reply; other frames are held for expect.
func (g *guest) ask(command, payload string) (name, text string) {
	g.t.Helper()
	g.last++
	g.send(g.last, command, payload)
	for {
		f := g.next()
		if f.Counter == g.last && isReply(f.Command) {
			return f.Command, string(f.Payload)
		}
		g.held = append(g.held, f)
	}
}

func (g *guest) ok(command, payload string) string {
	g.t.Helper()
	name, text := g.ask(command, payload)
	if name != "ok" && name != "ok-m" && name != "ok-c" {
		g.t.Fatalf("%s %.60q was answered %s %q", command, payload, name, text)
	}
	return text
}

// refused wants the answer "err" with something in its text.
func (g *guest) refused(command, payload, want string) {
	g.t.Helper()
	name, text := g.ask(command, payload)
	if name != "err" || !strings.Contains(text, want) {
		g.t.Errorf("%s %.60q was answered %s %.300q, want err with %q", command, payload, name, text, want)
	}
}

// reply expects a request and answers it.
func (g *guest) reply(command, name, text string) wire.Frame {
	g.t.Helper()
	var f wire.Frame
	if len(g.held) > 0 {
		f, g.held = g.held[0], g.held[1:]
	} else {
		f = g.next()
	}
	if f.Command != command {
		g.t.Fatalf("got %s %.100q, want %s", f.Command, f.Payload, command)
	}
	g.send(f.Counter, name, text)
	return f
}

// wantClosed wants the other end to close without a further word.
func (g *guest) wantClosed() {
	g.t.Helper()
	if f, err := g.dec.Next(); err == nil {
		g.t.Fatalf("got %s %.100q, want the end of the connection", f.Command, f.Payload)
	}
}

// quiet wants no frame for a while.
func (g *guest) quiet(d time.Duration) {
	g.t.Helper()
	_ = g.conn.SetReadDeadline(time.Now().Add(d))
	defer func() { _ = g.conn.SetReadDeadline(time.Time{}) }()
	if f, err := g.dec.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		g.t.Fatalf("got %s %.100q, %v; want silence", f.Command, f.Payload, err)
	}
}

// settler is a worker of ours on the network.
type settler struct {
	*Worker
	lines *lines
	stop  context.CancelFunc
	ended chan error
}

// settle runs a worker until the test's end.
func (w *world) settle(name string, change func(*WorkerConfig), exchanges ...Exchange) *settler {
	w.t.Helper()
	return settle(w.t, w.network.Host("10.0.0.2").DialContext, name, change, exchanges...)
}

func settle(t *testing.T, dial faultnet.DialFunc, name string, change func(*WorkerConfig), exchanges ...Exchange) *settler {
	t.Helper()
	s := &settler{lines: new(lines), ended: make(chan error, 1)}
	cfg := WorkerConfig{
		Hello:  session.Hello{Name: name, Cluster: "wazuh", Type: "worker", Version: "4.7.5"},
		Master: "10.0.0.1", Port: 1516,
		KeepAlive: time.Minute, MaxFailed: 2, Retry: 10 * time.Second, Log: s.lines.logger(),
	}
	cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	_, cfg.Session.Home = homeRoot(t)
	cfg.Session.Key, cfg.Session.Log = newKey(t, testKey), cfg.Log
	if change != nil {
		change(&cfg)
	}
	s.Worker = NewWorker(cfg, exchanges...)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("Run of %s: %v", name, err)
		}
	})
	return s
}

// exchangeFunc is an Exchange of a function.
type exchangeFunc func(s *session.Session, mux *session.Mux) func(context.Context)

func (f exchangeFunc) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	return f(s, mux)
}
