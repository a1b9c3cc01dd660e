package agentdb

import (
	"log/slog"
	"time"

	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/sqlitedb"
)

const (
	condUnwritable = "agent-database-unwritable"

	// calmAfter is how long no write may have found the disk full for the trouble to
	// be over: on a full disk a small write may fit now and then.
	calmAfter = 5 * time.Second
)

// trouble is whether the file can be written. It belongs to the writer.
type trouble struct {
	failing logging.Recurring
	last    time.Time     // when a write found no room; zero while all is well
	calm    time.Duration // calmAfter, but in tests
	timer   *time.Timer
	due     <-chan time.Time // when it is tried again; nil while all is well
}

// noticeTrouble says, once, that the file cannot be written. Who asked for a
// write is answered each time.
func (s *Store) noticeTrouble(ran []*op, err error) {
	for _, o := range ran {
		if err == nil && sqlitedb.IsFull(o.err) {
			err = o.err
		}
	}
	if !sqlitedb.IsFull(err) {
		return
	}
	s.trouble.last = time.Now()
	text := sqlitedb.Text(err)
	s.trouble.failing.Fail(s.log, slog.LevelError, "The agent database cannot be written.",
		slog.String("path", s.o.Path), slog.String("error", text))
	s.o.Health.Raise(condUnwritable, health.Critical, "The agent database cannot be written: "+text+".",
		"Make room on the disk of queue/db; the node goes on by itself.")
	s.trouble.arm()
}

// arm sets when it is tried again, unless it is set.
func (b *trouble) arm() {
	if b.due == nil {
		b.timer = time.NewTimer(b.calm)
		b.due = b.timer.C
	}
}

func (b *trouble) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// probe is an operation that writes something, to know whether that is possible
// again: perhaps nobody else has anything to write.
func (s *Store) probe() *op {
	s.trouble.due = nil
	return &op{done: make(chan error, 1), fresh: true, fn: func(t *tx) error {
		return t.exec("UPDATE metadata SET value = value WHERE key = 'db_version'")
	}}
}

// afterProbe ends the trouble when a write has succeeded and none has failed for
// long enough.
func (s *Store) afterProbe(probe *op) {
	if err := <-probe.done; err != nil || time.Since(s.trouble.last) < s.trouble.calm {
		s.trouble.arm()
		return
	}
	s.trouble.last = time.Time{}
	s.trouble.failing.Recovered(s.log, "The agent database can be written again.")
	s.o.Health.Clear(condUnwritable)
}
