package reconcile

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/metrics"
)

// Agents are the agents' rows.
type Agents interface {
	// EachAgent calls f with every agent, agent 0 among them.
	EachAgent(ctx context.Context, f func(id agent.ID, name string)) error
	// AddAgent inserts the row of a new agent without groups; added is in seconds
	// of the epoch, 0 when not known. It may be called by many at once. Enrolment
	// may insert the same agent later, which must succeed.
	AddAgent(ctx context.Context, key agent.Key, added int64) error
	RenameAgent(ctx context.Context, id agent.ID, name string) error
	DeleteAgent(ctx context.Context, id agent.ID) error
}

// Groups are the rows of the group table.
type Groups interface {
	GroupNames(ctx context.Context) ([]string, error)
	InsertGroup(ctx context.Context, name string) error
	DeleteGroup(ctx context.Context, name string) error
}

// Self is the row of agent 0.
type Self interface {
	RenameAgent(ctx context.Context, id agent.ID, name string) error
	// UpdateSelf sets columns of agent 0, by their names in the table; columns
	// that are not named become NULL.
	UpdateSelf(ctx context.Context, columns map[string]string) error
}

const (
	defaultEvery = time.Minute
	// Grace is how long an agent of a master must have been without a key to be
	// deleted.
	Grace = time.Minute
	// gather is how long after a hint the files are looked at.
	gather = 50 * time.Millisecond
	// maxRest is how long a hint waits at most because comparing takes long.
	maxRest = 5 * time.Second
	// retry is how soon it is tried again when something failed.
	retry = 5 * time.Second
	// parallel is how many changes the database is given at a time; it commits
	// together what comes together.
	parallel = 256
)

// Config is what a Reconciler needs.
type Config struct {
	Home     *os.Root
	Master   bool
	NodeName string
	Version  string // as the cluster shows it: 4.7.5
	Agents   Agents
	Groups   Groups
	Self     Self
	Every    time.Duration // from one comparison to the next; a minute unless set
	// Watch sends when one of the files may have changed; it returns when ctx
	// ends. nil: changes are found by comparing.
	Watch func(ctx context.Context, changed chan<- struct{}) error
	// Replaced sends when the database has been replaced by another one, with which
	// everything is to be compared at once. May be nil.
	Replaced <-chan struct{}
	// Removed is told of every agent whose row was deleted: its own database
	// goes, too. May be nil.
	Removed func(ctx context.Context, id agent.ID) error
	// Expected gives agents that keep their rows although client.keys does not have
	// them: the next one will. May be nil.
	Expected func() map[agent.ID]bool
	Log      *slog.Logger
	Metrics  *metrics.Set
	Health   *health.Board
}

// Reconciler is the task.
type Reconciler struct {
	cfg  Config
	log  *slog.Logger
	seed maphash.Seed

	mu         sync.Mutex // held during a Round
	self       bool       // agent 0 is up to date
	started    bool       // agents were compared once
	file       keysFile   // what client.keys was like
	settled    settled    // what agents were like when nothing was amiss
	badBefore  int        // lines that were none when all agents had their keys
	missing    amiss      // agents without row
	extra      amiss      // agents without key
	groupsHeld stability  // of the directories of groups
	groupsDone bool       // the last comparison of groups met no error

	ready atomic.Bool // what Ready says from now on

	failing, badLines, holding, holdingGroups logging.Recurring
}

// New makes a Reconciler.
func New(cfg Config) *Reconciler {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Reconciler{cfg: cfg, log: cfg.Log, seed: maphash.MakeSeed()}
}

// Run compares at once, each Every, soon after a change was heard of, and when the
// database was replaced, until ctx ends. It returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	if r.cfg.Watch != nil {
		var watching sync.WaitGroup
		defer watching.Wait()
		watching.Go(func() {
			if err := r.cfg.Watch(ctx, changed); err != nil && ctx.Err() == nil {
				r.log.Warn("Agents' files not watched, changes are found by comparing.", slog.Any("error", err))
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	full := time.Now() // when everything is compared next
	due := full
	var rest time.Time // until then hints do not count: comparing may take a tenth of the time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			soon := time.Now().Add(gather)
			if soon.Before(rest) {
				soon = rest
			}
			if soon.Before(due) {
				due = soon
				timer.Reset(time.Until(due))
			}
		case <-r.cfg.Replaced:
			r.forgetSelf()
			full = time.Now()
			due = full
			timer.Reset(0)
		case <-timer.C:
			start := time.Now()
			full = r.next(ctx, full)
			rest = time.Now().Add(min(9*time.Since(start), maxRest))
			due = full
			timer.Reset(time.Until(due))
		}
	}
}

// next does what is due, all of it or only what a hint may have meant, and tells
// when everything is due again.
func (r *Reconciler) next(ctx context.Context, full time.Time) time.Time {
	hinted := time.Now().Before(full)
	result, err := r.round(ctx, hinted)
	r.tell(ctx, hinted, result, err)
	now := time.Now()
	switch soon := now.Add(min(retry, r.cfg.Every)); {
	case err != nil && (!hinted || soon.Before(full)):
		return soon
	case hinted:
		return full
	}
	return now.Add(r.cfg.Every)
}

// tell puts the outcome of a round into the log.
func (r *Reconciler) tell(ctx context.Context, hinted bool, result Result, err error) {
	if result != (Result{}) {
		r.log.Info("Agent database brought in step with the files.", slog.Int("agents_added", result.AgentsAdded),
			slog.Int("agents_removed", result.AgentsRemoved), slog.Int("agents_renamed", result.AgentsRenamed),
			slog.Int("groups_added", result.GroupsAdded), slog.Int("groups_removed", result.GroupsRemoved))
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.failing.Fail(r.log, slog.LevelError, "Agent database not in step with the files.", slog.Any("error", err))
	case !hinted: // only then everything was looked at
		r.failing.Recovered(r.log, "Agent database in step with the files again.")
	}
}

// Result says what one Round changed in the database.
type Result struct {
	AgentsAdded, AgentsRemoved, AgentsRenamed int
	GroupsAdded, GroupsRemoved                int
}

// Ready says whether the rows of the groups have been those of the directories
// once since the start, and agents have been compared with client.keys. A worker's
// directories come from its master: ask when that has happened.
func (r *Reconciler) Ready() bool {
	if r.ready.Load() {
		return true
	}
	if !r.mu.TryLock() {
		return false // a comparison is under way
	}
	defer r.mu.Unlock()
	if r.started && r.groupsDone && !r.directoriesChanged() {
		r.ready.Store(true)
	}
	return r.ready.Load()
}

// Round compares once and does what is missing. The parts do not depend on each
// other; the error joins theirs.
func (r *Reconciler) Round(ctx context.Context) (Result, error) { return r.round(ctx, false) }

// round leaves out, when it is only hinted at changes, what is compared with a
// file that has not changed: hints are about any synchronised file, and reading
// all agents of the database takes its time.
func (r *Reconciler) round(ctx context.Context, hinted bool) (Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var result Result
	err := r.updateSelf(ctx)
	if !hinted || r.directoriesChanged() {
		groupsErr := r.reconcileGroups(ctx, &result)
		r.groupsDone = groupsErr == nil
		err = errors.Join(err, groupsErr)
	}
	if !hinted || r.keysChanged() {
		err = errors.Join(err, r.reconcileAgents(ctx, &result))
	}
	return result, err
}
