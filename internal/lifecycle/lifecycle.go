// Package lifecycle runs the tasks of a node as one group: started in order,
// stopped in reverse, and all stopped when one of them ends on its own.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

var (
	// ErrEnded is returned when a task ended without an error before it was
	// asked to.
	ErrEnded = errors.New("ended before it was asked to")
	// ErrUsed is returned when a group is run a second time.
	ErrUsed = errors.New("the group has been run already")
)

// slowStop is how long a task may take to stop before the log names it.
const slowStop = 5 * time.Second

// Option changes how a task is treated.
type Option int

// OptionalEnd lets a task end without an error while the others go on.
const OptionalEnd Option = 1

// Group is an ordered set of tasks. Add all of them, then Run once; it is not
// safe for concurrent use.
type Group struct {
	log   *slog.Logger
	tasks []*task
	used  bool
}

type task struct {
	name     string
	run      func(ctx context.Context) error
	optional bool

	stop context.CancelFunc
	done chan struct{} // closed when run has returned
	err  error         // its result, valid once done is closed
}

// New makes an empty group. log is told of tasks that end early or stop
// slowly; nil discards that.
func New(log *slog.Logger) *Group {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Group{log: log}
}

// Add puts a task at the end of the order. run must return soon after its
// context has ended. Tasks added once Run has begun are never run.
func (g *Group) Add(name string, run func(ctx context.Context) error, options ...Option) {
	g.tasks = append(g.tasks, &task{name: name, run: run, optional: slices.Contains(options, OptionalEnd)})
}

// Run starts all tasks in the order they were added, and returns when all have
// ended. They are stopped, each only when the one after it has ended, when ctx
// ends or when one of them returns early: with an error, or with nil unless it
// is an OptionalEnd task. The result joins the tasks' errors, each with the
// task's name; a context's end is no error once the task was asked to stop.
func (g *Group) Run(ctx context.Context) error {
	if g.used {
		return ErrUsed
	}
	g.used = true
	tasks := slices.Clone(g.tasks)
	early := make(chan *task, len(tasks))
	var started []*task
	for _, t := range tasks {
		if ctx.Err() != nil || len(early) > 0 {
			break
		}
		t.start(ctx, early)
		started = append(started, t)
	}
	cause, failure := g.wait(ctx, early, len(started))
	return errors.Join(failure, g.stopAll(started, cause))
}

// start runs the task with a context that has the values of ctx but ends only
// when the task is stopped.
func (t *task) start(ctx context.Context, early chan<- *task) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.stop, t.done = cancel, make(chan struct{})
	go func() {
		defer close(t.done)
		t.err = t.run(own)
		if own.Err() == nil {
			early <- t
		}
	}()
}

// wait returns when the tasks must stop, with the one that is the cause of it,
// if one is, and its error.
func (g *Group) wait(ctx context.Context, early <-chan *task, running int) (cause *task, failure error) {
	for running > 0 {
		select {
		case <-ctx.Done():
			return nil, nil
		case t := <-early:
			<-t.done
			running--
			if t.err == nil && t.optional {
				continue
			}
			err := t.err
			if err == nil {
				err = ErrEnded
			}
			g.log.Error("Task ended, stopping all others.", slog.String("name", t.name), slog.Any("err", err))
			return t, &TaskError{Name: t.name, Err: err}
		}
	}
	return nil, nil
}

// stopAll stops in reverse and joins the errors in that order, without that of
// the cause, which is known.
func (g *Group) stopAll(started []*task, cause *task) error {
	var errs []error
	for _, t := range slices.Backward(started) {
		t.stop()
		g.await(t)
		if t != cause && t.err != nil && !errors.Is(t.err, context.Canceled) {
			errs = append(errs, &TaskError{Name: t.name, Err: t.err})
		}
	}
	return errors.Join(errs...)
}

// await waits for the task, however long it takes, and says so when that is long.
func (g *Group) await(t *task) {
	start := time.Now()
	ticker := time.NewTicker(slowStop)
	defer ticker.Stop()
	for {
		select {
		case <-t.done:
			return
		case <-ticker.C:
			g.log.Warn("Task has not stopped yet.", slog.String("name", t.name),
				slog.Duration("waiting", time.Since(start).Round(time.Second)))
		}
	}
}

// TaskError is the error of one task of a group.
type TaskError struct {
	Name string // as given to Add
	Err  error
}

// Error implements error.
func (e *TaskError) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Err) }

// Unwrap gives the task's own error.
func (e *TaskError) Unwrap() error { return e.Err }
