package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
	"testudo/internal/keystore"
	"testudo/internal/logging"
	"testudo/internal/metrics"
)

const (
	// databaseTime is how long one question to the database may take: less than
	// settleTime, so that an agent whose row takes long still has its place then.
	databaseTime = 4 * time.Second
	// rowsPause and rowsPauseMost bound the time between attempts of what waits.
	rowsPause     = time.Second
	rowsPauseMost = 10 * time.Second
	// rowsParallel is how many of what waits are tried at a time; the database
	// commits together what comes together.
	rowsParallel = 64

	queueName     = "enrolment database"
	conditionRows = "enrolment-database"
)

// change is one thing to be done in the database.
type change struct {
	entry     keystore.Entry
	insert    *NewAgent // else the agent is deleted
	postponed bool
}

// deletion is the change for an entry that has gone.
func deletion(e keystore.Entry) change { return change{entry: e} }

// number is an entry's id, which client.keys does not hold unless it is one.
func number(e keystore.Entry) agent.ID {
	id, err := agent.ParseID(e.ID)
	if err != nil {
		return -1
	}
	return id
}

// rows makes the database follow the keys. While the database is away its changes
// wait in a bounded queue.
type rows struct {
	agents  Agents
	keys    Keys
	limit   int // changes that wait or are under way, at most
	log     *slog.Logger
	metrics *metrics.Set
	health  *health.Board
	failing logging.Recurring
	wake    chan struct{}
	turns   locks // by id: of an agent's changes one is made at a time
	journal journal

	mu       sync.Mutex
	reserved int      // places for changes that will come, or are tried again just now
	retrying []change // the latter
	waiting  []change
}

func newRows(cfg MasterConfig) *rows {
	return &rows{
		agents: cfg.Agents, keys: cfg.Keys, limit: cfg.Waiting, log: cfg.Log, metrics: cfg.Metrics,
		health: cfg.Health, wake: make(chan struct{}, 1),
		journal: journal{home: cfg.Home, log: cfg.Log},
	}
}

// reserve keeps places for changes that will be done; false is that there are
// not as many.
func (r *rows) reserve(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting)+r.reserved+n > r.limit {
		return false
	}
	r.reserved += n
	return true
}

// giveBack ends the reservation of places that are not needed.
func (r *rows) giveBack(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved -= n
}

// do makes changes for which places are reserved, at once if the database is
// there, else later. No two are about the same id.
func (r *rows) do(ctx context.Context, changes ...change) {
	if r.away() {
		r.postpone(changes)
		return
	}
	failed := r.try(context.WithoutCancel(ctx), changes)
	r.giveBack(len(changes) - len(failed))
	r.postpone(failed)
}

// away tells whether earlier changes wait.
func (r *rows) away() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)+len(r.retrying) > 0
}

// uninserted tells whether the entry's row waits to be inserted.
func (r *rows) uninserted(e keystore.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	its := func(c change) bool { return c.insert != nil && c.entry.ID == e.ID && c.entry.Secret.Equal(e.Secret) }
	return slices.ContainsFunc(r.waiting, its) || slices.ContainsFunc(r.retrying, its)
}

// postpone turns reserved places into changes that wait.
func (r *rows) postpone(changes []change) {
	if len(changes) == 0 {
		return
	}
	var n int
	r.journal.add(changes, func() { n = r.enqueue(changes) }, r.left)
	r.metrics.QueueDepth(queueName, n)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// enqueue has changes wait and tells how many do then.
func (r *rows) enqueue(changes []change) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved -= len(changes)
	for _, c := range changes {
		c.postponed = true
		r.waiting = append(r.waiting, c)
	}
	return len(r.waiting)
}

// try makes changes side by side and gives those that are to be tried again, in
// their order.
func (r *rows) try(ctx context.Context, changes []change) (failed []change) {
	outcome := make([]error, len(changes))
	var all sync.WaitGroup
	for i, c := range changes {
		all.Go(func() { outcome[i] = r.one(ctx, c) })
	}
	all.Wait()
	for i, err := range outcome {
		switch {
		case err == nil:
		case errors.Is(err, ErrRefused):
			r.log.Error("The agent database refuses a change of enrolment.", slog.String("agent", changes[i].entry.ID),
				slog.String("change", changes[i].what()), slog.Any("err", err))
		default:
			failed = append(failed, changes[i])
			r.report(err)
		}
	}
	return failed
}

