package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"testudo/internal/bundle"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/metrics"
	"testudo/internal/session"
)

// WorkerConfig is what the worker's end needs. Durations are those of
// cluster.json (docs/configuration.md §2).
type WorkerConfig struct {
	Node           string
	Items          manifest.Items
	Interval       time.Duration // between checks
	Rescan         time.Duration // how old the last scan may be while the watch hears nothing
	ReceiveTimeout time.Duration
	Level          int
	Watch          bool
	Package        bundle.Limits   // of what the master sends
	Limits         manifest.Limits // of its metadata

	Ahead Ahead

	States  States
	Health  *health.Board
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Worker is the worker's end of the exchange.
type Worker struct {
	cfg  WorkerConfig
	tree Tree
	wake chan struct{}

	apply  sync.Mutex // one package at a time
	rest   rest
	known  lastScan // belongs to the session's run
	ahead  ahead
	ready  atomic.Bool
	shown  atomic.Pointer[manifest.Manifest] // whose picture is in States
	epoch  atomic.Uint64                     // of States then
	line   line
	failed logging.Recurring
	unread logging.Recurring
	doubts logging.Recurring
}

// NewWorker returns the worker's end over its tree.
func NewWorker(cfg WorkerConfig, tree Tree) *Worker {
	return &Worker{cfg: cfg, tree: tree, wake: make(chan struct{}, 1), ahead: ahead{Ahead: cfg.Ahead}, line: line{states: cfg.States}}
}

// Run watches the worker's own tree until ctx ends, so that a change made
// behind the master's back is undone at once.
func (w *Worker) Run(ctx context.Context) error {
	if !w.cfg.Watch {
		<-ctx.Done()
		return nil
	}
	return follow(ctx, w.tree, &w.rest, w.wake)
}

// Ready says whether the worker has been in step with its master since it
// started.
func (w *Worker) Ready() bool { return w.ready.Load() }

// comparing is the conversation with one master.
type comparing struct {
	w *Worker
	s *session.Session

	doubted map[string]bool // files of the last package that were not what was announced; guarded by w.apply

	mu       sync.Mutex
	applying int                // packages announced or being applied
	asked    time.Time          // start of the check that waits for its verdict
	waiting  bool               // that check has got none yet
	own      *manifest.Manifest // what that check was about
	encoded  []byte             // its package, kept while the tree stays the same
	of       *manifest.Manifest // the tree of encoded
}

// Offer implements cluster.Exchange.
func (w *Worker) Offer(s *session.Session, mux *session.Mux) func(context.Context) {
	c := &comparing{w: w, s: s}
	mux.Handle(cmdInStep, c.inStep)
	mux.HandleDelivery(cmdSync, c.receive)
	mux.Handle(cmdChanged, func(context.Context, *session.Session, []byte) (session.Reply, error) {
		poke(w.wake)
		return session.OK("Thanks"), nil
	})
	return c.run
}

// run checks at once, each interval, and whenever something is known to have
// changed on either side.
func (c *comparing) run(ctx context.Context) {
	defer c.connected()()
	turn := time.NewTimer(0)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
		case <-c.w.wake:
		case <-ctx.Done():
			return
		}
		next := c.w.cfg.Interval
		if busy := c.check(ctx); busy {
			next = min(next, busyPause)
		}
		turn.Reset(next)
	}
}

// busyPause is how long a worker waits that found its Testudo master still
// occupied with the end of the previous check.
const busyPause = 100 * time.Millisecond

func (c *comparing) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applying > 0
}

// check is one turn: ask the master whether our tree is its own. It says
// whether the master was busy.
func (c *comparing) check(ctx context.Context) (busy bool) {
	if c.busy() {
		return false // the end of applying wakes us
	}
	log := c.s.Log().With(logging.Task(taskCheck))
	quick := c.s.PeerHas(session.FeatureDigest)
	if !quick && !c.permitted(ctx, log) {
		return false
	}
	log.Info("Starting.")
	began := time.Now()
	own, err := c.w.read(ctx, log)
	if err == nil {
		own = c.w.ahead.compared(own)
	}
	answer := answerDiffers
	if err == nil && quick {
		answer, err = c.compareDigest(ctx, own)
	}
	switch {
	case ctx.Err() != nil:
	case err == nil && answer == answerInStep:
		c.stepped(log, own, began)
	case err == nil && answer == answerBusy:
		log.Debug("Master didn't grant permission to start a new synchronization: busy")
		return true
	case err == nil:
		err = c.sendMetadata(ctx, own, began)
	}
	if err != nil && ctx.Err() == nil {
		c.w.failed.Fail(log, slog.LevelError, "Error synchronizing integrity: "+logging.Quote(err.Error()))
	}
	return false
}

func (c *comparing) permitted(ctx context.Context, log *slog.Logger) bool {
	answer, err := c.s.Request(ctx, cmdPermission, nil)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		c.w.failed.Fail(log, slog.LevelError, "Error asking for permission: "+logging.Quote(err.Error()))
	case string(answer) != "True":
		log.Debug("Master didn't grant permission to start a new synchronization: b'" + logging.Quote(string(answer)) + "'")
	default:
		log.Debug("Permission to synchronize granted.")
		return true
	}
	return false
}

