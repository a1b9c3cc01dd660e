package integrity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/session"
)

// arrived and left keep the node's own line: connected or not, since when.
func (c *checking) arrived() {
	c.m.local.away.returned(c.s.Name())
	w := c.s.Worker()
	address := c.s.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	c.updateNode(func(n *filestate.NodeState) {
		*n = filestate.NodeState{Node: w.Name, Role: "worker", Version: w.Version, Address: address, Connected: true, ConnectedSince: time.Now()}
	})
}

func (c *checking) left() {
	c.updateNode(func(n *filestate.NodeState) {
		n.Connected, n.InStepSince = false, time.Time{}
		c.m.local.away.left(*n, c.has)
	})
	c.m.cfg.Metrics.ForgetWorker(c.s.Name())
}

func (c *checking) updateNode(change func(*filestate.NodeState)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.node)
	c.m.cfg.States.SetNode(c.node)
}

// inStep takes down that the worker has all of a generation.
func (c *checking) inStep(g *generation, check lastCheck) {
	now := time.Now()
	c.unsent.Recovered(c.s.Log(), "Packages reach the worker again.")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.has = check, g.manifest
	c.failed, c.open, c.behind, c.wrong = nil, nil, time.Time{}, wrong{}
	n := &c.node
	n.LastCheck, n.Files, n.ManifestSum = now, g.manifest.Len(), g.manifest.Sum()
	if shows := (picture{g.number, c.m.cfg.States.Epoch()}); c.shown != shows {
		c.shown = shows
		n.InStepSince = now
		n.Lag = now.Sub(latest(g.at, n.ConnectedSince))
		c.m.cfg.States.Set(n.Node, pictureOf(n.Node, g, manifest.Difference{}, nil))
	}
	c.m.cfg.States.SetNode(*n)
	c.m.cfg.Metrics.Worker(n.Node, true, n.Lag.Seconds())
}

// differs takes down that the worker does not have all of a generation, before it
// is known what it lacks.
func (c *checking) differs(g *generation) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.markBehindLocked(now)
	n := &c.node
	n.InStepSince = time.Time{}
	c.m.cfg.States.SetNode(*n)
	c.m.cfg.Metrics.Worker(n.Node, false, now.Sub(latest(g.at, n.ConnectedSince)).Seconds())
}

// had says whether the worker was in step with a generation when it was compared
// last.
func (c *checking) had(g *generation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown.generation == g.number
}

// markBehindLocked takes down that what States show of the worker is not true any
// more.
func (c *checking) markBehindLocked(now time.Time) {
	c.last, c.shown = lastCheck{}, picture{}
	if c.behind.IsZero() {
		c.behind = now
	}
}

// outOfStep takes down what the worker lacks, and why where that is known.
func (c *checking) outOfStep(g *generation, d manifest.Difference, left map[string]string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.has = nil
	c.markBehindLocked(now)
	c.open = &openSync{g, d, left}
	c.showOpenLocked()
	n := &c.node
	n.LastCheck, n.InStepSince = now, time.Time{}
	n.Files, n.ManifestSum = g.manifest.Len()-len(d.Missing)-len(d.Shared), manifest.Digest{}
	c.m.cfg.States.SetNode(*n)
	c.m.cfg.Metrics.Worker(n.Node, false, now.Sub(latest(g.at, n.ConnectedSince)).Seconds())
}

// openSync is what a worker is to get.
type openSync struct {
	generation *generation
	difference manifest.Difference
	left       map[string]string // what does not go, and why
}

// showOpenLocked takes down the files of a worker that is out of step.
func (c *checking) showOpenLocked() {
	if c.open == nil {
		return
	}
	why := maps.Clone(c.failed)
	if why == nil {
		why = make(map[string]string, len(c.open.left))
	}
	maps.Copy(why, c.open.left)
	c.m.cfg.States.Set(c.node.Node, pictureOf(c.node.Node, c.open.generation, c.open.difference, why))
}

// showLeft takes down which files turned out not to go, and why.
func (c *checking) showLeft(left map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil {
		c.open.left = left
		c.showOpenLocked()
	}
}

// refused takes down that a worker did not take a package: its disk may be
// full. A transfer that was only called off or cut is on its way again soon.
func (c *checking) refused(err error, p *parcel) {
	var cancelled *session.CancelledError
	var remote *session.RemoteError
	if errors.As(err, &cancelled) || !errors.As(err, &remote) {
		return
	}
	why := "not taken by the worker: " + logging.Quote(remote.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	d := p.difference
	c.failed = make(map[string]string, len(d.Shared)+len(d.Missing))
	for _, entries := range [][]manifest.Entry{d.Shared, d.Missing} {
		for _, e := range entries {
			c.failed[e.Path] = why
		}
	}
	c.showOpenLocked()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// failure is one file a worker could not apply, in its report.
type failure struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// mostFailures bounds a report.
const mostFailures = 1000

// report takes a Testudo worker's account of files it could not apply.
func (c *checking) report(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	var list []failure
	if err := json.Unmarshal(payload, &list); err != nil {
		return session.Reply{}, fmt.Errorf("report of failures: %w", err)
	}
	if len(list) > mostFailures {
		return session.Reply{}, fmt.Errorf("report of %d failures, at most %d", len(list), mostFailures)
	}
	failed := make(map[string]string, len(list))
	for _, f := range list {
		if manifest.CheckPath(f.File) == nil {
			failed[f.File] = logging.Quote(f.Reason)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = failed
	c.showOpenLocked()
	return session.OK("Thanks"), nil
}

// send sends a parcel as the package of a synchronisation.
func (c *checking) send(ctx context.Context, p *parcel) (session.Sent, error) {
	sent, err := c.s.SendPackage(ctx, cmdSync, func(w io.Writer) error { return p.writeTo(ctx, w, c.m.cfg.Level) })
	c.m.cfg.Metrics.BundleBytes(sent.Bytes)
	return sent, err
}
