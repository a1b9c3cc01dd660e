package dapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
)

// asked is what became of a request that runs beside the test.
type asked struct {
	answer []byte
	err    error
	took   time.Duration
}

// aside asks and gives what became of it.
func aside(ask func() ([]byte, error)) <-chan asked {
	done := make(chan asked, 1)
	began := time.Now()
	go func() {
		answer, err := ask()
		done <- asked{answer, err, time.Since(began)}
	}()
	return done
}

// owesNothing wants every room and every place in a queue given back.
func (e *engine) owesNothing(t *testing.T) {
	t.Helper()
	synctest.Wait()
	e.gate.mu.Lock()
	defer e.gate.mu.Unlock()
	if e.gate.total != (open{}) || len(e.gate.askers) > 0 {
		t.Errorf("%s: still open: %+v", e.cfg.Node, e.gate.total)
	}
	e.slots.mu.Lock()
	defer e.slots.mu.Unlock()
	if e.slots.running != 0 || e.slots.waiting != 0 || len(e.slots.lanes)+len(e.slots.functions)+len(e.slots.circle) > 0 {
		t.Errorf("%s: %d run, %d wait", e.cfg.Node, e.slots.running, e.slots.waiting)
	}
	e.answers.mu.Lock()
	defer e.answers.mu.Unlock()
	if e.answers.held != 0 || len(e.answers.by) > 0 {
		t.Errorf("%s: %d bytes of answers are held", e.cfg.Node, e.answers.held)
	}
}

// A request that is on its way when a connection breaks is answered with a true
// error at once, at each hop.
func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(w *world) ([]byte, error)
		cut  string
		want fault.Code
		ran  string // the node that ran it
	}{
		"worker to master": {
			func(w *world) ([]byte, error) {
				return w.workers["w3"].Ask(w.t.Context(), "7", ask{"test.sleep", `{"seconds": 9}`, LocalMaster, everybody}.JSON())
			}, "w3", fault.NotConnected, "m3",
		},
		"master to worker, forwarded": {
			func(w *world) ([]byte, error) {
				return w.AskNode(w.t.Context(), "7", "w4", ask{"test.sleep", `{"seconds": 9}`, LocalAny, everybody}.JSON())
			}, "w4", fault.UnknownNode, "w4",
		},
		"master to worker, routed": {
			func(w *world) ([]byte, error) {
				return w.Ask(w.t.Context(), "7", ask{"test.sleep", `{"seconds": 9, "node_id": "w4"}`, DistributedMaster, everybody}.JSON())
			}, "w4", fault.UnknownNode, "w4",
		},
		"worker to worker, the asker": {
			func(w *world) ([]byte, error) {
				return w.workers["w3"].Ask(w.t.Context(), "7", ask{"test.sleep", `{"seconds": 9, "node_id": "w4"}`, DistributedMaster, everybody}.JSON())
			}, "w3", fault.NotConnected, "w4",
		},
		"worker to worker, the answerer": {
			func(w *world) ([]byte, error) {
				return w.workers["w3"].Ask(w.t.Context(), "7", ask{"test.sleep", `{"seconds": 9, "node_id": "w4"}`, DistributedMaster, everybody}.JSON())
			}, "w4", fault.UnknownNode, "w4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, plain bool) {
				w := newWorld(t, nil)
				w.join("w3", plain, nil)
				w.join("w4", plain, nil)
				done := aside(func() ([]byte, error) { return c.ask(w) })
				time.Sleep(2 * time.Second)
				if n := sleeping.of(c.ran); n != 1 {
					t.Fatalf("%s runs %d", c.ran, n)
				}
				w.workers[c.cut].cut()
				synctest.Wait()
				got := <-done
				if got.took != 2*time.Second {
					t.Errorf("answered after %v", got.took)
				}
				e := fault.From(got.err)
				if got.err == nil {
					e = read(t, got.answer).Err
				}
				if e == nil || e.Code != c.want {
					t.Errorf("got %s %v", got.answer, got.err)
				}
				// The asker of a 4.7.5 node cannot call off what runs there.
				if !plain || c.cut == c.ran || c.ran == "m3" {
					synctest.Wait()
					if n := sleeping.of(c.ran); n != 0 {
						t.Errorf("%s still runs it", c.ran)
					}
				}
				time.Sleep(10 * time.Second)
				for _, n := range []*engine{w.engine, w.workers["w3"].engine, w.workers["w4"].engine} {
					n.owesNothing(t)
				}
			})
		})
	}
}

