package integrity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"testudo/internal/bundle"
	"testudo/internal/fault"
	"testudo/internal/filestate"
	"testudo/internal/filetree"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/manifest"
	"testudo/internal/session"
)

const condApply = "files-not-applied"

func isReceiveTimeout(err error) bool { return fault.Has(err, fault.ReceiveTimeout) }

// apply stages a package and moves its files into place. It made progress when
// there was something to do and all of it succeeded.
func (c *comparing) apply(ctx context.Context, log *slog.Logger, u *session.Upload, early *earlyStage) (progress bool, err error) {
	defer u.Close()
	defer early.discard() // it may still be reading u
	c.w.apply.Lock()
	defer c.w.apply.Unlock()
	log.Info("Starting.")
	began := time.Now()
	stage, diff, err := early.take(u.Path())
	if err != nil {
		if !errors.Is(err, session.ErrGivenUp) { // it was whole at once
			log.Debug("The package is unpacked now that it is whole", "reason", err)
		}
		stage, diff, err = c.stage(ctx, u.Path(), u.Reader())
	}
	if err != nil {
		return false, err
	}
	defer stage.Close()
	log.Info(fmt.Sprintf("Files to create: %d | Files to update: %d | Files to delete: %d",
		len(diff.Missing), len(diff.Shared), len(diff.Extra)))
	if !diff.Empty() {
		if progress, err = c.move(ctx, log, stage, diff); err != nil {
			return false, err
		}
	}
	c.w.line.synced()
	c.w.cfg.Metrics.Round("applied", time.Since(began).Seconds())
	log.Info(fmt.Sprintf("Finished in %.3fs.", time.Since(began).Seconds()))
	return progress, nil
}

// stage unpacks a package beside its path.
func (c *comparing) stage(ctx context.Context, path string, content io.Reader) (*filetree.Stage, manifest.Difference, error) {
	stage, err := c.w.tree.NewStage(path + "dir")
	if err != nil {
		return nil, manifest.Difference{}, fmt.Errorf("stage package: %w", err)
	}
	diff, err := c.unpack(ctx, stage, content)
	if err != nil {
		return nil, diff, errors.Join(fmt.Errorf("unpack package: %w", err), stage.Close())
	}
	return stage, diff, nil
}

// unpack puts the members into the stage and returns the difference they
// belong to.
func (c *comparing) unpack(ctx context.Context, stage *filetree.Stage, content io.Reader) (manifest.Difference, error) {
	var diff *manifest.Difference
	err := bundle.Read(ctx, content, c.w.cfg.Package, func(path string, content io.Reader) error {
		if path != bundle.MetadataName {
			return put(stage, path, content)
		}
		d, err := manifest.ReadDifference(content, c.w.cfg.Limits)
		diff = &d
		return err
	})
	if err == nil && diff == nil {
		err = errNoMetadata
	}
	if err != nil {
		return manifest.Difference{}, err
	}
	return *diff, nil
}

// memberError is returned when the content of one file cannot be stored.
type memberError struct {
	path string
	err  error
}

func (e *memberError) Error() string { return e.err.Error() }

func (e *memberError) Unwrap() error { return e.err }

// general is why a package could not be unpacked. When that is the disk's fault the
// file is left out that it came upon, which is another one in the next round.
func general(err error) error {
	var member *memberError
	var errno syscall.Errno
	if errors.As(err, &member) && errors.As(err, &errno) {
		return fmt.Errorf("unpack package: store its files: %w", errno)
	}
	return err
}

// put stages one member. One that is not synchronised here, by this node's own
// table, is passed over: the others are good, and applying reports it.
func put(stage *filetree.Stage, path string, content io.Reader) error {
	_, err := stage.Put(path, content)
	var elsewhere *manifest.PathError
	if err == nil || errors.As(err, &elsewhere) {
		return nil
	}
	return &memberError{path, err}
}

