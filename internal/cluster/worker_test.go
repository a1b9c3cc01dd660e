package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/session"
	"testudo/internal/wire"
)

func TestWorker_Connects(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ran atomic.Int32
		work := exchangeFunc(func(s *session.Session, _ *session.Mux) func(context.Context) {
			return func(ctx context.Context) {
				if !s.PeerIsTestudo() {
					t.Error("the work began before both ends knew each other")
				}
				ran.Add(1)
				<-ctx.Done()
			}
		})
		w := newWorld(t, nil)
		began := time.Now()
		worker := w.settle("w1", nil, work)
		synctest.Wait()
		if !worker.Connected().Equal(began) || ran.Load() != 1 {
			t.Errorf("connected %v, work ran %d times", worker.Connected(), ran.Load())
		}
		if list := w.Members(); len(list) != 1 || !list[0].Testudo {
			t.Errorf("members %+v", list)
		}
		worker.lines.Want(t, "Successfully connected to master.")
		if strings.Contains(worker.lines.String(), "level=ERROR") || strings.Contains(w.lines.String(), "level=ERROR") {
			t.Errorf("errors:\n%s%s", worker.lines, w.lines)
		}
	})
}

// Plain keeps to the 4.7.5 protocol.
func TestWorker_Plain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.settle("w1", func(c *WorkerConfig) { c.Plain = true })
		synctest.Wait()
		if list := w.Members(); len(list) != 1 || list[0].Testudo {
			t.Errorf("members %+v", list)
		}
	})
}

// A worker says why its master does not take it, in words one can act upon,
// once and not at each try.
func TestWorker_SaysTheTrueReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*WorkerConfig)
		want   []string
	}{
		"another version": {func(c *WorkerConfig) { c.Hello.Version = "4.7.4" },
			[]string{"Could not connect to master: Error 3031 - ", "we present 4.7.4"}},
		"another cluster": {func(c *WorkerConfig) { c.Hello.Cluster = "other" },
			[]string{"Could not connect to master: Error 3030 - ", "ours is other"}},
		"name in use": {func(c *WorkerConfig) { c.Hello.Name = "taken" },
			[]string{"Could not connect to master: Error 3028 - Worker node ID already exists: taken.", "give each worker its own node_name"}},
		"the master's name": {func(c *WorkerConfig) { c.Hello.Name = "master" },
			[]string{"Could not connect to master: Error 3029 - ", "node_name is the master's own"}},
		"a bad name": {func(c *WorkerConfig) { c.Hello.Name = "../x" },
			[]string{"Could not connect to master: Error 1000 - ", "node name"}},
		"another key": {func(c *WorkerConfig) { c.Session.Key, _ = wire.NewKey(strings.Repeat("k", 32)) },
			[]string{"The master closed the connection", "cluster keys of the two nodes probably differ"}},
		"nobody listens": {func(c *WorkerConfig) { c.Port = 1517 },
			[]string{"Could not connect to master. Trying again in 10 seconds.", "master=10.0.0.1:1517"}},
	} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, nil)
			taken := w.settle("taken", nil)
			synctest.Wait()
			worker := w.settle("w1", c.change)
			time.Sleep(time.Minute)
			synctest.Wait()
			worker.lines.Want(t, c.want...)
			if n := worker.lines.Count("level=ERROR"); n != 1 {
				t.Errorf("%s: %d error lines in a minute:\n%s", name, n, worker.lines)
			}
			if !worker.Connected().IsZero() || taken.Connected().IsZero() || w.names() != "taken" {
				t.Errorf("%s: members %q", name, w.names())
			}
		})
	}
}

// A master that answers and closes in one breath has still said why.
func TestWorker_ReasonBeforeTheClose(t *testing.T) {
	for range 50 {
		inBubble(t, func(t *testing.T) {
			w := newWorldOf(t)
			master := newFakeMaster(t, w)
			worker := w.settle("w1", nil)
			g := <-master.arrived
			f := g.Next()
			g.Send(f.Counter, "err", "no more workers today")
			g.Close()
			synctest.Wait()
			worker.lines.Want(t, "Could not connect to master: Error 3000 - ", "no more workers today")
		})
	}
}

func TestWorker_HelloIsNotAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorldOf(t)
		master := newFakeMaster(t, w)
		worker := w.settle("w1", nil)
		g := <-master.arrived
		began := time.Now()
		g.Next()
		g.WantClosed()
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("closed after %v", took)
		}
		synctest.Wait()
		worker.lines.Want(t, "Could not connect to master: Error 3020 - ", "does not answer hello")
		<-master.arrived // and tries again
	})
}

