package agentgroups

import (
	"testing"
	"time"

	"testudo/internal/pairtest"
)

// A worker that was away while a change was taken for sent gets everything at
// once when it is back.
func TestMaster_WorkerThatWasAway(t *testing.T) {
	for name, change := range map[string]func(src *source){
		"a checksum tells":    func(src *source) { src.set(1, "web") },
		"a checksum is blind": func(src *source) { src.set(1); src.set(2, "default") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src, stays, goes := newSource(), newSink(1, 2), newSink(1, 2)
				src.set(1, "default")
				src.set(2)
				m, _ := runMaster(t, src, delayed)
				w := NewWorker(WorkerConfig{}, goes)
				pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, stays).Offer))
				_, _, stop := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(2 * time.Second)
				goes.same(t, src)
				stop()
				_, _, again := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(15 * time.Second)
				if src.full != 0 { // it has missed nothing
					t.Errorf("everything was read %d times", src.full)
				}
				again()
				change(src)
				pairtest.Quiet(15 * time.Second)
				if src.left() != 0 {
					t.Errorf("%d agents left", src.left())
				}
				_, worker, _ := pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(time.Second)
				goes.same(t, src)
				worker.Log.Want(t, `task="Agent-groups recv full"`)
				pairtest.Quiet(time.Minute)
				if src.full != 1 {
					t.Errorf("everything was read %d times", src.full)
				}
			})
		})
	}
}

// A worker that the master has not had before, and that has missed something since
// the master's start, gets everything once for both reasons.
func TestMaster_StrangerThatHasMissedSomething(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, late := newSource(), newSink(1)
		m, _ := runMaster(t, src, delayed)
		pairtest.Connect(t, "w1", false, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, newSink(1)).Offer))
		src.set(1, "default")
		pairtest.Quiet(15 * time.Second)
		before := src.full
		_, worker, _ := pairtest.Connect(t, "w2", false, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, late).Offer))
		pairtest.Quiet(time.Second)
		late.same(t, src)
		pairtest.Quiet(time.Minute)
		if n := worker.Log.Count(`level=INFO msg=Starting. task="Agent-groups recv full"`); n != 1 || src.full-before > 1 {
			t.Errorf("everything was received %d times, read %d times", n, src.full-before)
		}
	})
}

// A worker that comes while a change is still on its way to others gets it with
// the next message, before it counts as sent.
func TestMaster_WorkerThatComesBetween(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, slow, comes := newSource(), newSink(1), newSink(1)
		slow.slow = 5 * time.Second
		m, _ := runMaster(t, src, delayed)
		pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, slow).Offer))
		src.set(1, "default")
		pairtest.Quiet(2 * time.Second)
		pairtest.Connect(t, "w2", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, comes).Offer))
		pairtest.Quiet(6 * time.Second)
		if src.left() != 1 {
			t.Errorf("%d agents left", src.left())
		}
		pairtest.Quiet(5 * time.Second)
		comes.same(t, src)
		if src.left() != 0 || src.full != 0 {
			t.Errorf("%d agents left, everything read %d times", src.left(), src.full)
		}
	})
}

// What is remembered of workers that are gone is bounded.
func TestMaster_RemembersSoManyWorkers(t *testing.T) {
	m := NewMaster(MasterConfig{}, newSource())
	inBubble(t, func(t *testing.T) {
		for i := range mostAway {
			m.away["gone "+string(rune(i+256))] = 1
		}
		_, _, stop := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.Of(NewWorker(WorkerConfig{}, newSink()).Offer))
		pairtest.Quiet(time.Second)
		stop()
		if len(m.away) != mostAway || len(m.workers) != 0 {
			t.Errorf("%d remembered, %d connected", len(m.away), len(m.workers))
		}
	})
}
