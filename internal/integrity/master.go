package integrity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/bundle"
	"testudo/internal/filestate"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/metrics"
	"testudo/internal/session"
)

// MasterConfig is what the master's end needs. Durations and sizes are those
// of cluster.json (docs/configuration.md §2).
type MasterConfig struct {
	Node           string
	Version        string
	Items          manifest.Items
	Recalculate    time.Duration
	MaxLocked      time.Duration // a check that lasts longer no longer keeps the next one out
	ReceiveTimeout time.Duration
	MaxZip, MinZip int64
	Tolerance      float64
	Level          int
	Limits         manifest.Limits // of a worker's metadata
	Watch          bool

	HoldShrink  bool
	ShrinkRatio float64
	Decision    func(ctx context.Context) (accepted bool, err error) // the operator's, about a held back state
	Held        func(ctx context.Context, h *filestate.Held) error   // records what is held back, nil for nothing; may be nil
	KeysRemoved func() bool                                          // no agent has a key because all were removed as they should be; may be nil

	Home    *os.Root
	States  States
	Health  *health.Board
	Metrics *metrics.Set
	Log     *slog.Logger
}

// acceptedFile keeps the last state that went to the workers.
const acceptedFile = "queue/db/testudo-accepted.json"

// Master is the master's end of the exchange.
type Master struct {
	cfg   MasterConfig
	local *local
	pack  packer

	mu      sync.Mutex
	workers map[string]*checking // connected ones, by name
}

// NewMaster returns the master's end over its tree. Compressed files are kept
// in the spool, one copy for all workers.
func NewMaster(cfg MasterConfig, tree Tree, spool *bundle.Spool) *Master {
	log := cfg.Log.With(logging.Task(taskLocal))
	l := &local{cfg: cfg, tree: tree, log: log, started: time.Now(), away: away{states: cfg.States}, waiting: make(map[chan<- struct{}]struct{})}
	l.guard = shrinkGuard{
		enabled: cfg.HoldShrink, ratio: cfg.ShrinkRatio, home: cfg.Home, file: acceptedFile,
		decided: cfg.Decision, tell: cfg.Held, keysRemoved: cfg.KeysRemoved, log: log, health: cfg.Health, metrics: cfg.Metrics,
	}
	return &Master{cfg: cfg, local: l, pack: packer{tree: tree, spool: spool}, workers: make(map[string]*checking)}
}

// Run keeps the knowledge of the master's own tree up to date until ctx ends.
func (m *Master) Run(ctx context.Context) error { return m.local.run(ctx) }

// Ready says whether the tree has been read once: before that no worker is
// compared with it.
func (m *Master) Ready() bool { return m.local.now() != nil }

// Files is how many files the tree has.
func (m *Master) Files() int {
	if g := m.local.now(); g != nil {
		return g.manifest.Len()
	}
	return 0
}

// checking is the conversation with one worker.
type checking struct {
	m       *Master
	s       *session.Session
	limit   sizeLimit
	changed chan struct{}     // poked at each new generation
	failing logging.Recurring // checks
	unsent  logging.Recurring // packages
	leftOut logging.Recurring // files too large or unreadable

	mu     sync.Mutex
	status Status
	wrong  wrong     // what went wrong since the worker was last in step
	behind time.Time // since when it is known not to be
	busy   time.Time // since when a check is under way; zero when none is
	last   lastCheck
	has    *manifest.Manifest // what the worker is in step with, nil when it is not
	node   filestate.NodeState
	shown  picture           // what States has of the worker while it is in step
	failed map[string]string // what the worker could not apply, or did not take, and why
	open   *openSync         // what is shown of it while it is out of step
}

// picture names what was handed to States: a generation, in an epoch of theirs.
type picture struct{ generation, epoch uint64 }

// lastCheck is the last comparison that found the worker in step. The same
// metadata compared with the same generation gives the same result.
type lastCheck struct {
	sum        [32]byte
	generation uint64
	files      int
}

// Offer implements cluster.Exchange.
func (m *Master) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &checking{m: m, s: s, changed: make(chan struct{}, 1)}
	c.limit = sizeLimit{now: m.cfg.MaxZip, min: m.cfg.MinZip, max: m.cfg.MaxZip, tolerance: m.cfg.Tolerance, patience: m.cfg.ReceiveTimeout}
	mux.Handle(cmdPermission, c.permission)
	mux.HandleDelivery(cmdCheck, c.check)
	mux.Handle(cmdDigest, c.digest)
	mux.Handle(cmdFailed, c.report)
	return c.run
}

