package registrar

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

// bubble runs a test in a world whose time goes by itself.
func bubble(t *testing.T, test func(t *testing.T, w *world), tweaks ...tweak) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, tweaks...)) })
}

// pass lets time go by, and then everybody do what is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// running starts a worker's task; stop ends it.
func running(w *Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return func() {
		cancel()
		<-ended
	}
}

// heldBy has a worker ask for a key that is then lost with the worker.
func (w *world) heldBy(t testing.TB, line string) enrolment.Answer {
	t.Helper()
	m := request(t, line).Addition()
	m.Arguments.Held = true
	answer, err := enrolment.ParseAnswer(w.Answer(t.Context(), m.JSON()))
	if err != nil || answer.Refusal != nil {
		t.Fatal(answer, err)
	}
	return answer
}

// A worker is killed between the master's answer and the agent's. The agent comes
// again, at once and anywhere, and gets a key although replacing is forbidden.
func TestHeld_RetrySucceeds(t *testing.T) {
	for name, wait := range map[string]time.Duration{"at once": 0, "later": time.Minute, "just in time": heldTime - time.Minute} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				lost := w.heldBy(t, line("web-01", "IP:'10.0.0.7'"))
				pass(wait)
				start := time.Now()
				e := w.enrols(t, line("web-01", "IP:'10.0.0.7'"))
				if took := time.Since(start); took != max(0, settleTime-wait) {
					t.Error("took", took)
				}
				if live := w.liveKeys(t); len(live) != 1 || w.db.len() != 1 || e.ID == lost.ID {
					t.Error(live, w.db.rows)
				}
				w.refused(t, line("web-01")) // whose key arrived
			}, keeping)
		})
	}
}

func TestHeld_NotForEver(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.heldBy(t, line("web-01"))
		pass(heldTime)
		w.refused(t, line("web-01"))
	}, keeping)
}

// Somebody else wants the name while the key is on its way: it is waited for what
// becomes of that.
func TestHeld_WaitedFor(t *testing.T) {
	tests := map[string]struct {
		happens func(w *world, id string)
		gets    bool
	}{
		"confirmed": {func(w *world, id string) {
			w.Answer(context.Background(), []byte(`{"function":"confirm","arguments":{"id":"`+id+`"}}`))
		}, false},
		"taken back": {func(w *world, id string) {
			w.Answer(context.Background(), []byte(`{"function":"remove","arguments":{"id":"`+id+`","purge":true}}`))
		}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				id := w.heldBy(t, line("web-01")).ID
				start := time.Now()
				time.AfterFunc(time.Second, func() { tt.happens(w, id) })
				_, err := w.Register(t.Context(), request(t, line("web-01")), "")
				if got := err == nil; got != tt.gets || time.Since(start) != time.Second {
					t.Error(err, time.Since(start))
				}
			}, keeping)
		})
	}
}

// A held agent that has connected has its key, whatever was lost of the
// confirmation; so has one that shows that it knows the key.
func TestHeld_ButTheAgentIsThere(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.heldBy(t, line("web-01"))
		pass(settleTime)
		w.db.is(1, enrolment.Existing{Status: agent.Active, AddedAt: time.Now().Unix()})
		w.refused(t, line("web-01"))

		a := w.heldBy(t, line("web-02"))
		w.refused(t, line("web-02", "K:'"+enrolment.KeyHash(a.ID, a.Name, a.Key)+"'"))
		w.refused(t, line("web-02"))

		w.heldBy(t, line("web-03"))
		pass(settleTime)
		w.db.set(errAway)
		w.refused(t, line("web-03")) // it may have connected
	}, keeping)
}

// While the database is away an agent whose row waits cannot have connected.
func TestHeld_WithoutDatabase(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.set(errAway)
		w.heldBy(t, line("web-01"))
		e := w.enrols(t, line("web-01"))
		w.db.set(nil)
		pass(time.Minute)
		if row, there := w.db.row(number(e)); !there || w.db.len() != 1 {
			t.Error(row, w.db.rows)
		}
	}, keeping)
}

// So it is while the row is being tried again.
func TestHeld_WhileTheRowIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.set(errAway)
		w.heldBy(t, line("web-01"))
		gate := make(chan struct{})
		defer close(gate)
		w.db.mu.Lock()
		w.db.gate = gate
		w.db.mu.Unlock()
		pass(settleTime)
		for !w.rows.retries() {
			time.Sleep(time.Second)
		}
		w.enrols(t, line("web-01"))
	}, keeping)
}

// The write to the agent fails: nothing of it stays, and it may come again.
func TestRegistration_Lost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		reg, err := w.Register(t.Context(), request(t, line("web-01")), "")
		if err != nil {
			t.Fatal(err)
		}
		reg.Lost(t.Context())
		reg.Delivered()
		if w.keys.Len() != 0 || w.db.len() != 0 || w.removedLines(t) != "" {
			t.Error(w.liveKeys(t), w.db.rows)
		}
		e := w.enrols(t, line("web-01"))
		reg.Lost(t.Context()) // told already
		w.lose(t.Context(), keystore.Entry{ID: e.ID, Name: e.Name, Secret: agent.NewSecret("another")})
		if w.keys.Len() != 1 {
			t.Error("another's entry went")
		}
	}, keeping)
}

// Nobody knows whether the agent has read its answer.
func TestRegistration_NeitherDeliveredNorLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		if _, err := w.Register(t.Context(), request(t, line("web-01")), ""); err != nil {
			t.Fatal(err)
		}
		w.enrols(t, line("web-01"))
	}, keeping)
}

// Few wait for one registration, and not too many in all; the others are answered
// as if the key had arrived.
func TestHeld_WaitersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		names := waitersMost/waitersOfOne + 10
		for i := range names {
			w.heldBy(t, line("web-"+strconv.Itoa(i)))
		}
		var all sync.WaitGroup
		var answered, waited, succeeded atomic.Int32
		for i := range names {
			for range 2 * waitersOfOne {
				all.Go(func() {
					start := time.Now()
					reg, err := w.Register(t.Context(), request(t, line("web-"+strconv.Itoa(i))), "")
					if time.Since(start) == 0 {
						answered.Add(1)
					} else if waited.Add(1); err == nil {
						succeeded.Add(1)
						reg.Delivered()
					}
				})
			}
		}
		all.Wait()
		if answered.Load() != int32(2*waitersOfOne*names-waitersMost) || waited.Load() != waitersMost {
			t.Error(answered.Load(), "were answered at once,", waited.Load(), "waited")
		}
		if n := succeeded.Load(); n < waitersMost/waitersOfOne || w.held.waiters != 0 || w.keys.Len() != names {
			t.Error(n, w.held.waiters, w.keys.Len())
		}
	}, keeping)
}

func TestHolding_IsBounded(t *testing.T) {
	h := newHolding(3)
	for i := range 10 {
		h.hold(keystore.Entry{ID: strconv.Itoa(i)}, time.Now())
	}
	if h.len() != 3 || len(h.byID) != 3 || h.of(keystore.Entry{ID: "6"}) != nil || h.of(keystore.Entry{ID: "7"}) == nil {
		t.Error(h.byID)
	}
}

// A home whose etc/shared is away has no groups.
func TestRegister_NoShared(t *testing.T) {
	w := newWorld(t)
	if err := os.RemoveAll(filepath.Join(w.dir, "etc/shared")); err != nil {
		t.Fatal(err)
	}
	if got := w.refused(t, line("a1", "G:'default'")); got != "Invalid group: default" {
		t.Error(got)
	}
}
