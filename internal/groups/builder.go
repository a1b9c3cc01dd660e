package groups

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/metrics"
)

const (
	// gather is how long after a hint the directories are looked at: a change
	// comes in several.
	gather = 100 * time.Millisecond
	// keepUnneeded is how long a multigroup's directory that no agent needs stays.
	keepUnneeded = time.Minute

	condition = "groups-not-merged"
)

// Source knows which combinations of groups agents have.
type Source interface {
	// DistinctGroups gives a page of a JSON array of {"group":TEXT,
	// "group_hash":HASH}, in the order of HASH, from the first above after; more
	// says that another page follows.
	DistinctGroups(ctx context.Context, after string) (page []byte, more bool, err error)
}

// Config is what a Builder needs.
type Config struct {
	Home   *os.Root
	Source Source
	Reload time.Duration // from one look at the directories to the next; 10 s unless set
	// Watch sends when something in the directories may have changed; it returns
	// when ctx ends. nil: changes are found by looking.
	Watch func(ctx context.Context, changed chan<- struct{}) error
	// Quiet tells whether Watch has heard of nothing since a moment; the groups'
	// files are then not looked at, for a minute at most. May be nil.
	Quiet   func(since time.Time) bool
	Owner   Owner
	Log     *slog.Logger
	Metrics *metrics.Set
	Health  *health.Board
}

// Builder makes the files merged.mg of a master.
type Builder struct {
	cfg  Config
	log  *slog.Logger
	seed seed
	// These are the constants of that name; tests cannot wait that long.
	settled, shrinkWait time.Duration

	mu       sync.Mutex // held while the directories are looked at
	trees    map[string]*tree
	outputs  map[string]*output   // by path from the home
	ar       *file                // etc/shared/ar.conf
	unneeded map[string]time.Time // hash: since when
	moving   map[string]int       // what could not be read for a file that changed meanwhile: looks in a row

	looked time.Time // when the groups were looked at and nothing was left to do; zero: there was

	failing, database logging.Recurring
}

