// Package executor has functions of the distributed API that this node does not
// have run by another program: one that knows the framework of the installation
// in which the node stands (docs/executor.md).
//
// A Pool keeps a few processes of that program. Each answers one request after
// the other over its standard input and output, and is killed when it does not
// in time, or answers more than it may.
package executor

import (
	"cmp"
	"log/slog"
	"time"

	"testudo/internal/logging"
)

// Config says which program, and what it may use. Zero values are replaced by
// those named.
type Config struct {
	Program string // path; it gets no arguments
	Home    string // the node's home: its working directory, and TESTUDO_HOME

	Processes   int           // at once; 2
	IdleTime    time.Duration // a process unused for so long is ended; 5 min
	AnswerBytes int64         // of one answer; 64 MiB
	MemoryBytes int64         // of data of one process, where the system can bound it; 1 GiB

	Pause    time.Duration // after a process that failed; doubles with each that follows; 1 s
	PauseMax time.Duration // 1 min
	Grace    time.Duration // for a process to end when its input is closed; 2 s

	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Processes = cmp.Or(c.Processes, 2)
	c.IdleTime = cmp.Or(c.IdleTime, 5*time.Minute)
	c.AnswerBytes = cmp.Or(c.AnswerBytes, 64<<20)
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 1<<30)
	c.Pause = cmp.Or(c.Pause, time.Second)
	c.PauseMax = cmp.Or(c.PauseMax, time.Minute)
	c.Grace = cmp.Or(c.Grace, 2*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(logging.Task("Executor"))
	return c
}
