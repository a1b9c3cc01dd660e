// Package logging writes the log of a node in the form that people search
// (docs/logs.md):
//
//	2026/11/22 11:29:01 INFO: [Worker w1] [Integrity check] Finished in 0.008s. key="a value"
//
// It is a slog handler: the two bracketed words are attributes made with Tag
// and Task, the other attributes follow the message. Levels change while the
// node runs, one record is one write, the file is put away at local midnight,
// and nothing that a peer sent can begin a new line or hide one.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// LevelDebug2 is the level below debug, for what is only of use to those who
// change the program.
const LevelDebug2 = slog.Level(-8)

// Level gives the level for a number of debug flags: 0 info, 1 debug, 2 and
// more debug2.
func Level(debug int) slog.Level {
	switch {
	case debug <= 0:
		return slog.LevelInfo
	case debug == 1:
		return slog.LevelDebug
	}
	return LevelDebug2
}

// Options says where and how to log.
type Options struct {
	Path   string         // the log file; empty for none
	Stderr bool           // write to standard error, too, and not only what the file does not take
	JSON   bool           // one JSON object a line instead of the text line
	Level  *slog.LevelVar // lowest level written, changeable at any time; nil for info

	// Archive is the directory below which the file is put away at midnight, as
	// YYYY/Mon/NAME-DD.gz; empty for never.
	Archive string

	// UID and GID own the files and directories made; -1 leaves them.
	UID, GID int

	// Count, when set, is told the level of each record written. It must be
	// quick and must not log.
	Count func(level string)
}

// Log is an open log. It is safe for concurrent use.
type Log struct {
	o      Options
	logger *slog.Logger
	wake   chan struct{} // tells Run that a file waits to be compressed

	mu       sync.Mutex
	file     *os.File  // nil when there is no path, or when closed
	boundary time.Time // the midnight at which the open file ends
	torn     bool      // the last write stopped within a line
}

// Open opens the log file, making it (0660) when it is not there.
func Open(o Options) (*Log, error) {
	if o.Level == nil {
		o.Level = new(slog.LevelVar)
	}
	l := &Log{o: o, wake: make(chan struct{}, 1)}
	if o.Path != "" {
		file, boundary, err := openFile(o)
		if err != nil {
			return nil, err
		}
		l.file, l.boundary = file, boundary
	}
	l.logger = slog.New(&handler{out: l, level: o.Level, json: o.JSON, count: o.Count})
	return l, nil
}

// NewHandler is the same format for any writer: one Write a record, one record
// at a time.
func NewHandler(w io.Writer, level slog.Leveler, json bool) slog.Handler { //nolint:misspell // the name is slog's
	return &handler{out: &writer{w: w}, level: level, json: json}
}

// Logger is the logger that writes to this log.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Reopen closes the file and opens its path again, for when something else has
// moved the file away. When the path cannot be opened the old file stays.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.reopenLocked()
}

// Close closes the file. What is logged after it goes to standard error, when
// that was asked for, and else nowhere.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// writeLine writes one whole line, which ends with a newline.
func (l *Log) writeLine(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Stderr {
		// Standard error may have been closed under us; there is nobody to tell.
		_, _ = os.Stderr.Write(line)
	}
	if l.file == nil {
		return nil
	}
	if now := time.Now(); l.o.Archive != "" && !now.Before(l.boundary) {
		l.rotateLocked(now)
	}
	err := l.appendLocked(line)
	if err != nil && !l.o.Stderr {
		// A disk that is full is just when somebody must hear of it.
		_, _ = os.Stderr.Write(line)
	}
	return err
}

func (l *Log) appendLocked(line []byte) error {
	if l.torn {
		if _, err := l.file.Write([]byte{'\n'}); err != nil {
			return err
		}
		l.torn = false
	}
	n, err := l.file.Write(line)
	l.torn = err != nil && n > 0
	return err
}

func (l *Log) reopenLocked() error {
	file, boundary, err := openFile(l.o)
	if err != nil {
		return err
	}
	old := l.file
	l.file, l.boundary, l.torn = file, boundary, false
	if err := old.Close(); err != nil {
		return fmt.Errorf("close log %s: %w", l.o.Path, err)
	}
	return nil
}

// openFile opens the log for appending. boundary is the midnight after the
// last write to it.
func openFile(o Options) (file *os.File, boundary time.Time, err error) {
	before, statErr := os.Lstat(o.Path)
	file, err = os.OpenFile(o.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o660)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("open log: %w", err)
	}
	last := time.Now()
	if statErr == nil && before.Mode().IsRegular() && before.Size() > 0 {
		last = before.ModTime()
	}
	// A link or a device at this place is somebody's wish: its mode and owner
	// are not ours to change.
	if statErr != nil || before.Mode().IsRegular() {
		own(file, 0o660, o)
	}
	return file, midnightAfter(last), nil
}

// own sets mode and owner as far as we may: a log that belongs to another user
// of our group is still a log that we can write.
func own(file *os.File, mode os.FileMode, o Options) {
	_ = file.Chmod(mode)
	if o.UID >= 0 || o.GID >= 0 {
		_ = file.Chown(o.UID, o.GID)
	}
}

// midnightAfter is the start of the local day after t's.
func midnightAfter(t time.Time) time.Time {
	y, m, d := t.Local().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.Local)
}

// writer is the out of a handler without a file.
type writer struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *writer) writeLine(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(line)
	return err
}