// read gives the worker's own tree: as it was scanned last while that is recent
// and nothing has been heard of it since, else scanned anew.
func (w *Worker) read(ctx context.Context, log *slog.Logger) (*manifest.Manifest, error) {
	if w.known.holds(w.tree, w.cfg.Rescan) {
		return w.known.scan.Manifest, nil
	}
	at := time.Now()
	scan, err := w.tree.Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read own files: %w", err)
	}
	w.known = lastScan{scan, at}
	w.cfg.Metrics.Hashed(scan.HashedBytes)
	w.rest.after(scan.HashedBytes)
	w.cfg.Metrics.ManifestFiles(scan.Manifest.Len())
	problems := slices.Concat(scan.Directories, scan.Unreadable)
	if len(problems) == 0 {
		w.unread.Recovered(log, "All files are readable again.")
		return scan.Manifest, nil
	}
	p := problems[0]
	w.unread.Fail(log, slog.LevelError, fmt.Sprintf("Can't read metadata from file %s: %s", logging.Quote(p.Path), logging.Quote(p.Err.Error())))
	return scan.Manifest, nil
}

// compareDigest asks a Testudo master whether the trees are the same, without
// sending the metadata.
func (c *comparing) compareDigest(ctx context.Context, own *manifest.Manifest) (string, error) {
	answer, err := c.s.Request(ctx, cmdDigest, []byte(own.Sum().String()))
	return string(answer), err
}

// sendMetadata sends the worker's manifest; the verdict comes as a request of
// the master's.
func (c *comparing) sendMetadata(ctx context.Context, own *manifest.Manifest, began time.Time) error {
	c.mu.Lock()
	c.asked, c.own, c.waiting = began, own, true
	encoded := c.encoded
	if c.of != own {
		encoded = nil
	}
	c.mu.Unlock()
	if encoded == nil {
		var buf bytes.Buffer
		if err := bundle.NewWriter(&buf, c.w.cfg.Level).Close(own.WriteJSON); err != nil {
			return fmt.Errorf("pack metadata: %w", err)
		}
		encoded = buf.Bytes()
		c.mu.Lock()
		c.encoded, c.of = encoded, own
		c.mu.Unlock()
	}
	_, err := c.s.SendPackage(ctx, cmdCheck, func(w io.Writer) error {
		_, err := w.Write(encoded)
		return err
	})
	return err
}

// inStep is the verdict that nothing differs.
func (c *comparing) inStep(context.Context, *session.Session, []byte) (session.Reply, error) {
	c.mu.Lock()
	own, began := c.own, c.asked
	waiting := c.waiting
	c.waiting = false
	c.mu.Unlock()
	if waiting {
		c.stepped(c.s.Log().With(logging.Task(taskCheck)), own, began)
	}
	return session.OK("Thanks"), nil
}

func (c *comparing) stepped(log *slog.Logger, own *manifest.Manifest, began time.Time) {
	w := c.w
	log.Info(fmt.Sprintf("Finished in %.3fs. Sync not required.", time.Since(began).Seconds()))
	w.failed.Recovered(log, "Integrity is synchronized again.")
	w.doubts.Recovered(log, "The master knows the digests of its files again.")
	w.cfg.Health.Clear(condApply)
	w.cfg.Metrics.Round("in_step", time.Since(began).Seconds())
	w.ready.Store(true)
	w.ahead.inStep(own)
	epoch := w.cfg.States.Epoch()
	if w.shown.Swap(own) != own || w.epoch.Swap(epoch) != epoch {
		w.cfg.States.Set(w.cfg.Node, ownRows(w.cfg.Node, &generation{manifest: own}))
	}
	w.line.inStep(own)
}

// receive is the task of one package of the master's: stage it, apply it, look
// again. After a failure the next look waits for its turn.
func (c *comparing) receive(ctx context.Context, d *session.Delivery) {
	c.addApplying(1)
	c.w.line.differs()
	progress := false
	defer func() {
		c.addApplying(-1)
		if progress {
			poke(c.w.wake)
		}
	}()
	c.mu.Lock()
	began := c.asked
	c.mu.Unlock()
	c.s.Log().With(logging.Task(taskCheck)).Info(fmt.Sprintf("Finished in %.3fs. Sync required.", time.Since(began).Seconds()))
	log := c.s.Log().With(logging.Task(taskSync))
	early := c.unpackEarly(ctx, d)
	defer early.discard()
	upload, err := d.Wait(ctx, c.w.cfg.ReceiveTimeout)
	if err == nil {
		progress, err = c.apply(ctx, log, upload, early)
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, session.ErrSuperseded) {
		return
	}
	var member *memberError
	if errors.As(err, &member) {
		c.notStored(ctx, log, member)
		err = general(err)
	}
	c.w.cfg.Metrics.Round("failed", time.Since(began).Seconds())
	c.w.failed.Fail(log, slog.LevelError, "Error synchronizing files: "+logging.Quote(err.Error()))
	c.w.cfg.Health.Raise(condApply, health.Warning, err.Error(), "see logs/cluster.log and 'testudo files --state failed'")
	if !isReceiveTimeout(err) {
		c.s.ReportFailure(ctx, cmdCheck, err)
	}
}

func (c *comparing) addApplying(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applying += n
}
