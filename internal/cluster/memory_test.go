package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/peertest"
	"testudo/internal/session"
	"testudo/internal/wire"
)

func TestMaster_RemembersWhoLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		began := time.Now()
		g := w.join("w1")
		synctest.Wait()
		if _, known := w.Departed("w1"); known {
			t.Error("a connected worker has departed")
		}
		time.Sleep(time.Minute)
		g.Close()
		synctest.Wait()
		d, known := w.Departed("w1")
		if !known || d.Address != "10.0.0.2" || !d.Connected.Equal(began) || !d.Ended.Equal(time.Now()) || d.Fault != nil || !strings.Contains(d.Reason, "the worker closed the connection") {
			t.Errorf("%+v, %v", d, known)
		}
		w.join("w2")
		time.Sleep(4 * time.Minute)
		if d, known := w.Departed("w2"); !known || d.Reason != "nothing was heard of it for more than 2m0s, so the connection was closed" {
			t.Errorf("%+v, %v", d, known)
		}
		if absent := w.Absent(); len(absent) != 2 || absent[0].Name != "w1" {
			t.Errorf("absent: %+v", absent)
		}
		g = w.join("w1")
		synctest.Wait()
		if absent := w.Absent(); len(absent) != 1 || absent[0].Name != "w2" {
			t.Errorf("absent: %+v", absent)
		}
		g.Raw([]byte(strings.Repeat("x", 100)))
		synctest.Wait()
		if d, known := w.Departed("w1"); !known || d.Reason == "" || strings.Contains(d.Reason, "the worker closed the connection") {
			t.Errorf("after a broken frame: %+v, %v", d, known)
		}
	})
}

func TestMaster_RemembersWhomItRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := time.Now()
		for range 3 {
			g := w.dial("10.0.0.3")
			g.Ask("hello", "w1 wazuh worker 4.7.4")
			g.Close()
			time.Sleep(time.Second)
		}
		r, known := w.Refused("w1")
		if !known || r.Times != 3 || r.Address != "10.0.0.3" || r.Version != "4.7.4" || r.Cluster != "wazuh" || r.Fault.Code != fault.WrongVersion ||
			!r.Since.Equal(first) || !r.Last.Equal(first.Add(2*time.Second)) {
			t.Errorf("%+v, %v", r, known)
		}
		if list := w.Refusals(); len(list) != 1 {
			t.Errorf("%+v", list)
		}
		w.join("w1")
		synctest.Wait()
		if _, known := w.Refused("w1"); known {
			t.Error("it is not refused any more")
		}
	})
}

func TestMaster_RemembersStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, host := range []string{"10.0.0.4", "10.0.0.5", "10.0.0.4"} {
			g := w.dial(host)
			g.Speak(peertest.NewKey(t, strings.Repeat("x", 32)))
			_ = g.Try(1, "hello", "w1 wazuh worker 4.7.5")
			synctest.Wait()
			g.Close()
			time.Sleep(time.Second)
		}
		list := w.Strangers()
		if len(list) != 2 || list[0].Address != "10.0.0.4" || list[0].Times != 2 || list[0].Fault == nil || list[0].Fault.Code != fault.Decrypt {
			t.Errorf("%+v", list)
		}
	})
}

// Whoever comes, the memory keeps a bound, and the oldest makes room.
func TestMemory_Bound(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newMemory()
		for i := range 2 * mostRemembered {
			name := fmt.Sprint("w", i)
			m.left(&member{name: name}, nil, 0)
			m.refuse(session.Hello{Name: name, Cluster: strings.Repeat("c", 1000)}, "a", fault.New(fault.WrongCluster, nil))
			m.stranger(name, errors.New("x"))
			time.Sleep(time.Second)
		}
		if len(m.departed) != mostRemembered || len(m.refused) != mostRemembered || len(m.strangers) != mostRemembered {
			t.Errorf("%d, %d, %d", len(m.departed), len(m.refused), len(m.strangers))
		}
		last := fmt.Sprint("w", 2*mostRemembered-1)
		if _, known := m.departed[last]; !known || len(m.refused[last].Cluster) != 128 || m.strangers[last].Times != 1 {
			t.Error("the last one is not remembered")
		}
		if _, known := m.departed["w0"]; known {
			t.Error("the first one is remembered")
		}
	})
}

func TestWorker_Trouble(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		worker := w.settle("w1", nil)
		synctest.Wait()
		if trouble, ok := worker.Trouble(); ok {
			t.Errorf("%+v", trouble)
		}
		w.stop()
		began := time.Now()
		time.Sleep(time.Minute)
		trouble, ok := worker.Trouble()
		if !ok || trouble.Master != masterAddress || trouble.Text != "nobody listens there" || trouble.Times < 3 || trouble.Since.Before(began) || trouble.Since.After(began.Add(time.Second)) || trouble.Hint == "" {
			t.Errorf("%+v, %v", trouble, ok)
		}
	})
}

func TestWorker_TroubleHasItsNumber(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*WorkerConfig)
		code   fault.Code
		text   string
	}{
		"refused":   {func(c *WorkerConfig) { c.Hello.Version = "4.7.4" }, fault.WrongVersion, "the master refuses this worker: Error 3031"},
		"other key": {func(c *WorkerConfig) { c.Session.Key, _ = wire.NewKey(strings.Repeat("x", 32)) }, 0, "without a word"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				worker := newWorld(t, nil).settle("w1", c.change)
				time.Sleep(3 * time.Second)
				trouble, ok := worker.Trouble()
				if !ok || !strings.Contains(trouble.Text, c.text) || trouble.Hint == "" {
					t.Errorf("%+v, %v", trouble, ok)
				}
				if c.code != 0 && (trouble.Fault == nil || trouble.Fault.Code != c.code) {
					t.Errorf("%v", trouble.Fault)
				}
			})
		})
	}
}
