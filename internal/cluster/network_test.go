package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/peertest"
	"testudo/internal/session"
)

// onSockets starts a master on a real socket and gives its port.
func onSockets(t *testing.T, host string, change func(*MasterConfig)) (*Master, *peertest.Lines, int) {
	t.Helper()
	log := peertest.NewLines()
	cfg := MasterConfig{
		NodeName: "master", Cluster: "wazuh", Version: "4.7.5", Log: log.Logger(),
		Limits: AdmissionLimits{Connections: 100, PerAddress: 100, StrangersPerAddress: 100},
	}
	cfg.Session.Key = peertest.NewKey(t, peertest.Key)
	_, cfg.Session.Home = homeRoot(t)
	if change != nil {
		change(&cfg)
	}
	m := NewMaster(cfg)
	listener, err := Listen(t.Context(), net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no network here: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return m, log, listener.Addr().(*net.TCPAddr).Port
}

// A real worker and a real master find each other over IPv4 and IPv6, by
// address and by name.
func TestNetwork_Families(t *testing.T) {
	for _, c := range []struct{ bind, master string }{
		{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1", "localhost"}, {"::1", "::1"}, {"", "127.0.0.1"}, {"::", "::1"}, {"0.0.0.0", "127.0.0.1"},
	} {
		t.Run(c.bind+" as "+c.master, func(t *testing.T) {
			m, log, port := onSockets(t, c.bind, nil)
			connected := make(chan struct{})
			work := exchangeFunc(func(*session.Session, *session.Mux) func(context.Context) {
				return func(ctx context.Context) { close(connected); <-ctx.Done() }
			})
			settle(t, nil, "w1", func(w *WorkerConfig) { w.Master, w.Port, w.Dial = c.master, port, nil }, work)
			<-connected
			list := m.Members()
			if len(list) != 1 || net.ParseIP(list[0].Address) == nil {
				t.Errorf("members %+v", list)
			}
			if !strings.Contains(log.String(), "Connection from ('"+list[0].Address+"', ") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestListen_InUse(t *testing.T) {
	_, _, port := onSockets(t, "127.0.0.1", nil)
	_, err := Listen(t.Context(), "127.0.0.1:"+strconv.Itoa(port))
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "listen on 127.0.0.1:") {
		t.Errorf("%v", err)
	}
	if _, err := Listen(t.Context(), "no such host.:1"); err == nil {
		t.Error("a bad address was listened on")
	}
}

// Over real sockets the refused worker gets the answer, not a reset.
func TestNetwork_RefusedWorkerGetsTheAnswer(t *testing.T) {
	_, _, port := onSockets(t, "127.0.0.1", nil)
	for range 20 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		g := peertest.New(t, conn)
		g.Refused("hello", "w1 other worker 4.7.5", `"code": 3030`)
		g.Close()
	}
}

// zeros writes so many bytes.
func zeros(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		block := make([]byte, 64<<10)
		for ; n > 0; n -= len(block) {
			if _, err := w.Write(block[:min(n, len(block))]); err != nil {
				return err
			}
		}
		return nil
	}
}

// A package crosses real sockets.
func TestNetwork_Package(t *testing.T) {
	arrived := make(chan int64, 1)
	receive := exchangeFunc(func(_ *session.Session, mux *session.Mux) func(context.Context) {
		mux.HandleDelivery("syn_i_w_m", func(ctx context.Context, d *session.Delivery) {
			u, err := d.Wait(ctx, time.Minute)
			if err != nil {
				t.Error(err)
				arrived <- -1
				return
			}
			arrived <- u.Size()
			_ = u.Close()
		})
		return nil
	})
	dir, root := homeRoot(t)
	log := peertest.NewLines()
	cfg := MasterConfig{NodeName: "master", Cluster: "wazuh", Version: "4.7.5", Log: log.Logger(),
		Limits: AdmissionLimits{Connections: 10, PerAddress: 10, StrangersPerAddress: 10}}
	cfg.Session.Key, cfg.Session.Home = peertest.NewKey(t, peertest.Key), root
	m := NewMaster(cfg, receive)
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Skipf("no network here: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, listener) }()
	defer func() { cancel(); <-served }()
	const size = 20 << 20
	send := exchangeFunc(func(s *session.Session, _ *session.Mux) func(context.Context) {
		return func(ctx context.Context) {
			if _, err := s.SendPackage(ctx, "syn_i_w_m", zeros(size)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	settle(t, nil, "w1", func(w *WorkerConfig) {
		w.Master, w.Port, w.Dial = "127.0.0.1", listener.Addr().(*net.TCPAddr).Port, nil
	}, send)
	if got := <-arrived; got != size {
		t.Errorf("%d bytes arrived", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "queue/cluster/w1/*")); len(left) > 0 {
		t.Errorf("left on disk: %v", left)
	}
}