// run announces each change to a worker that understands it.
func (c *checking) run(ctx context.Context) {
	defer c.m.enter(c)()
	defer c.left()
	c.arrived()
	defer c.m.local.subscribe(c.changed)()
	for {
		select {
		case <-c.changed:
			if g := c.m.local.now(); c.s.PeerHas(session.FeaturePush) && g != nil {
				if _, err := c.s.Request(ctx, cmdChanged, nil); err != nil {
					c.s.Log().Debug("change not announced", "error", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// permission answers whether a check may start now: when the tree is known and
// no other check of this worker is under way.
func (c *checking) permission(context.Context, *session.Session, []byte) (session.Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.freeLocked() || !c.m.Ready() {
		return session.OK("False"), nil
	}
	return session.OK("True"), nil
}

// freeLocked says whether no check is under way. The lock opens when its check
// ends, in whatever way; MaxLocked is the original's safeguard.
func (c *checking) freeLocked() bool {
	if c.busy.IsZero() {
		return true
	}
	if time.Since(c.busy) <= c.m.cfg.MaxLocked {
		return false
	}
	c.s.Log().Warn(fmt.Sprintf("Automatically releasing Integrity check permissions flag (%s) after being locked out for more than %.0fs.", c.s.Name(), c.m.cfg.MaxLocked.Seconds()))
	c.busy = time.Time{}
	return true
}

// lock takes the lock for one check and returns its release, which leaves a
// lock alone that a later check has taken.
func (c *checking) lock() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := time.Now()
	c.busy = taken
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.busy.Equal(taken) {
			c.busy = time.Time{}
		}
	}
}

// check is the task of one metadata package: compare, and send what differs.
func (c *checking) check(ctx context.Context, d *session.Delivery) {
	defer c.lock()()
	log := c.s.Log().With(logging.Task(taskCheck))
	log.Info("Starting.")
	began := time.Now()
	upload, err := d.Wait(ctx, c.m.cfg.ReceiveTimeout)
	if err != nil {
		c.checkFailed(ctx, log, fmt.Errorf("receive metadata: %w", err))
		return
	}
	defer upload.Close()
	g := c.m.local.now()
	if g == nil {
		log.Debug("The tree has not been read yet.")
		return
	}
	diff, files, err := c.compare(ctx, upload, g)
	if err != nil {
		c.checkFailed(ctx, log, fmt.Errorf("compare metadata: %w", err))
		return
	}
	c.checked(began)
	c.failing.Recovered(log, "Checks of this worker work again.")
	verdict := "Sync not required."
	if !diff.Empty() {
		verdict = "Sync required."
	}
	log.Info(fmt.Sprintf("Finished in %.3fs. Received metadata of %d files. %s", time.Since(began).Seconds(), files, verdict))
	if !diff.Empty() {
		c.m.cfg.Metrics.Round("required", time.Since(began).Seconds())
		c.sync(ctx, g, diff)
		return
	}
	c.inStep(g, lastCheck{sum: upload.Sum(), generation: g.number, files: files})
	c.m.cfg.Metrics.Round("in_step", time.Since(began).Seconds())
	if _, err := c.s.Request(ctx, cmdInStep, nil); err != nil && ctx.Err() == nil {
		log.Error("Error in synchronization process: " + logging.Quote(err.Error()))
	}
}

func (c *checking) checkFailed(ctx context.Context, log *slog.Logger, err error) {
	if ctx.Err() != nil || errors.Is(err, session.ErrSuperseded) {
		log.Debug("Check ended", "reason", err)
		return
	}
	c.m.cfg.Metrics.Round("failed", 0)
	if g := c.m.local.now(); g != nil && !c.had(g) {
		c.differs(g)
	}
	c.wentWrong(err)
	c.failing.Fail(log, slog.LevelError, "Error in synchronization process: "+logging.Quote(err.Error()))
}

// compare reads a worker's metadata and compares it with a generation.
func (c *checking) compare(ctx context.Context, u *session.Upload, g *generation) (manifest.Difference, int, error) {
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last.generation == g.number && last.sum == u.Sum() && last.sum != [32]byte{} {
		return manifest.Difference{}, last.files, nil
	}
	theirs, err := readMetadata(ctx, u, c.m.cfg.Limits)
	if err != nil {
		return manifest.Difference{}, 0, err
	}
	for _, e := range theirs.Entries() {
		if err := c.m.cfg.Items.Check(e); err != nil && !isOddlyNamed(c.m.cfg.Items, e) {
			return manifest.Difference{}, 0, err
		}
	}
	diff := manifest.Compare(g.manifest, theirs).SpareItems(c.m.cfg.Items)
	return g.spare(diff), theirs.Len(), nil
}

// isOddlyNamed says whether an entry that cannot stand in our tree is a file of
// a synchronised directory all the same, with a control character in its name.
// To a 4.7.5 worker it is a file like any other; we never have it, so the worker
// is told to remove it, and its other files do not wait for that.
func isOddlyNamed(items manifest.Items, e manifest.Entry) bool {
	item, known := items.Lookup(e.ItemKey)
	return known && item.Recursive && strings.HasPrefix(e.Path, item.Key) && path.Clean(e.Path) == e.Path &&
		manifest.CheckPath(e.Path) != nil
}

// digest answers a Testudo worker's question whether its tree is the master's:
// "in step", "differs" or "busy".
func (c *checking) digest(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
	sum, err := manifest.ParseDigest(string(payload))
	if err != nil {
		return session.Reply{}, fmt.Errorf("digest: %w", err)
	}
	began := time.Now()
	g := c.m.local.now()
	c.mu.Lock()
	free := c.freeLocked()
	c.mu.Unlock()
	switch {
	case g == nil || !free:
		return session.OK(answerBusy), nil
	case g.manifest.Sum() != sum:
		// A worker may have copies of what the master cannot read, and all else.
		if len(g.unreadable) == 0 || !c.had(g) {
			c.differs(g)
		}
		return session.OK(answerDiffers), nil
	}
	c.checked(began)
	log := c.s.Log().With(logging.Task(taskCheck))
	log.Info("Starting.")
	log.Info(fmt.Sprintf("Finished in %.3fs. Received metadata of %d files. Sync not required.", 0.0, g.manifest.Len()))
	c.m.cfg.Metrics.Round("in_step", 0)
	c.inStep(g, lastCheck{generation: g.number, files: g.manifest.Len()})
	return session.OK(answerInStep), nil
}

const (
	answerInStep  = "in step"
	answerDiffers = "differs"
	answerBusy    = "busy"
)

// sync sends what a worker lacks and tells it what it has too much.
func (c *checking) sync(ctx context.Context, g *generation, diff manifest.Difference) {
	log := c.s.Log().With(logging.Task(taskSync))
	log.Info("Starting.")
	began := time.Now()
	log.Info(fmt.Sprintf("Files to create in worker: %d | Files to update in worker: %d | Files to delete in worker: %d",
		len(diff.Missing), len(diff.Shared), len(diff.Extra)))
	large := c.s.PeerHas(session.FeatureLarge)
	p, err := c.m.pack.pack(ctx, diff, c.limit.now, large)
	if err != nil {
		c.syncFailed(ctx, log, err)
		return
	}
	defer p.release()
	known := len(p.left)
	c.syncing(diff)
	c.outOfStep(g, diff, maps.Clone(p.left))
	log.Debug(fmt.Sprintf("Compressing files and 'files_metadata.json' of %d files.", diff.Len()-known))
	sent, err := c.send(ctx, p)
	if len(p.left) > known {
		c.showLeft(p.left)
	}
	if err == nil || len(p.left) > 0 {
		c.warn(log, p)
	}
	var cancelled *session.CancelledError
	if c.limit.after(sent.Bytes, sent.Took, errors.As(err, &cancelled)) {
		log.Debug(fmt.Sprintf("Sync size limit is now %d MB.", c.limit.now>>20))
	}
	if err != nil {
		c.refused(err, p)
		c.syncFailed(ctx, log, err)
	} else {
		c.synced(began)
	}
	log.Info(fmt.Sprintf("Finished in %.3fs.", time.Since(began).Seconds()))
}

func (c *checking) syncFailed(ctx context.Context, log *slog.Logger, err error) {
	err = refusal(err)
	if ctx.Err() == nil {
		c.wentWrong(err)
		c.unsent.Fail(log, slog.LevelError, "Error sending zip file: "+logging.Quote(err.Error()))
	}
}

// refusal is why a package did not go. What the worker says of it is the same
// whichever file was on its way.
func refusal(err error) error {
	var cancelled *session.CancelledError
	if remote, ok := errors.AsType[*session.RemoteError](err); ok && !errors.As(err, &cancelled) {
		return remote
	}
	return err
}

// warn tells of files that cannot be sent, once and not each round.
func (c *checking) warn(log *slog.Logger, p *parcel) {
	if len(p.left) == 0 {
		c.leftOut.Recovered(log, "No file is left out any more.")
		return
	}
	first := slices.Min(slices.Collect(maps.Keys(p.left)))
	c.leftOut.Fail(log, slog.LevelWarn, fmt.Sprintf("{'%s': ['%s']}", logging.Quote(first), logging.Quote(p.left[first])),
		slog.Int("left_out", len(p.left)))
}
