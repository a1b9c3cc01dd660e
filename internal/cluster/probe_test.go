package cluster

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
)

// A live worker keeps its name: whoever comes with it is refused and told so.
func TestProbe_LiveWorkerKeepsItsName(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, answer := range []struct{ name, text string }{
			{"ok-c", "keepalive"}, {"ok", ""}, {"err", "unknown command 'b'echo-m''"},
		} {
			old := w.join("w1")
			newcomer := w.dial("10.0.0.3")
			newcomer.Send(1, "hello", "w1 wazuh worker 4.7.5")
			if f := old.Reply("echo-m", answer.name, answer.text); string(f.Payload) != "keepalive" {
				t.Errorf("asked %q", f.Payload)
			}
			if f := newcomer.Next(); f.Command != "err" {
				t.Errorf("the newcomer was answered %s %s", f.Command, f.Payload)
			}
			newcomer.WantClosed()
			old.OK("echo-c", "still there")
			old.Close()
			synctest.Wait()
		}
	})
}

// A worker that comes back while its old connection hangs takes its place
// within seconds.
func TestProbe_OldConnectionHangs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) { c.ProbeTimeout = 5 * time.Second })
		old := w.join("w1")
		began := time.Now()
		newcomer := w.dial("10.0.0.3")
		if got := newcomer.OK("hello", "w1 wazuh worker 4.7.5"); got != "Client w1 added" {
			t.Errorf("welcome %q", got)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("welcome after %v", took)
		}
		if list := w.Members(); len(list) != 1 || list[0].Address != "10.0.0.3" {
			t.Errorf("members %v", list)
		}
		w.lines.Want(t, "its old connection does not answer")
		if f := old.Next(); f.Command != "echo-m" {
			t.Errorf("the old one got %s", f.Command)
		}
		old.WantClosed()
		newcomer.OK("echo-c", "keepalive")
	})
}

// While the old connection is being probed it may end by itself.
func TestProbe_OldConnectionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) { c.ProbeTimeout = time.Hour })
		old := w.join("w1")
		newcomer := w.dial("10.0.0.3")
		newcomer.Send(1, "hello", "w1 wazuh worker 4.7.5")
		synctest.Wait()
		old.Close()
		if f := newcomer.Next(); f.Command != "ok" {
			t.Errorf("answer %s %s", f.Command, f.Payload)
		}
	})
}

// Of many newcomers at once exactly one takes the place of a dead connection,
// and none that of a live one; the old one is asked once for all of them.
func TestProbe_ManyNewcomers(t *testing.T) {
	for name, c := range map[string]struct {
		alive bool
		want  int32
	}{"dead": {false, 1}, "alive": {true, 0}} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, nil)
			old := w.join("w1")
			var welcomed atomic.Int32
			var all sync.WaitGroup
			for range 20 {
				newcomer := w.dial("10.0.0.3")
				all.Go(func() {
					newcomer.Send(1, "hello", "w1 wazuh worker 4.7.5")
					for f, err := newcomer.Dec.Next(); err == nil; f, err = newcomer.Dec.Next() {
						switch f.Command {
						case "ok":
							welcomed.Add(1)
						case "echo-m": // it has won and is asked itself
							newcomer.Send(f.Counter, "ok-c", "keepalive")
						}
					}
				})
			}
			synctest.Wait()
			if c.alive {
				old.Reply("echo-m", "ok-c", "keepalive")
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := welcomed.Load(); got != c.want {
				t.Errorf("%s: %d were welcomed, want %d", name, got, c.want)
			}
			if w.names() != "w1" {
				t.Errorf("%s: members %q", name, w.names())
			}
			if c.alive {
				old.Quiet(time.Minute) // it was asked once
			}
			w.stop()
			all.Wait()
		})
	}
}

// Two live workers of one name never push each other out.
func TestProbe_TwoLiveWorkersOfOneName(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := w.settle("w1", nil)
		synctest.Wait()
		since := first.Connected()
		second := w.settle("w1", nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if since.IsZero() || first.Connected() != since {
			t.Errorf("the first is connected since %v, was since %v", first.Connected(), since)
		}
		if !second.Connected().IsZero() {
			t.Errorf("the second is connected since %v", second.Connected())
		}
		second.lines.Want(t, "Could not connect to master: Error 3028 - Worker node ID already exists: w1.", "give each worker its own node_name")
		if n := second.lines.Count("Error 3028"); n > 8 {
			t.Errorf("the reason was written %d times in an hour", n)
		}
		// When the first leaves, the second takes the name.
		first.stop()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if second.Connected().IsZero() || w.names() != "w1" {
			t.Errorf("the second is not connected: members %q", w.names())
		}
		second.lines.Want(t, "Connected to the master again.")
	})
}

// A worker whose network was cut without a word comes back at once.
func TestProbe_WorkerComesBackAfterAPartition(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		faults := faultnet.New()
		defer faults.Close()
		worker := settle(t, faults.Dialer(w.network.Host("10.0.0.2").DialContext), "w1", nil)
		time.Sleep(time.Minute)
		faults.Partition(true)
		faults.Partition(false) // the old connection is dead, new ones are fine
		cut := time.Now()
		for worker.Connected().Before(cut) {
			time.Sleep(time.Second)
		}
		// A keep-alive each minute, two that fail, a pause, a probe.
		if took := time.Since(cut); took > time.Minute+2*20*time.Second+10*time.Second+5*time.Second {
			t.Errorf("came back after %v", took)
		}
		if w.names() != "w1" {
			t.Errorf("members %q", w.names())
		}
	})
}
