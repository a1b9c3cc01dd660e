package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"testudo/internal/memnet"
	"testudo/internal/metrics"
	"testudo/internal/peertest"
)

func at(host string) net.Addr { return memnet.Addr{Host: host, Port: 40000} }

func TestAdmission_Limits(t *testing.T) {
	a := admission{limits: AdmissionLimits{Connections: 6, PerAddress: 4, StrangersPerAddress: 2}}
	enter := func(host, want string) *visitor {
		t.Helper()
		v, full := a.enter(at(host))
		if full != want || (v == nil) != (want != "") {
			t.Fatalf("from %s: %q, want %q", host, full, want)
		}
		return v
	}
	first, second := enter("a", ""), enter("a", "")
	enter("a", "strangers_per_address")
	first.known()
	first.known() // twice counts once
	third := enter("a", "")
	enter("a", "strangers_per_address")
	second.known()
	third.known()
	fourth := enter("a", "")
	fourth.known()
	enter("a", "connections_per_address")
	enter("b", "")
	enter("fe80::1", "")
	enter("c", "connections")
	fourth.leave()
	enter("c", "")
	enter("c", "connections")
}

// Whatever comes and goes, the counts are those of who is there, and of nobody
// nothing is kept.
func TestAdmission_CountsWhoIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := admission{limits: AdmissionLimits{Connections: 12, PerAddress: 5, StrangersPerAddress: 3}}
		var there []*visitor
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch i := rapid.IntRange(0, 2).Draw(t, "step"); {
			case i == 0:
				if v, _ := a.enter(at(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "host"))); v != nil {
					there = append(there, v)
				}
			case len(there) == 0:
			case i == 1:
				there[rapid.IntRange(0, len(there)-1).Draw(t, "who")].known()
			default:
				n := rapid.IntRange(0, len(there)-1).Draw(t, "who")
				there[n].leave()
				there = append(there[:n], there[n+1:]...)
			}
			counts := make(map[string]addressCount)
			for _, v := range there {
				c := counts[v.key]
				c.all++
				if v.stranger {
					c.strangers++
				}
				counts[v.key] = c
			}
			if a.total != len(there) || len(counts) != len(a.byAddress) {
				t.Fatalf("%d in all, %d addresses; want %d and %d", a.total, len(a.byAddress), len(there), len(counts))
			}
			for host, want := range counts {
				if got := *a.byAddress[host]; got != want || got.all > 5 || got.strangers > 3 {
					t.Fatalf("%s: %+v, want %+v", host, got, want)
				}
			}
		}
	})
}

// Many workers behind one address are fine, also when all come at once; the
// limit on strangers is for those who say nothing.
func TestMaster_ManyWorkersBehindOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var all sync.WaitGroup
		for i := range 150 {
			all.Go(func() {
				for !w.comes(fmt.Sprintf("w%d", i), "192.0.2.1") {
					time.Sleep(time.Second) // as a worker does that was turned away
				}
			})
		}
		all.Wait()
		if n := len(w.Members()); n != 150 {
			t.Errorf("%d members", n)
		}
	})
}

// comes tries to join, and says whether it was welcomed.
func (w *world) comes(name, from string) bool {
	conn, err := w.network.Host(from).DialContext(w.t.Context(), "tcp", masterAddress)
	if err != nil {
		w.t.Error(err)
		return true
	}
	g := peertest.New(w.t, conn)
	if g.Try(1, "hello", name+" wazuh worker 4.7.5") != nil {
		return false
	}
	f, err := g.Dec.Next()
	if err == nil && f.Command != "ok" {
		w.t.Errorf("%s: %s %s", name, f.Command, f.Payload)
	}
	return err == nil
}

func TestMaster_TurnsAwayTooMany(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		set := metrics.New("m", "master")
		w := newWorld(t, func(c *MasterConfig) {
			c.Metrics = set
			c.Limits = AdmissionLimits{Connections: 5, PerAddress: 4, StrangersPerAddress: 2}
		})
		silent := []*peertest.Peer{w.dial("192.0.2.1"), w.dial("192.0.2.1")}
		synctest.Wait()
		w.dial("192.0.2.1").WantClosed()
		w.lines.Want(t, "Connection refused: limit of strangers_per_address reached", "address=192.0.2.1")
		w.join("w1") // from elsewhere
		// Who says nothing leaves soon.
		for _, g := range silent {
			g.WantClosed()
		}
		synctest.Wait()
		w.dial("192.0.2.1").OK("hello", "w2 wazuh worker 4.7.5")
	})
}

// flaky is a listener that fails now and then, as with too many open files.
type flaky struct {
	net.Listener
	failures int
}

var errFiles = errors.New("accept: too many open files")

func (l *flaky) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errFiles
	}
	return l.Listener.Accept()
}

func TestMaster_AcceptFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.stop()
		<-w.served
		w.served <- nil
		inner, err := w.network.Host("10.0.0.9").Listen("tcp", ":1516")
		if err != nil {
			t.Fatal(err)
		}
		served, began := make(chan error, 1), time.Now()
		go func() { served <- w.Serve(t.Context(), &flaky{inner, 20}) }()
		conn, err := w.network.Dial(t.Context(), "10.0.0.9:1516")
		if err != nil {
			t.Fatal(err)
		}
		g := peertest.New(t, conn)
		g.OK("hello", "w1 wazuh worker 4.7.5")
		if took := time.Since(began); took < time.Second || took > 30*time.Second {
			t.Errorf("went on after %v", took)
		}
		if n := w.lines.Count("too many open files"); n != 1 {
			t.Errorf("%d lines", n)
		}
		// A listener that is gone for good ends the master.
		_ = inner.Close()
		g.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}
