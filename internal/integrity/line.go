package integrity

import (
	"sync"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/manifest"
)

// line is a worker's own line in its States: itself as a whole.
type line struct {
	states States

	mu   sync.Mutex
	node filestate.NodeState
}

func (l *line) update(change func(*filestate.NodeState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.node)
	l.states.SetNode(l.node)
}

// connected takes down that there is a session with a master; the returned
// function, that it has ended, and that nobody can say any more what the
// master's files are.
func (c *comparing) connected() (left func()) {
	l := &c.w.line
	l.update(func(n *filestate.NodeState) {
		n.Node, n.Role, n.Version, n.Address = c.w.cfg.Node, "worker", c.s.Worker().Version, c.s.LocalAddr()
		n.Connected, n.ConnectedSince = true, c.s.Opened()
	})
	return func() {
		l.update(func(n *filestate.NodeState) { n.Connected, n.InStepSince = false, time.Time{} })
	}
}

// inStep takes down that the worker has what the master has.
func (l *line) inStep(own *manifest.Manifest) {
	now := time.Now()
	l.update(func(n *filestate.NodeState) {
		n.LastCheck, n.Files, n.ManifestSum = now, own.Len(), own.Sum()
		if n.Connected && n.InStepSince.IsZero() {
			n.InStepSince = now
		}
	})
}

// differs takes down that the master has sent something else.
func (l *line) differs() {
	l.update(func(n *filestate.NodeState) { n.LastCheck, n.InStepSince = time.Now(), time.Time{} })
}

// synced takes down that a package has been dealt with.
func (l *line) synced() {
	l.update(func(n *filestate.NodeState) { n.LastSync = time.Now() })
}
