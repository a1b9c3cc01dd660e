package cluster

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/peertest"
	"testudo/internal/session"
)

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
	lines   *peertest.Lines
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
	w := &world{t: t, network: memnet.New(), lines: peertest.NewLines(), served: make(chan error, 1)}
	cfg := MasterConfig{
		NodeName: "master", Cluster: "wazuh", Version: "4.7.5", Log: w.lines.Logger(),
		Limits: AdmissionLimits{Connections: 1024, PerAddress: 256, StrangersPerAddress: 64},
	}
	w.home, cfg.Session.Home = homeRoot(t)
	cfg.Session.Key, cfg.Session.Log = peertest.NewKey(t, peertest.Key), cfg.Log
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
func (w *world) dial(host string) *peertest.Peer {
	w.t.Helper()
	conn, err := w.network.Host(host).DialContext(w.t.Context(), "tcp", masterAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	return peertest.New(w.t, conn)
}

// join connects and is welcomed.
func (w *world) join(name string) *peertest.Peer {
	w.t.Helper()
	g := w.dial("10.0.0.2")
	if got := g.OK("hello", name+" wazuh worker 4.7.5"); got != "Client "+name+" added" {
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

// settler is a worker of ours on the network.
type settler struct {
	*Worker
	lines *peertest.Lines
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
	s := &settler{lines: peertest.NewLines(), ended: make(chan error, 1)}
	cfg := WorkerConfig{
		Hello:  session.Hello{Name: name, Cluster: "wazuh", Type: "worker", Version: "4.7.5"},
		Master: "10.0.0.1", Port: 1516,
		KeepAlive: time.Minute, MaxFailed: 2, Retry: 10 * time.Second, Log: s.lines.Logger(),
	}
	cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	_, cfg.Session.Home = homeRoot(t)
	cfg.Session.Key, cfg.Session.Log = peertest.NewKey(t, peertest.Key), cfg.Log
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
