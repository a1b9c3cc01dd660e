package wdb

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// asking is the request of a process.
type asking struct{}

func askingAs(ctx context.Context, pid int32) context.Context {
	return context.WithValue(ctx, asking{}, pid)
}

func turnsOf(most int) *turns {
	t := newTurns(most)
	t.peer = func(ctx context.Context) int32 { return ctx.Value(asking{}).(int32) }
	return t
}

// A process that asks for endless statements leaves room for others, however many
// it asks for.
func TestTurns_OneProcessLeavesRoom(t *testing.T) {
	for most, share := range map[int]int{1: 1, 2: 1, 3: 2, 8: 6} {
		synctest.Test(t, func(t *testing.T) {
			turns := turnsOf(most)
			held := make(chan func(), 100)
			greedy, stop := context.WithCancel(askingAs(t.Context(), 1))
			for range 20 {
				go func() {
					if release, err := turns.take(greedy, 0); err == nil {
						held <- release
					}
				}()
			}
			synctest.Wait()
			if len(held) != share {
				t.Errorf("of %d turns one process has %d, not %d", most, len(held), share)
			}
			if most > 1 {
				release, err := turns.take(askingAs(t.Context(), 2), 0)
				if err != nil {
					t.Fatal(err)
				}
				release()
			}
			stop()
			for range share {
				(<-held)()
			}
			synctest.Wait()
			if len(turns.peers) != 0 || len(turns.all) != 0 {
				t.Errorf("%d processes have %d turns, but nobody asks", len(turns.peers), len(turns.all))
			}
		})
	}
}

// Whoever gets no turn in time is told why, and holds nothing.
func TestTurns_End(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turnsOf(2)
		var release [2]func()
		for pid := range release {
			var err error
			if release[pid], err = turns.take(askingAs(t.Context(), int32(pid)), 0); err != nil { // 0: not known
				t.Fatal(err)
			}
		}
		for _, pid := range []int32{0, 1, 2} {
			ctx, cancel := context.WithTimeout(askingAs(t.Context(), pid), time.Second)
			if _, err := turns.take(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("process %d: %v", pid, err)
			}
			cancel()
			if _, err := turns.take(askingAs(t.Context(), pid), time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("process %d, for a second: %v", pid, err)
			}
		}
		for _, give := range release {
			give()
		}
		if len(turns.peers) != 0 || len(turns.all) != 0 {
			t.Errorf("%d processes have %d turns, but nobody asks", len(turns.peers), len(turns.all))
		}
	})
}
