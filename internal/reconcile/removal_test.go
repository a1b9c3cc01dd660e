package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// On a master enrolment takes an agent out of the file, then deletes the row.
// A new agent's row is there at once: workers may report the agent soon.
func TestMaster_LeavesEnrolmentItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		w.db.names[9] = "without key"
		w.put("etc/client.keys", keyLines(1, 2))
		w.round()
		w.wants("at the start", "001=agent-1 002=agent-2")
		w.put("etc/client.keys", keyLines(1, 3))
		w.db.names[4] = "deleted soon"
		w.round()
		w.wants("a new key", "001=agent-1 002=agent-2 003=agent-3 004=deleted soon")
		for range 3 {
			time.Sleep(Grace / 4)
			if got := w.round(); got != (Result{}) {
				t.Errorf("got in the way: %+v", got)
			}
		}
		delete(w.db.names, 4) // enrolment has deleted it
		w.db.names[5] = "left over"
		w.round()
		time.Sleep(Grace - time.Second)
		w.round()
		w.wants("still its time", "001=agent-1 002=agent-2 003=agent-3 005=left over")
		time.Sleep(time.Second)
		w.round()
		w.wants("after it", "001=agent-1 002=agent-2 003=agent-3")
	})
}

func TestHold(t *testing.T) {
	tests := []struct {
		name          string
		doubt         doubt
		master        bool
		remove, known int
		want          time.Duration
	}{
		{"nothing to remove", absent, true, 0, 100, 0},
		{"one", noDoubt, false, 1, 1, 0},
		{"half", noDoubt, false, 50, 100, 0},
		{"more than half, worker", noDoubt, false, 51, 100, holdShort},
		{"more than half, master", noDoubt, true, 51, 100, holdLong},
		{"most of a few", noDoubt, true, 9, 10, 0},
		{"broken line, one agent", broken, false, 1, 100, holdShort},
		{"broken line on a master, many", broken, true, 90, 100, holdLong},
		{"empty, worker", empty, false, 1, 1, holdLong},
		{"empty, master", empty, true, 1, 1, never},
		{"absent, worker", absent, false, 5, 5, never},
	}
	for _, test := range tests {
		if got := hold(test.doubt, test.master, test.remove, test.known); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAccidents(t *testing.T) {
	whole := keyLines(1, 40)
	tests := []struct {
		name    string
		master  bool
		damage  func(w *world)
		holds   time.Duration // 0: for as long as anybody looks
		becomes int
	}{
		{"emptied on a worker", false, func(w *world) { w.put("etc/client.keys", "") }, holdLong, 0},
		{"emptied on a master", true, func(w *world) { w.put("etc/client.keys", "") }, 0, 40},
		{"removed", false, func(w *world) { _ = os.Remove(filepath.Join(w.dir, "etc/client.keys")) }, 0, 40},
		{"cut off on a worker", false, func(w *world) { w.put("etc/client.keys", whole[:len(whole)/4]) }, holdShort, 10},
		{"cut off on a master", true, func(w *world) { w.put("etc/client.keys", whole[:len(whole)/4]) }, holdLong, 10},
		{"half of it whole lines", false, func(w *world) { w.put("etc/client.keys", keyLines(1, 19)) }, holdShort, 19},
		{"a broken line", false, func(w *world) {
			w.put("etc/client.keys", keyLines(1, 20)+"021 agent-21\n"+keyLines(22, 19))
		}, holdShort, 39},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.master)
				w.put("etc/client.keys", whole)
				w.round()
				count := func() int { return len(w.db.names) - 1 }
				test.damage(w)
				w.round()
				start := time.Now()
				time.Sleep(Grace)
				w.round()
				if count() != 40 || !slices.Equal(w.conditions(), []string{condAgents}) {
					t.Errorf("at once: %d agents, conditions %v", count(), w.conditions())
				}
				if test.holds == 0 {
					time.Sleep(24 * time.Hour)
				} else {
					time.Sleep(time.Until(start.Add(test.holds - time.Second)))
					w.round()
					if count() != 40 {
						t.Errorf("after %v: %d agents", time.Since(start), count())
					}
					time.Sleep(time.Second)
				}
				w.round()
				if count() != test.becomes {
					t.Errorf("in the end: %d agents, want %d", count(), test.becomes)
				}
				w.put("etc/client.keys", whole)
				w.round()
				time.Sleep(Grace)
				w.round()
				if count() != 40 || len(w.conditions()) > 0 {
					t.Errorf("mended: %d agents, conditions %v", count(), w.conditions())
				}
			})
		})
	}
}

// A line that has been broken for long is not that of an agent who goes now.
func TestRemoval_BesideABrokenLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.put("etc/client.keys", "by hand\n"+keyLines(1, 3))
		w.round()
		w.put("etc/client.keys", "by hand\n"+keyLines(1, 2))
		w.round()
		if len(w.db.names) != 3 || len(w.conditions()) > 0 {
			t.Errorf("removed: %d rows, conditions %v", len(w.db.names), w.conditions())
		}
		w.put("etc/client.keys", "by hand\n001 agent-1 any\n"+keyLines(2, 1))
		w.round()
		if len(w.db.names) != 3 || len(w.conditions()) != 1 {
			t.Errorf("broken: %d rows, conditions %v", len(w.db.names), w.conditions())
		}
	})
}

// What matters is for how long the agents have been without a key, not that the
// file stays the same; and not how many there were before.
func TestAccidents_FileThatKeepsChanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.put("etc/client.keys", keyLines(1, 40))
		w.round()
		for i := range 5 {
			w.put("etc/client.keys", keyLines(1, 5)+strings.Repeat("#\n", i))
			w.round()
			if len(w.db.names) != 41 {
				t.Errorf("after %d changes: %d rows", i, len(w.db.names))
			}
			time.Sleep(holdShort / 5)
			if i == 2 { // for a moment the agents are back
				w.put("etc/client.keys", keyLines(1, 40))
				w.round()
			}
		}
		w.round()
		if len(w.db.names) != 41 {
			t.Errorf("they were back meanwhile: %d rows", len(w.db.names))
		}
		time.Sleep(holdShort)
		w.put("etc/client.keys", keyLines(1, 4))
		w.round()
		if len(w.db.names) != 6 || len(w.conditions()) != 1 {
			t.Errorf("those that have gone for long: %d rows, conditions %v", len(w.db.names), w.conditions())
		}
		w.round()
		if len(w.db.names) != 5 || len(w.conditions()) != 0 {
			t.Errorf("one more: %d rows, conditions %v", len(w.db.names), w.conditions())
		}
	})
}
