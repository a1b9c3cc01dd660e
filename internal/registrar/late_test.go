package registrar

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/keystore"
)

// The database hangs while an agent registers at this node: until the port has
// handed over the key, another one that wants the name does not get the place.
func TestRegister_LateAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.gate = make(chan struct{})
		defer close(w.db.gate)
		var other sync.WaitGroup
		defer other.Wait()
		other.Go(func() {
			time.Sleep(time.Second)
			w.refused(t, line("web-01"))
		})
		reg, err := w.Register(t.Context(), request(t, line("web-01")), "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // the port hands over the key
		if e, there := w.keys.ByID(reg.Entry.ID); !there || !e.Same(reg.Entry) {
			t.Error("the key that the agent gets is gone")
		}
		reg.Delivered()
	}, keeping)
}

// Somebody removes the agent before that: it is not told of a key that is none.
func TestRegister_TooLate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.gate = make(chan struct{})
		defer close(w.db.gate)
		var remove sync.WaitGroup
		defer remove.Wait()
		remove.Go(func() {
			time.Sleep(time.Second)
			w.says(t, `{"function":"remove","arguments":{"id":"001","purge":true}}`)
		})
		e := w.enrols(t, line("web-01"))
		if now, there := w.keys.ByID(e.ID); e.ID != "002" || !there || !now.Same(e) {
			t.Error(e)
		}
	}, keeping)
}

// gated keys let additions through when the gate is open.
type gatedKeys struct {
	Keys
	gate chan struct{}
}

func (g *gatedKeys) Add(ctx context.Context, a keystore.Addition) (keystore.Entry, error) {
	if len(a.Replace) > 0 {
		<-g.gate
	}
	return g.Keys.Add(ctx, a)
}

// A worker asks for a place to be kept that is being given to another at this very
// moment: it hears how that ends.
func TestKeep_WhileAnotherGetsThePlace(t *testing.T) {
	for _, other := range []string{line("web-01"), line("web-02", "IP:'10.0.0.7'")} {
		bubble(t, func(t *testing.T, w *world) {
			gate := make(chan struct{})
			w.cfg.Keys = &gatedKeys{w.cfg.Keys, gate}
			held := w.heldBy(t, line("web-01", "IP:'10.0.0.7'"))
			pass(settleTime)
			var tasks sync.WaitGroup
			tasks.Go(func() { w.enrols(t, other) })
			synctest.Wait()
			var answer []byte
			tasks.Go(func() {
				answer = w.AnswerWorker(t.Context(), "w", []byte(`{"function":"confirm","arguments":{"id":"`+held.ID+`","held":true}}`))
			})
			synctest.Wait()
			close(gate)
			tasks.Wait()
			if got := string(answer); got != `{"error":9011,"message":"Agent ID not found"}` {
				t.Errorf("for %q: %s", other, got)
			}
		}, keeping)
	}
}

// swapping keys see, before an agent is replaced, somebody else remove it and give
// its id to another.
type swapping struct {
	Keys
	w *world
}

func (s *swapping) Add(ctx context.Context, a keystore.Addition) (keystore.Entry, error) {
	if len(a.Replace) > 0 {
		old := a.Replace[0]
		if _, err := s.Remove(ctx, old.ID, true); err != nil {
			return old, err
		}
		e, err := s.Keys.Add(ctx, keystore.Addition{Entry: keystore.Entry{ID: old.ID, Name: "other", Address: "any", Secret: agent.NewSecret("others")}})
		if err != nil {
			return e, err
		}
		s.w.db.mu.Lock()
		s.w.db.rows[number(e)] = NewAgent{ID: number(e), Name: e.Name}
		s.w.db.mu.Unlock()
	}
	return s.Keys.Add(ctx, a)
}

// Whoever has got the id of an agent that was to be replaced keeps the row.
func TestRegister_IDGivenToAnotherMeanwhile(t *testing.T) {
	w := newWorld(t, force(replaceAll()))
	old := w.enrols(t, line("web-01"))
	w.cfg.Keys = &swapping{w.cfg.Keys, w}
	w.enrols(t, line("web-01"))
	if row, there := w.db.row(number(old)); !there || row.Name != "other" {
		t.Error(row, there)
	}
	if got := w.rows.places(); got != 0 {
		t.Errorf("%d places are taken", got)
	}
}
