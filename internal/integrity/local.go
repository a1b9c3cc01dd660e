package integrity

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/manifest"
)

// generation is one state of the master's tree, as workers are compared with.
type generation struct {
	number     uint64
	manifest   *manifest.Manifest
	unreadable map[string]string // path or directory to reason; nothing of it is deleted at a worker
	at         time.Time         // when the change was noticed
}

func (g *generation) spare(d manifest.Difference) manifest.Difference {
	if len(g.unreadable) == 0 {
		return d
	}
	paths := make([]string, 0, len(g.unreadable))
	for p := range g.unreadable {
		paths = append(paths, p)
	}
	return d.Spare(paths, paths)
}

// local is the master's knowledge of its own tree: scanned at start, each
// period and whenever the watch says so.
type local struct {
	cfg   MasterConfig
	tree  Tree
	guard shrinkGuard
	log   *slog.Logger

	started    time.Time
	away       away
	unreadable logging.Recurring
	failed     logging.Recurring
	last       lastScan // that was admitted; belongs to run
	rest       rest

	mu      sync.Mutex
	current *generation
	waiting map[chan<- struct{}]struct{} // poked at each new generation
}

func (l *local) run(ctx context.Context) error {
	if err := l.guard.load(); err != nil {
		l.log.Warn("The last accepted state of the files is not readable; starting without it", "error", err)
	}
	wake := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	if l.cfg.Watch {
		g.Go(func() error { return follow(ctx, l.tree, &l.rest, wake) })
	}
	g.Go(func() error { return l.loop(ctx, wake) })
	return g.Wait()
}

func (l *local) loop(ctx context.Context, wake <-chan struct{}) error {
	period := time.NewTicker(l.cfg.Recalculate)
	defer period.Stop()
	announced := slog.LevelInfo
	for {
		l.recalculate(ctx, announced)
		select {
		case <-period.C:
			announced = slog.LevelInfo
		case <-wake:
			announced = slog.LevelDebug
		case <-ctx.Done():
			return nil
		}
	}
}

// recalculate brings the knowledge up to date. A tree that cannot be read
// leaves it as it was.
func (l *local) recalculate(ctx context.Context, level slog.Level) {
	l.log.Log(ctx, level, "Starting.")
	began := time.Now()
	finished := func(scan *filetree.Scan) {
		l.log.Log(ctx, level, fmt.Sprintf("Finished in %.3fs. Calculated metadata of %d files.", time.Since(began).Seconds(), scan.Manifest.Len()))
	}
	if l.last.holds(l.tree, 0) {
		finished(l.last.scan)
		return
	}
	scan, err := l.tree.Scan(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.failed.Fail(l.log, slog.LevelError, "Error calculating local file integrity: "+err.Error())
		return
	}
	l.failed.Recovered(l.log, "Local file integrity is calculated again.")
	l.report(scan)
	l.cfg.Metrics.Hashed(scan.HashedBytes)
	l.rest.after(scan.HashedBytes)
	l.last = lastScan{}
	if l.guard.admit(ctx, scan) {
		l.accept(scan, began)
		l.last = lastScan{scan, began}
	}
	finished(scan)
}

// report logs what could not be read.
func (l *local) report(scan *filetree.Scan) {
	problems := slices.Concat(scan.Directories, scan.Unreadable)
	if len(problems) == 0 {
		l.unreadable.Recovered(l.log, "All files are readable again.")
		l.cfg.Health.Clear(condUnreadable)
		return
	}
	first := problems[0]
	text := fmt.Sprintf("Can't read metadata from file %s: %s", logging.Quote(first.Path), logging.Quote(first.Err.Error()))
	if more := len(problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	l.unreadable.Fail(l.log, slog.LevelError, text)
	l.cfg.Health.Raise(condUnreadable, health.Warning, text, "make the file readable for the node's user, or take it out of the synchronised directories")
}

func (l *local) accept(scan *filetree.Scan, noticed time.Time) {
	unreadable := reasons(scan)
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &generation{number: 1, manifest: scan.Manifest, unreadable: unreadable, at: noticed}
	if old := l.current; old != nil {
		if old.manifest.Sum() == scan.Manifest.Sum() && maps.Equal(unreadable, old.unreadable) {
			return
		}
		next.number = old.number + 1
	}
	l.current = next
	l.cfg.States.Set(l.cfg.Node, ownRows(l.cfg.Node, next))
	l.cfg.States.SetNode(filestate.NodeState{
		Node: l.cfg.Node, Role: "master", Version: l.cfg.Version, Connected: true, ConnectedSince: l.started,
		LastCheck: noticed, LastSync: noticed, InStepSince: noticed, Files: next.manifest.Len(), ManifestSum: next.manifest.Sum(),
	})
	l.cfg.Metrics.ManifestFiles(next.manifest.Len())
	l.away.show(next)
	for wake := range l.waiting {
		poke(wake)
	}
}

func reasons(scan *filetree.Scan) map[string]string {
	if len(scan.Unreadable)+len(scan.Directories) == 0 {
		return nil
	}
	m := make(map[string]string, len(scan.Unreadable)+len(scan.Directories))
	for _, p := range scan.Unreadable {
		m[p.Path] = "unreadable: " + p.Err.Error()
	}
	for _, p := range scan.Directories {
		m[p.Path] = "unreadable directory: " + p.Err.Error()
	}
	return m
}

// now is the state workers are compared with; nil before the first scan.
func (l *local) now() *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// subscribe has wake poked at each new generation, until the returned function
// is called.
func (l *local) subscribe(wake chan<- struct{}) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[wake] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, wake)
	}
}
