package integrity

import (
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/filetree"
)

// heard is a Tree of which only the watch is asked.
type heard struct {
	Tree
	at time.Time
}

func (h heard) Quiet(since time.Time) bool { return h.at.Before(since) }

func TestLastScan_HoldsWhileTheWatchIsQuiet(t *testing.T) {
	for name, c := range map[string]struct {
		steady  bool
		changed bool
		age     time.Duration // what the caller takes in any case
		after   time.Duration
		want    bool
	}{
		"at once, whatever was found": {age: 8 * time.Second, after: 7 * time.Second, want: true},
		"later":                       {age: 8 * time.Second, after: 9 * time.Second},
		"later, and all is watched":   {steady: true, after: 59 * time.Second, want: true},
		"after a minute":              {steady: true, after: time.Minute},
		"after a change":              {steady: true, changed: true, age: 8 * time.Second, after: 5 * time.Second},
		"never for the master else":   {after: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree := heard{at: time.Now()}
				time.Sleep(time.Second)
				last := lastScan{&filetree.Scan{Steady: c.steady}, time.Now()}
				time.Sleep(c.after)
				if c.changed {
					tree.at = time.Now()
				}
				if got := last.holds(tree, c.age); got != c.want {
					t.Errorf("%v, want %v", got, c.want)
				}
			})
		})
	}
	if (lastScan{}).holds(heard{}, time.Hour) {
		t.Error("no scan at all holds")
	}
}
