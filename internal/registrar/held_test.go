package registrar

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// A cut between worker and master after the master has decided: the worker's own
// second attempt gets the key.
func TestWorker_CutAfterTheDecision(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		cut := true
		worker := NewWorker(WorkerConfig{
			Ask: func(ctx context.Context, client string, question []byte) ([]byte, error) {
				answer, err := w.ask(ctx, client, question)
				if cut {
					cut = false
					return nil, errors.New("connection lost")
				}
				return answer, err
			},
			PeerHas: func(string) bool { return true },
		})
		reg, err := worker.Register(t.Context(), request(t, line("web-01")), "")
		if err != nil {
			t.Fatal(err)
		}
		if live := w.liveKeys(t); len(live) != 1 || live[reg.Entry.ID].Secret != reg.Entry.Secret {
			t.Error(live)
		}
	}, keeping)
}

// An answer that is older than lateTime is asked about before the agent has it; when
// somebody else has got the place meanwhile, the agent does not.
func TestWorker_LateAnswer(t *testing.T) {
	for name, stolen := range map[string]bool{"still ours": false, "another's": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				slow := true
				worker := NewWorker(WorkerConfig{
					Ask: func(ctx context.Context, client string, question []byte) ([]byte, error) {
						answer, err := w.ask(ctx, client, question)
						if slow {
							slow = false
							time.Sleep(settleTime)
							if stolen {
								w.enrols(t, line("web-01"))
							}
						}
						return answer, err
					},
					PeerHas: func(string) bool { return true }, Attempts: 2,
				})
				defer running(worker)()
				reg, err := worker.Register(t.Context(), request(t, line("web-01")), "")
				if stolen {
					if refusal, is := errors.AsType[*enrolment.Refusal](err); !is || refusal.Text != "Duplicate name" {
						t.Error(reg, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var confirming sync.WaitGroup
				ctx, end := context.WithCancel(t.Context())
				confirming.Go(func() { _ = worker.Run(ctx) })
				reg.Delivered()
				w.refused(t, line("web-01"))
				end()
				confirming.Wait()
			}, keeping)
		})
	}
}

// Deliveries are confirmed together, and again after a failure; a 4.7.5 master
// hears of none.
func TestWorker_Confirms(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		testudo, away := true, false
		var confirmed []string
		var mu sync.Mutex // of these
		worker := NewWorker(WorkerConfig{
			Ask: func(ctx context.Context, client string, question []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				if away {
					return nil, errAway
				}
				if strings.Contains(string(question), `"confirm"`) {
					confirmed = append(confirmed, string(question))
				}
				return w.ask(ctx, client, question)
			},
			PeerHas: func(string) bool {
				mu.Lock()
				defer mu.Unlock()
				return testudo
			},
		})
		set := func(b *bool, to bool) {
			mu.Lock()
			defer mu.Unlock()
			*b = to
		}
		defer running(worker)()
		register := func(name string) *Registration {
			reg, err := worker.Register(t.Context(), request(t, line(name)), "")
			if err != nil {
				t.Fatal(err)
			}
			return reg
		}
		a, b := register("web-01"), register("web-02")
		a.Delivered()
		b.Delivered()
		a.Delivered()
		pass(time.Second)
		const both = `{"daemon_name":"authd","message":{"arguments":{"id":"001,002"},"function":"confirm"}}`
		if len(confirmed) != 1 || confirmed[0] != both || w.held.len() != 0 {
			t.Error(confirmed, w.held.len())
		}
		c := register("web-03")
		set(&away, true)
		c.Delivered()
		pass(time.Minute)
		set(&away, false)
		pass(confirmPause)
		if len(confirmed) != 2 || w.held.len() != 0 {
			t.Error(confirmed, w.held.len())
		}
		set(&testudo, false)
		register("web-04").Delivered()
		pass(time.Minute)
		if len(confirmed) != 2 || w.held.len() != 0 {
			t.Error(confirmed, w.held.len())
		}
	}, keeping)
}

// A worker that cannot deliver has the master take the key back.
func TestWorker_Lost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var last string
		failures := 0
		worker := NewWorker(WorkerConfig{Ask: func(ctx context.Context, client string, question []byte) ([]byte, error) {
			last = string(question)
			if failures > 0 {
				failures--
				return nil, errAway
			}
			return w.ask(ctx, client, question)
		}})
		for range 2 {
			reg, err := worker.Register(t.Context(), request(t, line("web-01")), "")
			if err != nil {
				t.Fatal(err)
			}
			reg.Lost(t.Context())
			if want := `{"daemon_name":"authd","message":{"arguments":{"id":"` + reg.Entry.ID + `","purge":true},"function":"remove"}}`; last != want {
				t.Error(last)
			}
			if w.keys.Len() != 0 {
				t.Error(w.liveKeys(t))
			}
			failures = 3
		}
	}, keeping)
}

