package registrar

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

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
		if live := w.liveKeys(t); len(live) != 1 || !live[reg.Entry.ID].Secret.Equal(reg.Entry.Secret) {
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

// A master that never answers in time does not keep an agent's connection for ever.
func TestWorker_AlwaysLate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		asked := 0
		worker := NewWorker(WorkerConfig{
			Ask: func(ctx context.Context, client string, question []byte) ([]byte, error) {
				if asked++; asked > 20 {
					return nil, errors.New("asked for ever")
				}
				answer, err := w.ask(ctx, client, question)
				time.Sleep(lateTime + time.Second)
				return answer, err
			},
			PeerHas: func(string) bool { return true }, Attempts: 5,
		})
		_, err := worker.Register(t.Context(), request(t, line("web-01")), "")
		if refusal, is := errors.AsType[*enrolment.Refusal](err); !is || refusal.Text != enrolment.NoMaster().Text || asked != 6 {
			t.Error(err, asked)
		}
		w.enrols(t, line("web-01")) // when it comes again
	}, keeping)
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
	if len(learnt) != 1 || !learnt[0].Secret.Equal(reg.Entry.Secret) || learnt[0].Address != "10.0.0.0/8" || reg.Address != "10.0.0.0/255.0.0.0" {
		t.Error(learnt, reg.Address)
	}
	if !strings.Contains(w.log.String(), `from="worker w1"`) {
		t.Error(w.log)
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
