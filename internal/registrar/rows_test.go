package registrar

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
)

// The database goes away and comes back: keys are given out all the while, their
// rows follow, in the order of what happened to each agent.
func TestRows_DatabaseAwayAndBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.enrols(t, line("before"))
		w.db.set(errAway)
		start := time.Now()
		for i := range 200 {
			w.enrols(t, line("web-"+strconv.Itoa(i), "G:'web'"))
		}
		w.says(t, `{"function":"remove","arguments":{"id":"001"}}`)
		w.says(t, `{"function":"remove","arguments":{"id":"002"}}`) // its row was never there
		if took := time.Since(start); took > time.Second {
			t.Error("agents waited for the database for", took)
		}
		pass(time.Minute)
		if n := strings.Count(w.log.String(), "does not take the changes"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		if all := w.health.All(); len(all) != 1 || all[0].Name != conditionRows {
			t.Error(all)
		}
		w.db.set(nil)
		pass(rowsPauseMost)
		live := w.liveKeys(t)
		if len(live) != 199 || w.db.len() != len(live) {
			t.Errorf("%d keys, %d rows", len(live), w.db.len())
		}
		for _, e := range live {
			if row, there := w.db.row(number(e)); !there || !row.Key.Equal(e.Secret) || row.Groups[0] != "web" {
				t.Errorf("%v: %v", e, row)
			}
		}
		if all := w.health.All(); len(all) != 0 || !strings.Contains(w.log.String(), "takes the changes of enrolment again") {
			t.Error(all)
		}
		inserts := w.db.inserts
		w.enrols(t, line("after"))
		if w.db.inserts != inserts+1 || w.rows.away() {
			t.Error("the row of the next agent waited")
		}
	})
}

// A database that hangs holds an agent up for a bounded time, and only those that
// come before it is known.
func TestRows_DatabaseHangs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.gate = make(chan struct{})
		start := time.Now()
		w.enrols(t, line("first"))
		if took := time.Since(start); took != databaseTime {
			t.Error(took)
		}
		start = time.Now()
		w.enrols(t, line("second"))
		if took := time.Since(start); took != 0 {
			t.Error(took)
		}
		close(w.db.gate)
		pass(time.Minute)
		if w.db.len() != 2 {
			t.Error(w.db.rows)
		}
	})
}

// What the database refuses is told and not tried again; what cannot be done is
// in nobody's way.
func TestRows_Refused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.rows[1] = NewAgent{ID: 1, Name: "another"}
		w.enrols(t, line("web-01"))
		if !strings.Contains(w.log.String(), "refuses a change") || w.rows.away() {
			t.Error(w.log)
		}
	})
}

// An agent is removed while its row is being inserted: no row stays.
func TestRows_RemovedWhileInserted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.gate = make(chan struct{})
		var both sync.WaitGroup
		both.Go(func() { w.enrols(t, line("web-01")) })
		synctest.Wait()
		both.Go(func() { w.says(t, `{"function":"remove","arguments":{"id":"001"}}`) })
		synctest.Wait()
		close(w.db.gate)
		both.Wait()
		if n := w.db.len(); n != 0 || w.db.inserts != 1 {
			t.Errorf("%d rows after %d insertions", n, w.db.inserts)
		}
	})
}

// Two entries whose ids are one number share a row, which stays with the second.
func TestRows_Shared(t *testing.T) {
	w := newWorld(t)
	w.enrols(t, line("web-01"))
	for _, id := range []string{"1", "00000001"} {
		if got := w.says(t, `{"function":"add","arguments":{"name":"other-`+id+`","ip":"any","id":"`+id+`"}}`); !strings.Contains(got, `"error":0`) {
			t.Error(got)
		}
	}
	for i, id := range []string{"001", "00000001", "1"} {
		w.says(t, `{"function":"remove","arguments":{"id":"`+id+`"}}`)
		if _, there := w.db.row(1); there != (i < 2) {
			t.Errorf("after the removal of %s the row is there: %t", id, there)
		}
	}
}

func TestRows_OneThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.rows.agents = &failing{w.db, 2}
		for i := range 3 * rowsParallel {
			w.enrols(t, line("web-"+strconv.Itoa(i)))
		}
		pass(time.Minute)
		if w.db.len() != 3*rowsParallel-1 || !w.rows.away() {
			t.Error(w.db.len())
		}
		w.db.mu.Lock()
		w.rows.agents.(*failing).id = 0
		w.db.mu.Unlock()
		pass(time.Minute)
		if w.db.len() != 3*rowsParallel || w.rows.away() {
			t.Error(w.db.len())
		}
	})
}

type failing struct {
	*database
	id agent.ID
}

func (f *failing) Insert(ctx context.Context, a NewAgent) error {
	f.mu.Lock()
	fails := a.ID == f.id
	f.mu.Unlock()
	if fails {
		return errors.New("disk full")
	}
	return f.database.Insert(ctx, a)
}

// The queue is bounded, and what it holds is written when the node goes on.
func TestRows_Bounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.db.set(errAway)
		for i := range 10 {
			w.enrols(t, line("web-"+strconv.Itoa(i)))
		}
		w.refused(t, line("web-10"))
		if n := w.rows.places(); w.keys.Len() != 10 || n != 10 {
			t.Error(w.keys.Len(), n)
		}
		w.db.set(nil)
		pass(time.Minute)
		w.enrols(t, line("web-10"))
		if n := w.rows.places(); w.db.len() != 11 || n != 0 {
			t.Error(w.db.len(), n)
		}
	}, room(10))
}

// places is how many places of the queue are taken.
func (r *rows) places() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) + r.reserved
}

// retries tells whether something that waited is under way.
func (r *rows) retries() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.retrying) > 0
}

// What is removed late does not take with it what a newcomer of that name has.
func TestRows_LateDeletionSparesTheNewcomer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.enrols(t, line("web-01"))
		w.db.set(errAway)
		w.says(t, `{"function":"remove","arguments":{"id":"001"}}`)
		w.enrols(t, line("web-01"))
		w.db.set(nil)
		pass(time.Minute)
		if got := fmt.Sprint(w.db.deleted); got != "[001 ]" {
			t.Error(got)
		}
	})
}