// The worker's node knows the key before its agent does.
func TestWorker_Learns(t *testing.T) {
	w := newWorld(t)
	var learnt []keystore.Entry
	worker := NewWorker(WorkerConfig{Ask: w.ask, Learn: func(e keystore.Entry) error {
		learnt = append(learnt, e)
		return errors.New("disk full") // which is no reason not to give out the key
	}})
	reg, err := worker.Register(t.Context(), request(t, line("web-01", "IP:'10.0.0.0/255.0.0.0'")), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(learnt) != 1 || learnt[0].Secret != reg.Entry.Secret || learnt[0].Address != "10.0.0.0/8" || reg.Address != "10.0.0.0/255.0.0.0" {
		t.Error(learnt, reg.Address)
	}
}

// A master that is stopped and started again holds what it held.
func TestMaster_HoldsAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.heldBy(t, line("web-01"))
		w.enrols(t, line("web-02"))
		w.stop()
		w = openWorld(t, w.dir, w.db, keeping)
		w.refused(t, line("web-02"))
		w.enrols(t, line("web-01"))
		w.stop()
		w = openWorld(t, w.dir, w.db, keeping)
		w.refused(t, line("web-01"))
		if left, err := os.ReadFile(filepath.Join(w.dir, heldPath)); err == nil {
			t.Errorf("left behind: %s", left)
		}

		w.heldBy(t, line("web-03"))
		w.stop()
		if err := os.WriteFile(filepath.Join(w.dir, heldPath), []byte(`{"ids":`), 0o600); err != nil {
			t.Fatal(err)
		}
		w = openWorld(t, w.dir, w.db, keeping)
		w.refused(t, line("web-03"))
		if !strings.Contains(w.log.String(), "not known whose keys") {
			t.Error(w.log)
		}
	}, keeping)
}

// After a process that was killed, those it enrolled last may come again.
func TestMaster_AfterUncleanStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		entries := []keystore.Entry{
			{ID: "001", Name: "long-ago", Secret: agent.NewSecret("aaa"), Added: time.Now().Add(-2 * doubtTime)},
			{ID: "002", Name: "just-now", Secret: agent.NewSecret("bbb"), Added: time.Now().Add(-time.Second)},
			{ID: "003", Name: "unknown", Secret: agent.NewSecret("ccc")},
		}
		m := NewMaster(MasterConfig{Keys: unclean{w.keys, entries}, Agents: w.db, Home: w.root})
		for _, e := range entries {
			if is, want := m.held.of(e) != nil, e.Name == "just-now"; is != want {
				t.Errorf("%s is held: %t", e.Name, is)
			}
		}
	})
}

// After an end as it should be, what was held is held, and nothing else, until its
// hour is over: also when the next one is killed before it writes anything.
func TestMaster_LeavesWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		lost := w.heldBy(t, line("web-01"))
		gone := w.heldBy(t, line("web-02"))
		w.enrols(t, line("web-03"))
		w.saveHeld()
		if _, err := w.keys.Remove(t.Context(), gone.ID, true); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			after time.Duration
			want  string
		}{{0, lost.ID}, {heldTime / 2, lost.ID}, {heldTime / 2, ""}} {
			time.Sleep(test.after)
			m := NewMaster(MasterConfig{Keys: w.keys, Agents: w.db, Home: w.root})
			var got string
			for _, one := range m.held.left() {
				got += one.ID
			}
			if got != test.want {
				t.Errorf("held: %q, want %q", got, test.want)
			}
		}
		w.saveHeld()
		if left, err := readHeld(w.root); err != nil || len(left) > 0 {
			t.Error(left, err)
		}
	})
}

type unclean struct {
	*keystore.Store
	entries []keystore.Entry
}

func (u unclean) Unclean() (time.Time, bool) { return time.Now(), true }

func (u unclean) Each(f func(keystore.Entry) bool) {
	for _, e := range u.entries {
		f(e)
	}
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

func TestConfirms_AreBounded(t *testing.T) {
	c := newConfirms(nil)
	for i := range confirmMost + 10 {
		c.later(strconv.Itoa(i))
	}
	if len(c.waiting) != confirmMost || c.waiting[0] != "10" {
		t.Error(len(c.waiting), c.waiting[0])
	}
	c.putBack(c.take())
	c.putBack([]string{"x"})
	if len(c.waiting) != confirmMost {
		t.Error(len(c.waiting))
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