// NewBuilder makes a Builder. The log lines are its own, without a tag.
func NewBuilder(cfg Config) *Builder {
	if cfg.Reload <= 0 {
		cfg.Reload = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Builder{
		cfg: cfg, log: cfg.Log, seed: seed{maphash.MakeSeed()}, settled: settled, shrinkWait: shrinkWait,
		trees: map[string]*tree{}, outputs: map[string]*output{}, unneeded: map[string]time.Time{},
		moving: map[string]int{},
	}
}

// Run looks at the directories at once, each Reload, and soon after a change was
// heard of, until ctx ends. It returns nil.
func (b *Builder) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	if b.cfg.Watch != nil {
		var watching sync.WaitGroup
		defer watching.Wait()
		watching.Go(func() {
			if err := b.cfg.Watch(ctx, changed); err != nil && ctx.Err() == nil {
				b.log.Warn("Group files not watched, changes are found by looking.", slog.Any("error", err))
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	var rest time.Time // until then hints do not count: looking may take a tenth of the time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if soon := later(time.Now().Add(gather), rest); soon.Before(due) {
				due = soon
				timer.Reset(time.Until(due))
			}
		case <-timer.C:
			start := time.Now()
			next := b.cfg.Reload
			if b.round(ctx) {
				next = min(next, b.shrinkWait)
			}
			end := time.Now()
			rest = end.Add(9 * end.Sub(start))
			due = end.Add(next)
			timer.Reset(next)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// round is one Scan, with its outcome told. again says that the next should come
// soon.
func (b *Builder) round(ctx context.Context) (again bool) {
	result, err := b.Scan(ctx)
	if ctx.Err() != nil {
		return false
	}
	if result.Written > 0 || result.Removed > 0 {
		b.log.Info("Group files merged.", slog.Int("groups", result.Groups), slog.Int("multigroups", result.Multigroups),
			slog.Int("written", result.Written), slog.Int("removed", result.Removed))
	}
	if err != nil {
		b.failing.Fail(b.log, slog.LevelError, "Group files not merged.", slog.Any("error", err))
		b.cfg.Health.Raise(condition, health.Warning,
			fmt.Sprintf("The files of some groups cannot be merged, their agents keep the old ones: %.300s.", err),
			"Look at the files that the log names; the next look comes by itself.")
		return result.waiting
	}
	b.failing.Recovered(b.log, "Group files merged again.")
	b.cfg.Health.Clear(condition)
	return result.waiting
}

// Result says what one Scan found and did.
type Result struct {
	Groups, Multigroups int // that there are
	Written             int // files merged.mg
	Removed             int // directories of multigroups

	waiting bool // something is left alone for a moment
}

// Scan looks at everything once and makes what is not as it should be. The
// error joins those of single groups; the others have been made nevertheless.
func (b *Builder) Scan(ctx context.Context) (Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	shared, err := b.cfg.Home.OpenRoot(sharedDir)
	if err != nil {
		return Result{}, fmt.Errorf("look at groups: %w", err)
	}
	defer shared.Close()
	s := scan{Builder: b, shared: shared, now: time.Now(), moving: map[string]int{}}
	defer func() { b.moving = s.moving }()
	if err := s.groups(ctx); err != nil {
		return s.result, err
	}
	if err := s.multigroups(ctx); err != nil {
		s.fail("multigroups", err)
	}
	return s.result, errors.Join(s.errs...)
}

// scan is one run of Scan. The Builder is locked.
type scan struct {
	*Builder
	shared *os.Root
	now    time.Time
	result Result
	moving map[string]int // as in Builder, with this look
	errs   []error
}

const (
	// maxErrors bounds what one scan reports.
	maxErrors = 8
	// maxMoving is how many looks in a row may find that files change or go while
	// they are read, as they do while somebody saves many, before it is a failure.
	maxMoving = 5
)

func (s *scan) fail(what string, err error) {
	if errors.Is(err, errChanged) || errors.Is(err, fs.ErrNotExist) {
		s.moving[what] = s.Builder.moving[what] + 1
		if s.moving[what] <= maxMoving {
			s.result.waiting = true
			return
		}
	}
	if len(s.errs) < maxErrors {
		s.errs = append(s.errs, fmt.Errorf("merge %s: %w", what, err))
	}
}

// groups brings trees up to date and makes each group's merged.mg.
func (s *scan) groups(ctx context.Context) error {
	if s.asBefore() {
		s.result.Groups = len(s.trees)
		return nil
	}
	names, err := listShared(s.shared)
	if err != nil {
		return fmt.Errorf("look at groups: %w", err)
	}
	if err := s.readAr(); err != nil {
		return fmt.Errorf("look at %s/%s: %w", sharedDir, arConf, err)
	}
	trees := make(map[string]*tree, len(names))
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := readTree(s.shared, name, s.trees[name], s.seed, s.now.Add(-s.settled))
		if err == nil {
			_, absent := s.shared.Lstat(name + "/" + mergedName)
			trees[name] = t
			if s.waits(t, s.trees[name], absent == nil) {
				continue
			}
			err = s.make(sharedDir+"/"+name+"/"+mergedName, s.seed.of(s.arKey(), t.digest),
				func() *plan { return planOf(name, t, s.ar) })
			t.merged = err == nil
		}
		if err != nil {
			s.fail("group "+name, err)
		}
	}
	for name := range s.trees {
		if trees[name] == nil {
			delete(s.outputs, sharedDir+"/"+name+"/"+mergedName)
		}
	}
	s.trees, s.result.Groups = trees, len(names)
	s.looked = time.Time{}
	if len(s.errs) == 0 && !s.result.waiting {
		s.looked = s.now
	}
	return nil
}

// trusted is for how long a quiet watch stands for a look at the groups' files.
const trusted = time.Minute

// asBefore tells whether the groups' files need not be looked at.
func (s *scan) asBefore() bool {
	return s.cfg.Quiet != nil && !s.looked.IsZero() && s.now.Sub(s.looked) < trusted && s.cfg.Quiet(s.looked)
}

// readAr looks at etc/shared/ar.conf, which goes to every agent.
func (s *scan) readAr() error {
	info, err := s.shared.Stat(arConf)
	if errors.Is(err, os.ErrNotExist) {
		s.ar = nil
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errSpecial
	}
	ar := fileOf(arConf, info, s.now.Add(-s.settled))
	if s.ar != nil && ar.same(*s.ar) {
		return nil
	}
	if ar.binary, err = holdsNUL(s.shared, arConf); err != nil {
		return err
	}
	s.ar = &ar
	return nil
}

func (s *scan) arKey() uint64 {
	if s.ar == nil {
		return 0
	}
	return s.seed.of(*s.ar)
}
