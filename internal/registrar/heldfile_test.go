package registrar

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
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

// What the database was not told when the node stopped, it is told by the next
// one: the groups of agents, too, which stand nowhere else.
func TestMaster_LeavesWhatIsUnwritten(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.set(errAway)
		w.enrols(t, line("web-01", "G:'web,default'", "IP:'10.0.0.0/8'"))
		w.enrols(t, line("gone", "G:'web'"))
		w.enrols(t, line("without"))
		w.says(t, `{"function":"remove","arguments":{"id":"002"}}`)
		w.stop()
		w.db.set(nil)
		w = openWorld(t, w.dir, w.db)
		pass(time.Minute)
		row, there := w.db.row(1)
		if !there || row.RegisterIP != "10.0.0.0" || agent.GroupsText(row.Groups) != "web,default" || w.db.len() != 1 {
			t.Error(row, there, w.db.rows)
		}
		w.stop()
		w = openWorld(t, w.dir, newDatabase())
		pass(time.Minute)
		if w.db.len() != 0 || w.rows.away() {
			t.Error("the list counted twice")
		}
		w.stop()
		if err := os.WriteFile(filepath.Join(w.dir, unwrittenPath), []byte("[{"), 0o600); err != nil {
			t.Fatal(err)
		}
		w = openWorld(t, w.dir, newDatabase())
		if !strings.Contains(w.log.String(), "are not known any more") {
			t.Error(w.log)
		}
	})
}

// killed ends a world and leaves what it has taken down as a kill would.
func (w *world) killed(t *testing.T) {
	t.Helper()
	left, err := os.ReadFile(filepath.Join(w.dir, unwrittenPath))
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	if err := os.WriteFile(filepath.Join(w.dir, unwrittenPath), left, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The groups of agents are not lost either when the master is killed while the
// database is away, and once more before it is back; the last word counts.
func TestMaster_KilledWithGroupsUnwritten(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.set(errAway)
		w.enrols(t, line("web-01", "G:'web,default'"))
		for _, groups := range []string{`,"groups":"web"`, ""} {
			w.says(t, `{"function":"add","arguments":{"name":"again","ip":"any","id":"002"`+groups+`}}`)
			w.says(t, `{"function":"remove","arguments":{"id":"002"}}`)
		}
		w.says(t, `{"function":"add","arguments":{"name":"again","ip":"any","id":"002"}}`)
		w.killed(t)
		w = openWorld(t, w.dir, w.db)
		w.enrols(t, line("web-03", "G:'web'"))
		w.killed(t)
		db := newDatabase()
		w = openWorld(t, w.dir, db)
		pass(time.Minute)
		for id, want := range map[agent.ID]string{1: "web,default", 3: "web"} {
			if row, _ := db.row(id); agent.GroupsText(row.Groups) != want {
				t.Errorf("agent %s is in %v, want %s", id, row.Groups, want)
			}
		}
		if row, there := db.row(2); there {
			t.Errorf("the groups of one that was removed are %v", row.Groups)
		}
		if _, err := os.Stat(filepath.Join(w.dir, unwrittenPath)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the list stays when all is written: %v", err)
		}
	})
}

// Keys that cannot be written are a condition of the node until they can.
func TestMaster_KeysCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	broken := &brokenKeys{Store: w.keys, err: errors.New("no space left on device")}
	w.cfg.Keys = broken
	if got := w.refused(t, line("web-01")); got != "Internal manager error adding agent: web-01" {
		t.Error(got)
	}
	all := w.health.All()
	if len(all) != 1 || all[0].Severity != health.Critical || !strings.Contains(all[0].Detail, "no space left") {
		t.Error(all)
	}
	if got := w.rows.places(); got != 0 {
		t.Errorf("%d places are taken", got)
	}
	broken.err = keystore.ErrBusy
	w.refused(t, line("web-01"))
	broken.err = nil
	w.enrols(t, line("web-01"))
	if all := w.health.All(); len(all) != 0 || !strings.Contains(w.log.String(), "Keys are written again.") {
		t.Error(all, w.log)
	}
}

// Somebody has given the highest id there is: that is no trouble of the disk.
func TestMaster_NoIDIsLeft(t *testing.T) {
	w := newWorld(t)
	w.says(t, `{"function":"add","arguments":{"name":"last","ip":"any","id":"99999999"}}`)
	w.refused(t, line("web-01"))
	all := w.health.All()
	if len(all) != 1 || !strings.Contains(all[0].Detail, "no ids are left") || strings.Contains(all[0].Remedy, "disk") {
		t.Error(all)
	}
}

type brokenKeys struct {
	*keystore.Store
	err error
}

func (b *brokenKeys) Add(ctx context.Context, a keystore.Addition) (keystore.Entry, error) {
	if b.err != nil {
		return keystore.Entry{}, b.err
	}
	return b.Store.Add(ctx, a)
}

// Keys that change all the time are looked at so often, and not for ever.
func TestMaster_KeysGoOnChanging(t *testing.T) {
	w := newWorld(t)
	broken := &brokenKeys{Store: w.keys, err: &keystore.ConflictError{Err: keystore.ErrDuplicateAddress, Present: keystore.Entry{ID: "007"}}}
	w.cfg.Keys = broken
	if got := w.refused(t, line("web-01", "IP:'10.0.0.7'")); got != "Duplicate IP: 10.0.0.7" {
		t.Error(got)
	}
	broken.err = &keystore.ConflictError{Err: keystore.ErrDuplicateName}
	if got := w.refused(t, line("web-01")); got != "Duplicate agent name: web-01" {
		t.Error(got)
	}
	broken.err = &keystore.ConflictError{Err: keystore.ErrDuplicateID}
	if got := w.says(t, `{"function":"add","arguments":{"name":"a","ip":"any","id":"007"}}`); got != `{"error":9012,"message":"Duplicate ID"}` {
		t.Error(got)
	}
	if got := w.rows.places(); got != 0 {
		t.Errorf("%d places are taken", got)
	}
}

// After a process that was killed, those it enrolled last may come again.
func TestMaster_AfterUncleanStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		entries := []keystore.Entry{
			{ID: "001", Name: "long-ago", Secret: agent.NewSecret("aaa"), Added: time.Now().Add(-2 * doubtTime)},
			{ID: "002", Name: "just-now", Secret: agent.NewSecret("bbb"), Added: time.Now().Add(-time.Second)},
			{ID: "004", Name: "by hand since", Secret: agent.NewSecret("ddd"), Added: time.Now().Add(2 * clockTime)},
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