// Who goes away takes the work along, through all nodes.
func TestAskerGone(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w4 := w.join("w4", plain, nil)
		ctx, leave := context.WithCancel(t.Context())
		done := aside(func() ([]byte, error) {
			return w3.Ask(ctx, "7", ask{"test.sleep", `{"seconds": 9, "node_list": ["m3", "w4"]}`, DistributedMaster, everybody}.JSON())
		})
		time.Sleep(time.Second)
		if sleeping.of("m3") != 1 || sleeping.of("w4") != 1 {
			t.Fatal("it does not run")
		}
		leave()
		synctest.Wait()
		if got := <-done; !errors.Is(got.err, context.Canceled) || got.took != time.Second {
			t.Errorf("got %s %v after %v", got.answer, got.err, got.took)
		}
		running := sleeping.of("m3") + sleeping.of("w4")
		if plain { // a 4.7.5 node cannot be told; its answer is dropped
			if running != 2 {
				t.Errorf("%d run", running)
			}
			time.Sleep(10 * time.Second)
		} else if running != 0 {
			t.Errorf("%d still run", running)
		}
		for _, n := range []*engine{w.engine, w3.engine, w4.engine} {
			n.owesNothing(t)
		}
	})
}

// The time that is left travels with a request, so that nobody works longer
// than somebody waits.
func TestDeadlineTravels(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Timeout = 30 * time.Second })
		w3 := w.join("w3", false, nil)
		w.join("w4", false, func(c *Config) { c.Timeout = time.Hour })
		done := aside(func() ([]byte, error) {
			return w3.Ask(t.Context(), "7", ask{"test.sleep", `{"seconds": 500, "node_id": "w4"}`, DistributedMaster,
				everybody + `, "wait_for_complete": true`}.JSON())
		})
		time.Sleep(29 * time.Second)
		if n := sleeping.of("w4"); n != 1 {
			t.Fatalf("%d run", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := sleeping.of("w4"); n != 0 {
			t.Errorf("%d still run", n)
		}
		got := <-done
		if e := fault.From(got.err); got.err == nil && code(t, got.answer) != fault.APITimeout || got.err != nil && e.Code != fault.APITimeout {
			t.Errorf("got %s %v", got.answer, got.err)
		}
	})
}

// An answer that comes when nobody waits any more is refused and forgotten.
func TestLateAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Timeout = 5 * time.Second })
		requests := make(chan string, 1)
		var far *pairtest.End
		_, far, _ = pairtest.Connect(t, "w3", true, pairtest.Of(w.Offer), pairtest.ByHand(requests, "dapi"))
		synctest.Wait()
		_, err := w.AskNode(t.Context(), "7", "w3", ask{function: "test.sleep"}.JSON())
		if e := fault.From(err); e.Code != fault.APITimeout || e.Class != fault.ClassCluster {
			t.Errorf("got %v", err)
		}
		id := idOf(<-requests)
		sid := far.SendText(t, `{"__wazuh_result__": {}}`)
		_, err = far.Request(t.Context(), "dapi_res", []byte(id+" "+sid))
		if !fault.Has(err, fault.NoForwarding) {
			t.Errorf("got %v", err)
		}
		if _, err := far.Request(t.Context(), "dapi_err", []byte(id+" too late")); !fault.Has(err, fault.NoForwarding) {
			t.Errorf("got %v", err)
		}
		w.owesNothing(t)
	})
}

// idOf is the id in a request that ByHand has noted: "dapi ID request".
func idOf(noted string) string {
	var id string
	for i, n := len("dapi "), 0; i < len(noted) && n < 1; i++ {
		if noted[i] == ' ' {
			n++
			continue
		}
		id += string(noted[i])
	}
	return id
}

// A reason that a 4.7.5 node gives in plain words is told as numbered error
// 3000, one in JSON as it is.
func TestErrorOfANode(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		requests := make(chan string, 1)
		_, far, _ := pairtest.Connect(t, "w3", true, pairtest.Of(w.Offer), pairtest.ByHand(requests, "dapi"))
		synctest.Wait()
		for text, want := range map[string]fault.Code{
			"No module named 'nope'":                             fault.RemoteText,
			string(fault.New(fault.NodeAbsent, nil).JSON()):      fault.NodeAbsent,
			string(fault.New(fault.DatabaseRead, "gone").JSON()): fault.DatabaseRead,
		} {
			done := aside(func() ([]byte, error) { return w.AskNode(t.Context(), "7", "w3", []byte("{}")) })
			id := idOf(<-requests)
			if _, err := far.Request(t.Context(), "dapi_err", []byte(id+" "+text)); err != nil {
				t.Fatal(err)
			}
			if got := <-done; !fault.Has(got.err, want) {
				t.Errorf("%s: got %s %v", text, got.answer, got.err)
			}
		}
		if _, err := far.Request(t.Context(), "dapi_err", []byte("nospace")); !fault.Has(err, fault.Unspecified) {
			t.Errorf("got %v", err)
		}
	})
}
