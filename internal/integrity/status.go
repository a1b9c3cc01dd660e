package integrity

import (
	"maps"
	"slices"
	"time"

	"testudo/internal/manifest"
)

// Status is how the exchange with a worker stands, for overviews
// (docs/nodeinfo.md §2).
type Status struct {
	Free                     bool      // no check is under way
	CheckStarted, CheckEnded time.Time // the last comparison that ended; zero when there was none
	SyncStarted, SyncEnded   time.Time // the last package that was sent; zero when there was none

	Synced                 bool // a synchronisation has begun; what was to be done in the last one:
	Missing, Extra, Shared int  // files to create, to delete and to update
}

// Status is how the exchange with a connected worker stands.
func (m *Master) Status(worker string) (Status, bool) {
	c := m.worker(worker)
	if c == nil {
		return Status{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Free = c.busy.IsZero() || time.Since(c.busy) > m.cfg.MaxLocked
	return s, true
}

// worker is a connected worker by name, nil when there is none.
func (m *Master) worker(name string) *checking {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[name]
}

// enter makes a worker known until the returned function is called.
func (m *Master) enter(c *checking) (leave func()) {
	name := c.s.Name()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[name] = c
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.workers[name] == c {
			delete(m.workers, name)
		}
	}
}

// checked takes down that a comparison has ended.
func (c *checking) checked(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.CheckStarted, c.status.CheckEnded = began, time.Now()
}

// syncing takes down what a synchronisation is to do.
func (c *checking) syncing(d manifest.Difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.status
	s.Synced, s.Missing, s.Extra, s.Shared = true, len(d.Missing), len(d.Extra), len(d.Shared)
}

// synced takes down that its package has been sent.
func (c *checking) synced(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.SyncStarted, c.status.SyncEnded = began, time.Now()
	c.node.LastSync = c.status.SyncEnded
	c.m.cfg.States.SetNode(c.node)
}

// mostLeft bounds the files that a Trouble names.
const mostLeft = 10

// Trouble is what keeps a connected worker's files from being the master's.
type Trouble struct {
	Ready       bool      // the master has read its own files
	InStepSince time.Time // since when the worker's files are the master's; zero when they are not known to be
	BehindSince time.Time // since when they are known not to be; zero when they are not
	Compared    bool      // what it lacks is known, as Status tells it; it may not be when it is behind
	Busy        time.Time // since when a check is under way; zero when none is
	Left        []LeftOut // some of the files that do not go, by path
	LeftCount   int       // how many there are

	Err      error // what went wrong last since the worker was in step; nil when nothing did
	ErrAt    time.Time
	Failures int
}

// LeftOut is a file that does not reach a worker.
type LeftOut struct{ Path, Reason string }

// wrong is what went wrong last.
type wrong struct {
	err   error
	at    time.Time
	times int
}

// wentWrong takes down why a check or a synchronisation failed.
func (c *checking) wentWrong(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = wrong{err, time.Now(), c.wrong.times + 1}
}

// Trouble says what keeps a connected worker's files from being the master's.
func (m *Master) Trouble(worker string) (Trouble, bool) {
	c := m.worker(worker)
	if c == nil {
		return Trouble{}, false
	}
	ready := m.Ready()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := Trouble{
		Ready: ready, InStepSince: c.node.InStepSince, BehindSince: c.behind, Busy: c.busy,
		Err: c.wrong.err, ErrAt: c.wrong.at, Failures: c.wrong.times,
	}
	if t.Compared = c.open != nil; t.Compared {
		reasons := maps.Clone(c.failed)
		if reasons == nil {
			reasons = make(map[string]string, len(c.open.left))
		}
		maps.Copy(reasons, c.open.left)
		t.LeftCount = len(reasons)
		for _, path := range slices.Sorted(maps.Keys(reasons)) {
			if len(t.Left) == mostLeft {
				break
			}
			t.Left = append(t.Left, LeftOut{path, reasons[path]})
		}
	}
	return t, true
}