func (c change) what() string {
	if c.insert != nil {
		return "insert"
	}
	return "delete"
}

func (r *rows) one(ctx context.Context, c change) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	done, err := r.turns.take(ctx, c.entry.ID)
	if err != nil {
		return err
	}
	defer done()
	if c.insert != nil {
		if now, there := r.keys.ByID(c.entry.ID); !there || !now.Secret.Equal(c.entry.Secret) {
			return nil // removed meanwhile
		}
		return r.agents.Insert(ctx, *c.insert)
	}
	if r.shared(c.entry) {
		return nil
	}
	name := c.entry.Name
	if _, used := r.keys.ByName(name); used && c.postponed {
		name = "" // what is there under the name may be the newcomer's by now
	}
	return r.agents.Delete(ctx, number(c.entry), name)
}

// shared tells whether the row of an entry that has gone is that of another as
// well: "7" and "007" are two entries with one row (docs/enrolment.md §7).
func (r *rows) shared(e keystore.Entry) bool {
	for digits := 1; digits <= maxIDDigits; digits++ {
		id := fmt.Sprintf("%0*d", digits, number(e))
		if _, there := r.keys.ByID(id); there && id != e.ID {
			return true
		}
	}
	return false
}

// maxIDDigits is how many digits the id of an entry has at most.
const maxIDDigits = 8

// report tells once that the database is away.
func (r *rows) report(err error) {
	r.failing.Fail(r.log, slog.LevelError, "The agent database does not take the changes of enrolment. They wait; keys are given out all the same.",
		slog.Any("err", err))
	r.health.Raise(conditionRows, health.Warning,
		"The agent database does not take new and removed agents, which wait to be written: "+err.Error()+".",
		"Look at the agent database (queue/db/wdb): whether it runs, and whether its disk is full. Nothing is lost while this node runs.")
}

// run tries again what waits until ctx ends.
func (r *rows) run(ctx context.Context) {
	for pause := rowsPause; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for r.away() {
			if !sleep(ctx, pause) {
				break
			}
			pause = min(2*pause, rowsPauseMost)
			if r.pass(ctx) {
				pause = rowsPause
			}
		}
		pause = rowsPause
	}
}

// pass tries everything that waits, as long as something succeeds, and tells
// whether something did.
func (r *rows) pass(ctx context.Context) (progress bool) {
	for ctx.Err() == nil {
		batch := r.take()
		if len(batch) == 0 {
			r.health.Clear(conditionRows)
			r.failing.Recovered(r.log, "The agent database takes the changes of enrolment again.")
			return progress
		}
		failed := r.try(ctx, batch)
		r.putBack(failed, len(batch))
		if len(failed) < len(batch) {
			r.journal.keep(r.left, false)
		}
		if len(failed) == len(batch) {
			return progress
		}
		progress = true
	}
	return progress
}

// take takes the first changes that wait, at most one of each agent: the order
// of these counts. Their places stay reserved.
func (r *rows) take() (batch []change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]bool)
	rest := make([]change, 0, len(r.waiting))
	for _, c := range r.waiting {
		if len(batch) < rowsParallel && !seen[c.entry.ID] {
			batch = append(batch, c)
		} else {
			rest = append(rest, c)
		}
		seen[c.entry.ID] = true
	}
	r.waiting = rest
	r.reserved += len(batch)
	r.retrying = batch
	return batch
}

// putBack has changes wait again, behind the others but before those of the same
// agents, so that one that cannot be made is not in the way of all.
func (r *rows) putBack(failed []change, taken int) {
	r.mu.Lock()
	r.reserved -= taken
	r.retrying = nil
	again := make(map[string]bool, len(failed))
	for _, c := range failed {
		again[c.entry.ID] = true
	}
	var before, after []change
	for _, c := range r.waiting {
		if again[c.entry.ID] {
			after = append(after, c)
		} else {
			before = append(before, c)
		}
	}
	r.waiting = append(append(before, failed...), after...)
	n := len(r.waiting)
	r.mu.Unlock()
	r.metrics.QueueDepth(queueName, n)
}

// left is what waits still or is tried again just now, in the order that counts.
func (r *rows) left() []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.retrying, r.waiting)
}

// sleep waits; false is that ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
