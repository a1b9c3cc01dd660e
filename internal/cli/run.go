package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"testudo/internal/config"
	"testudo/internal/home"
	"testudo/internal/lifecycle"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/node"
)

// Where the log is, relative to the home.
const (
	logFile    = "logs/cluster.log"
	logArchive = "logs/cluster"
)

// runner runs one node in this process.
type runner struct {
	*env
	cfg      *config.Config
	problems []config.Problem
	debug    int  // number of -d
	stderr   bool // copy the log to standard error
	stayRoot bool
	original bool // log as the original does, without further attributes

	owner   identity
	log     *logging.Log
	metrics *metrics.Set
}

// refuse logs what is wrong with the configuration and ends with 1.
func (r *runner) refuse() error {
	if err := r.tellProblems(); err != nil {
		return err
	}
	return codeError(exitFailed)
}

// tellProblems writes what is wrong or odd in the configuration into the log
// and for who started us.
func (r *runner) tellProblems() error {
	if !r.stderr {
		for _, p := range r.problems {
			fmt.Fprintln(r.err, p)
		}
	}
	if err := r.becomeOwner(); err != nil {
		return err
	}
	if err := r.openLog(); err != nil {
		return err
	}
	r.logProblems()
	return r.log.Close()
}

// run runs the node until a signal ends it or it fails.
func (r *runner) run() (err error) {
	node.LimitGarbage()
	as := ""
	if r.original {
		as = clusterdName
	}
	lock, err := home.LockAs(r.cfg.Home, as)
	if inUse, ok := errors.AsType[*home.InUseError](err); ok {
		return r.inUse(inUse)
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	stale, err := home.ClearPIDs(r.cfg.Home)
	if inUse, ok := errors.AsType[*home.InUseError](err); ok {
		return fmt.Errorf("a cluster daemon of the original runs in %s (process %d); stop it first", inUse.Home, inUse.PID)
	} else if err != nil {
		return err
	}
	if err := home.CleanQueue(r.cfg.Home); err != nil {
		return err
	}
	if err := r.becomeOwner(); err != nil {
		return err
	}
	if err := r.openLog(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.log.Close()) }()
	r.logProblems()
	for _, pid := range stale {
		r.log.Logger().Info("Removed the pid file of a node that did not end properly.", slog.Int("pid", pid))
	}
	if err := r.live(); err != nil {
		return r.failed(err)
	}
	return nil
}

// failed tells why the node ended. The exit code of the original is 0 then.
func (r *runner) failed(err error) error {
	r.log.Logger().Error(err.Error())
	if !r.stderr {
		// After a daemon's start nobody listens any more.
		fmt.Fprintf(r.err, "%s: %s\n", filepath.Base(r.args[0]), oneLine(err.Error()))
	}
	if r.original {
		return codeError(exitDone)
	}
	return codeError(exitFailed)
}

func (r *runner) inUse(e *home.InUseError) error {
	if e.PID == 0 {
		return fmt.Errorf("another node runs in %s; one home is for one node", e.Home)
	}
	return fmt.Errorf("another node runs in %s (process %d); one home is for one node", e.Home, e.PID)
}

// live is the life of the node, from its pid file to its removal.
func (r *runner) live() (err error) {
	hangup := make(chan os.Signal, 1) // from the start: it would end us
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	pid := os.Getpid()
	// Last of all: who waits for it to go may then start the next node.
	defer func() { err = errors.Join(err, home.RemovePID(r.cfg.Home, pid)) }()
	built, err := node.New(r.ctx, node.Options{Config: r.cfg, Log: r.log.Logger(), Metrics: r.metrics, UID: r.owner.uid, GID: r.owner.gid})
	if err != nil {
		return err
	}
	defer built.Close()
	if err := home.WritePID(r.cfg.Home, pid); err != nil {
		return err
	}
	if err := r.detach(); err != nil {
		return err
	}
	tasks := lifecycle.New(r.log.Logger())
	tasks.Add("log", r.log.Run)
	tasks.Add("reopen log", r.reopen(hangup))
	tasks.Add("node", built.Run)
	tasks.Add("signal", r.tellSignal)
	return tasks.Run(r.ctx)
}

// detach is the last step of a daemon's start.
func (r *runner) detach() error {
	if r.daemon == nil {
		return nil
	}
	if err := os.Chdir("/"); err != nil { // keep no directory busy
		return fmt.Errorf("become a daemon: %w", err)
	}
	r.daemon.up()
	return nil
}

// reopen opens the log again at each SIGHUP.
func (r *runner) reopen(hangup <-chan os.Signal) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for {
			select {
			case <-hangup:
			case <-ctx.Done():
				return nil
			}
			if err := r.log.Reopen(); err != nil {
				r.log.Logger().Error("The log cannot be opened again; the old file stays in use.", slog.Any("err", err))
				continue
			}
			r.log.Logger().Info("The log was opened again.")
		}
	}
}

// tellSignal logs the signal that ends us.
func (r *runner) tellSignal(ctx context.Context) error {
	select {
	case <-r.ctx.Done():
	case <-ctx.Done():
	}
	if s := r.signal(); s != 0 {
		r.log.Logger().Info(signalText(s))
	}
	<-ctx.Done()
	return nil
}

func (r *runner) openLog() (err error) {
	level := new(slog.LevelVar)
	level.Set(logging.Level(r.cfg.DebugLevel(r.debug)))
	r.metrics = metrics.New(r.cfg.Cluster.NodeName, string(r.cfg.Cluster.Role))
	r.log, err = logging.Open(logging.Options{
		Path: filepath.Join(r.cfg.Home, logFile), Archive: filepath.Join(r.cfg.Home, logArchive),
		Stderr: r.stderr, JSON: r.cfg.Testudo.Log.Format == "json", Level: level, UID: r.owner.uid, GID: r.owner.gid,
		Count: r.metrics.LogLine,
	})
	return err
}

func (r *runner) logProblems() {
	levels := map[config.Severity]slog.Level{
		config.SeverityError: slog.LevelError, config.SeverityWarning: slog.LevelWarn, config.SeverityInfo: slog.LevelInfo,
	}
	for _, p := range r.problems {
		var where []slog.Attr
		if !r.original {
			if p.Path != "" {
				where = append(where, slog.String("setting", p.Path))
			}
			where = append(where, slog.String("file", p.File), slog.Int("line", p.Line))
		}
		r.log.Logger().LogAttrs(r.ctx, levels[p.Severity], p.Text, where...)
	}
}
