package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"testudo/internal/fleet"
)

// seedOf is the seed of a test's chances: TESTUDO_CHAOS_SEED, else a new one.
// It is printed, so that a failure can be had again.
func seedOf(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TESTUDO_CHAOS_SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = given
	}
	t.Logf("TESTUDO_CHAOS_SEED=%d", seed)
	return seed
}

// write lets a writer change files until ctx ends, and gives how it ended.
func (w *writer) write(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := w.step(); err != nil {
				ended <- err
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				ended <- nil
				return
			}
		}
	}()
	return ended
}

// inTheMiddle says what a killed node was about, by what it left behind.
func inTheMiddle(n *fleet.Node) (receiving, applying bool) {
	for _, pattern := range []string{"*.zip", "*dir"} {
		found, err := filepath.Glob(filepath.Join(n.Home, "queue/cluster/*", pattern))
		if err == nil && len(found) > 0 {
			receiving, applying = true, applying || pattern == "*dir"
		}
	}
	return receiving, applying
}

// killer kills nodes and counts what it hit.
type killer struct {
	*rand.Rand
	until                      time.Time // when the last kill is to be over
	left                       int       // kills to come
	receiving, applying, early int
}

// wait lets a random time pass: half of the times it waits for a transfer to
// be under way at the node or for a package to be opened, otherwise for
// nothing, the start included.
func (k *killer) wait(t *testing.T, n *fleet.Node) {
	t.Helper()
	longest := min(max(2*time.Until(k.until)/time.Duration(k.left), 50*time.Millisecond), time.Second)
	k.left--
	if k.IntN(2) == 0 {
		span := time.Duration(k.Int64N(int64(longest)))
		if k.IntN(3) == 0 {
			span /= 15
			k.early++
		}
		pause(t, span)
		return
	}
	patience := time.Now().Add(longest)
	opened, more := n.Role == "worker" && k.IntN(3) > 0, 20*time.Millisecond
	if opened {
		more = 5 * time.Millisecond
	}
	for time.Now().Before(patience) {
		if receiving, applying := inTheMiddle(n); receiving && !opened || applying {
			break
		}
		pause(t, 500*time.Microsecond)
	}
	pause(t, time.Duration(k.Int64N(int64(more))))
}

// kill kills a node after a random time, looks at the worker's files and starts
// the node again.
func (k *killer) kill(t *testing.T, n, worker *fleet.Node) {
	t.Helper()
	k.wait(t, n)
	if err := n.Kill(); err != nil {
		t.Fatalf("%v; its log ends:\n%s", err, tail(n, 5))
	}
	receiving, applying := inTheMiddle(n)
	k.receiving += count(receiving)
	k.applying += count(applying)
	checkWhole(t, worker)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
}

// Nodes that are killed at any instant of their work, start-up included, and
// started again at once: no file is ever torn, and all is well in the end.
func TestKill_AtRandomInstants(t *testing.T) {
	t.Parallel() // half of the time they wait for a node to start
	kills, span := 200, 75*time.Second
	if testing.Short() {
		kills, span = 20, 7*time.Second
	}
	seed := seedOf(t)
	f := started(t, fleet.Options{Workers: 1})
	k := &killer{Rand: rand.New(rand.NewPCG(seed, 2)), until: time.Now().Add(span), left: kills}
	boss, worker := f.Master(), f.Workers()[0]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writing := newWriter(boss.Home, seed).write(ctx)
	for i := range kills {
		n := worker
		if k.IntN(3) == 0 {
			n = boss
		}
		if k.kill(t, n, worker); t.Failed() {
			t.Fatalf("at kill %d, of %s", i, n.Name)
		}
	}
	stop()
	if err := <-writing; err != nil {
		t.Fatal(err)
	}
	t.Logf("of %d kills %d came at once after a start, %d while a package was there, %d of these while it was unpacked or applied",
		kills, k.early, k.receiving, k.applying)
	if k.receiving == 0 {
		t.Error("no kill hit a transfer; this test shows nothing")
	}
	waitEqual(t, f, 30*time.Second)
	if seen := checkWhole(t, worker); seen == 0 {
		t.Error("the worker has none of the files")
	}
	verify(t, f)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
