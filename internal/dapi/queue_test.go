package dapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"testudo/internal/fault"
)

func TestGate(t *testing.T) {
	g := &gate{cfg: QueueConfig{Open: 20, OpenAll: 30, OpenBytes: 1000}}
	var leave []func()
	enter := func(asker string, size int) error {
		f, err := g.enter(asker, size)
		if err == nil {
			leave = append(leave, f)
		}
		return err
	}
	for range 20 {
		if err := enter("w1", 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := enter("w1", 1); !fault.Has(err, fault.Busy) {
		t.Errorf("the 21st of one asker: %v", err)
	}
	for i := range 16 { // beyond the bound of all, since every asker has some
		if err := enter("w2", 1); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := enter("w2", 1); !fault.Has(err, fault.Busy) {
		t.Errorf("more than all may have: %v", err)
	}
	if err := enter("w3", 600); !fault.Has(err, fault.Busy) {
		t.Errorf("more bytes than one may have: %v", err)
	}
	if err := enter("w3", 500); err != nil {
		t.Error(err)
	}
	if err := enter("w4", 490); !fault.Has(err, fault.Busy) {
		t.Errorf("more bytes than all may have: %v", err)
	}
	for _, f := range leave {
		f()
		f() // once counts
	}
	if g.total != (open{}) || len(g.askers) > 0 {
		t.Errorf("left: %+v", g.total)
	}
}

func TestAnswers(t *testing.T) {
	a := &answers{most: 100}
	hold := func(asker string, n int) (func(), error) { return a.hold(asker, n) }
	if _, err := hold("w1", 101); !fault.Has(err, fault.Busy) {
		t.Errorf("too large: %v", err)
	}
	first, err := hold("w1", 60) // a single one may be more than half
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold("w1", 1); !fault.Has(err, fault.Busy) {
		t.Errorf("a second one beyond half: %v", err)
	}
	second, err := hold("w2", 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold("w3", 1); !fault.Has(err, fault.Busy) {
		t.Errorf("beyond all: %v", err)
	}
	first()
	second()
	second()
	if a.held != 0 || len(a.by) > 0 {
		t.Errorf("%d bytes held", a.held)
	}
}

// At no time do more run than may, whoever asks for what and gives up; nobody
// who may run waits, and in the end nothing is left.
func TestSlots_Property(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		q := &slots{cfg: QueueConfig{
			Running: rapid.IntRange(1, 6).Draw(r, "running"), Share: rapid.IntRange(1, 4).Draw(r, "share"),
			Function: rapid.IntRange(1, 3).Draw(r, "function"),
		}}
		type waiting struct {
			asker, function string
			turn            chan struct{}
		}
		var runs, waits []waiting
		check := func() {
			for i := 0; i < len(waits); {
				select {
				case <-waits[i].turn:
					runs = append(runs, waits[i])
					waits = slices.Delete(waits, i, i+1)
				default:
					i++
				}
			}
			askers, functions := map[string]int{}, map[string]int{}
			for _, x := range runs {
				askers[x.asker]++
				functions[x.function]++
			}
			for _, n := range askers {
				if n > q.cfg.Share {
					r.Fatalf("%d of one asker run", n)
				}
			}
			for _, n := range functions {
				if n > q.cfg.Function {
					r.Fatalf("%d of one function run", n)
				}
			}
			if len(runs) > q.cfg.Running || q.running != len(runs) || q.waiting != len(waits) {
				r.Fatalf("%d run, %d wait; counted %d and %d", len(runs), len(waits), q.running, q.waiting)
			}
			for _, x := range waits {
				if len(runs) < q.cfg.Running && askers[x.asker] < q.cfg.Share && functions[x.function] < q.cfg.Function {
					r.Fatalf("%s of %s waits and could run", x.function, x.asker)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch what := rapid.IntRange(0, 3).Draw(r, "what"); {
			case what <= 1:
				x := waiting{asker: fmt.Sprint("w", rapid.IntRange(1, 3).Draw(r, "asker")), function: fmt.Sprint("f", rapid.IntRange(1, 4).Draw(r, "f"))}
				if x.turn = q.join(x.asker, x.function); x.turn == nil {
					runs = append(runs, x)
				} else {
					waits = append(waits, x)
				}
			case what == 2 && len(runs) > 0:
				i := rapid.IntRange(0, len(runs)-1).Draw(r, "ends")
				q.release(runs[i].asker, runs[i].function)
				runs = slices.Delete(runs, i, i+1)
			case what == 3 && len(waits) > 0:
				i := rapid.IntRange(0, len(waits)-1).Draw(r, "gives up")
				if !q.abandon(waits[i].asker, waits[i].function, waits[i].turn) {
					r.Fatal("a turn that has not come cannot be given up")
				}
				waits = slices.Delete(waits, i, i+1)
			}
			check()
		}
		for len(runs) > 0 {
			q.release(runs[0].asker, runs[0].function)
			runs = runs[1:]
			check()
		}
		if len(waits) > 0 || len(q.lanes)+len(q.circle)+len(q.functions) > 0 {
			r.Fatalf("left: %d wait, %v", len(waits), q.lanes)
		}
	})
}

// Askers take turns, however many requests one of them has.
func TestSlots_TurnsGoInACircle(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		q := &slots{cfg: QueueConfig{Running: 1, Share: 1, Function: 1}}
		first, err := q.acquire(t.Context(), "w1", "f")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var done sync.WaitGroup
		for _, x := range []struct {
			asker string
			n     int
		}{{"w1", 5}, {"w2", 2}, {"w3", 1}} {
			for range x.n {
				done.Go(func() {
					release, err := q.acquire(t.Context(), x.asker, "f")
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					order = append(order, x.asker)
					mu.Unlock()
					release()
				})
				synctest.Wait()
			}
		}
		first()
		done.Wait()
		if got := fmt.Sprint(order); got != "[w1 w2 w3 w1 w2 w1 w1 w1]" {
			t.Errorf("order %s", got)
		}
	})
}

func TestSlots_GivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		q := &slots{cfg: QueueConfig{Running: 1, Share: 1, Function: 1}}
		release, err := q.acquire(t.Context(), "w1", "f")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		done := make(chan error)
		go func() {
			_, err := q.acquire(ctx, "w2", "f")
			done <- err
		}()
		synctest.Wait()
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		release()
		if q.running+q.waiting+len(q.lanes)+len(q.circle) > 0 {
			t.Error("something is left")
		}
	})
}