// The pauses grow up to the configured one, with jitter, and the first try is
// made at once. The name of the master is looked up each time.
func TestWorker_BackOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var tries []time.Time
		began := time.Now()
		refused := func(_ context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			if address != "master.example:1516" {
				t.Errorf("a call to %s", address)
			}
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		worker := settle(t, refused, "w1", func(c *WorkerConfig) { c.Master = "master.example" })
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(tries) < 60 || !tries[0].Equal(began) {
			t.Fatalf("%d tries in ten minutes, the first after %v", len(tries), tries[0].Sub(began))
		}
		same := 0
		for i := range tries[1:] {
			pause := tries[i+1].Sub(tries[i])
			if pause > 10*time.Second || pause < 500*time.Millisecond || i > 10 && pause < 3*time.Second {
				t.Errorf("pause %d is %v", i, pause)
			}
			if i > 0 && pause == tries[i].Sub(tries[i-1]) {
				same++
			}
		}
		if first := tries[1].Sub(tries[0]); first > 1500*time.Millisecond {
			t.Errorf("first pause %v", first)
		}
		if same > 2 {
			t.Errorf("%d of %d pauses are like the one before", same, len(tries))
		}
		if n := worker.lines.Count("level=ERROR"); n != 1 {
			t.Errorf("%d error lines:\n%s", n, worker.lines)
		}
	})
}

// A session that lasted starts the pauses anew; one that did not, does not.
func TestWorker_BackOffAfterASession(t *testing.T) {
	for name, c := range map[string]struct {
		lasts       time.Duration
		least, most time.Duration // of the pause after twenty sessions
	}{
		"lasting sessions": {time.Minute, 500 * time.Millisecond, 1500 * time.Millisecond},
		"short sessions":   {time.Second, 3 * time.Second, 10 * time.Second},
	} {
		inBubble(t, func(t *testing.T) {
			w := newWorldOf(t)
			master := newFakeMaster(t, w)
			worker := w.settle("w1", nil)
			var closed time.Time
			for i := range 20 {
				g := master.welcome()
				if pause := time.Since(closed); i == 19 && (pause < c.least || pause > c.most) {
					t.Errorf("%s: pause %v, want %v to %v", name, pause, c.least, c.most)
				}
				time.Sleep(c.lasts)
				g.Close()
				closed = time.Now()
			}
			worker.stop()
		})
	}
}

func TestWorker_ComesBackAfterEveryEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		faults := faultnet.New()
		defer faults.Close()
		worker := settle(t, faults.Dialer(w.network.Host("10.0.0.2").DialContext), "w1", nil)
		connected := func(what string, within time.Duration, since time.Time) {
			t.Helper()
			for !worker.Connected().After(since) && time.Since(since) < within {
				time.Sleep(100 * time.Millisecond)
			}
			if !worker.Connected().After(since) {
				t.Errorf("%s: not back within %v", what, within)
			}
		}
		time.Sleep(time.Minute)
		for what, fault := range map[string]faultnet.Fault{
			"cut": faultnet.Cut(faultnet.Read, 0), "reset": faultnet.Reset(faultnet.Write, 0), "corrupted": faultnet.Corrupt(faultnet.Read, 50, 1),
		} {
			since := time.Now()
			faults.Inject(fault)
			connected(what, 2*time.Minute, since)
			time.Sleep(time.Minute)
		}
		since := time.Now()
		w.members.all()[0].session.Close(errors.New("the master's own reason"))
		connected("closed by the master", 5*time.Second, since)
	})
}

// A network of long ways is slow, not broken.
func TestWorker_DelayedConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		faults := faultnet.New()
		defer faults.Close()
		faults.Script(func(int) []faultnet.Fault {
			return []faultnet.Fault{faultnet.Delay(faultnet.Read, 0, 3*time.Second), faultnet.Delay(faultnet.Write, 0, 3*time.Second)}
		})
		worker := settle(t, faults.Dialer(w.network.Host("10.0.0.2").DialContext), "w1", nil)
		time.Sleep(time.Hour)
		if at := worker.Connected(); at.IsZero() || time.Since(at) < 59*time.Minute {
			t.Errorf("connected since %v", at)
		}
		if n := worker.lines.Count("Successfully connected"); n != 1 {
			t.Errorf("connected %d times", n)
		}
	})
}

// It stops at once, whatever it is doing.
func TestWorker_Stops(t *testing.T) {
	for name, dial := range map[string]faultnet.DialFunc{
		"connecting": func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"pausing":    func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		"waiting for the answer to hello": func(context.Context, string, string) (net.Conn, error) {
			near, _ := memnet.Pipe()
			return near, nil
		},
	} {
		inBubble(t, func(t *testing.T) {
			worker := settle(t, dial, "w1", nil)
			synctest.Wait()
			began := time.Now()
			worker.stop()
			if err := <-worker.ended; err != nil || time.Since(began) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			worker.ended <- nil
		})
	}
}

func TestDialText(t *testing.T) {
	for want, err := range map[string]error{
		"no such host: master.example":                        &net.DNSError{Err: "no such host", Name: "master.example", IsNotFound: true},
		"the name service does not answer for m":              &net.OpError{Op: "dial", Err: &net.DNSError{Err: "read udp 127.0.0.1:41234->127.0.0.53:53: i/o timeout", Name: "m", IsTimeout: true}},
		"no answer in time":                                   &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"connection refused":                                  &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		`dial x\n: odd`:                                       errors.New("dial x\n: odd"),
		"network is unreachable":                              syscall.ENETUNREACH,
		"the name service does not answer for evil\\nexample": &net.DNSError{Err: "x", Name: "evil\nexample"},
	} {
		if got := dialText(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
