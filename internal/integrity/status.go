package integrity

import (
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
	m.mu.Lock()
	c := m.workers[worker]
	m.mu.Unlock()
	if c == nil {
		return Status{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Free = c.busy.IsZero() || time.Since(c.busy) > m.cfg.MaxLocked
	return s, true
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
}
