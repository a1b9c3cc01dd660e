package registrar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/keystore"
)

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