func (c *comparing) move(ctx context.Context, log *slog.Logger, stage *filetree.Stage, diff manifest.Difference) (whole bool, err error) {
	log.Debug("Worker does not meet integrity checks. Actions required.")
	log.Debug("Updating local files: Start.")
	diff, taken := c.weigh(log, stage, diff)
	applied, err := stage.Apply(ctx, diff)
	if err != nil {
		if ctx.Err() == nil {
			c.noneApplied(ctx, log, diff, err)
		}
		return false, fmt.Errorf("apply package: %w", err)
	}
	log.Debug("Updating local files: End.")
	c.w.ahead.applied(diff, applied.Problems)
	c.show(diff, applied.Problems)
	if len(applied.Problems) == 0 {
		c.w.cfg.Health.Clear(condApply)
		if taken > 0 && diff.Empty() {
			c.w.ready.Store(true) // all is here, whatever the master says of it
		}
		return taken == 0, nil
	}
	if c.passing(log, applied.Problems) {
		return false, nil
	}
	c.complain(ctx, log, applied.Problems)
	return false, nil
}

// complain logs what could not be applied and tells the master.
func (c *comparing) complain(ctx context.Context, log *slog.Logger, problems []filetree.Problem) {
	count := map[string]int{}
	for _, p := range problems {
		count[p.Class]++
	}
	first := problems[0]
	text := fmt.Sprintf("Found errors: %d overwriting, %d creating and %d removing", count["shared"], count["missing"], count["extra"])
	c.w.failed.Fail(log, slog.LevelError, fmt.Sprintf("{'%s': [\"Error processing %s file '%s': %s\"]} %s",
		first.Class, first.Class, logging.Quote(first.Path), logging.Quote(first.Err.Error()), text))
	c.w.cfg.Health.Raise(condApply, health.Warning, text, "see 'testudo files --state failed'")
	c.tell(ctx, log, problems)
}

// noneApplied takes down that none of a package's files could be applied.
func (c *comparing) noneApplied(ctx context.Context, log *slog.Logger, diff manifest.Difference, err error) {
	problems := make([]filetree.Problem, 0, diff.Len())
	for _, e := range slices.Concat(diff.Missing, diff.Shared, diff.Extra) {
		problems = append(problems, filetree.Problem{Path: e.Path, Err: err})
	}
	c.show(diff, problems)
	c.tell(ctx, log, problems)
}

// notStored takes down that a package could not be unpacked because of one file.
func (c *comparing) notStored(ctx context.Context, log *slog.Logger, m *memberError) {
	e := manifest.Entry{Path: m.path}
	problems := []filetree.Problem{{Path: m.path, Err: m.err}}
	c.show(manifest.Difference{Missing: []manifest.Entry{e}}, problems)
	c.tell(ctx, log, problems)
}

// tell reports problems to a master that asks for them.
func (c *comparing) tell(ctx context.Context, log *slog.Logger, problems []filetree.Problem) {
	if len(problems) == 0 || !c.s.PeerIsTestudo() {
		return
	}
	report := make([]failure, 0, min(len(problems), mostFailures))
	for _, p := range problems[:cap(report)] {
		report = append(report, failure{p.Path, p.Err.Error()})
	}
	payload, err := json.Marshal(report)
	if err == nil {
		_, err = c.s.Request(ctx, cmdFailed, payload)
	}
	if err != nil && !errors.Is(err, session.ErrClosed) {
		log.Debug("report of failures not taken", "error", err)
	}
}

// show takes down the worker's own picture after a package.
func (c *comparing) show(diff manifest.Difference, problems []filetree.Problem) {
	c.mu.Lock()
	own := c.own
	c.mu.Unlock()
	if own == nil {
		own = manifest.Empty()
	}
	node := c.w.cfg.Node
	c.w.shown.Store(nil)
	c.w.cfg.States.Set(node, func(yield func(filestate.Row) bool) {
		slices.Values(rowsAfter(node, own, diff, problems))(yield)
	})
}
