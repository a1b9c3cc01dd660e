package agentdb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/logging"
	"testudo/internal/sqlitedb"
)

// Whether an agent is to be reported changes twice with each report of it: when
// it has changed and when the master has confirmed. The second, and the marks of
// a new session, are at once so in the roster, which is what counts, and in the
// file a little later: with the next write of the row, or after marksLater. Until
// then the record lags.
//
// A crash in between does no harm. What the file still calls unreported is
// reported again, and what it does not yet is marked anew by the next session.
// Whoever reads the column through the store finds it caught up.

const (
	// marksLater is how long the file may lag: longer than most agents are silent.
	marksLater = 30 * time.Second
	// marksPause is how long others get their turn between two parts of it.
	marksPause = 10 * time.Millisecond
)

// mark records in the roster whether an agent is to be reported.
func (t *tx) mark(id agent.ID, syncreq bool) {
	if r := t.edit(id); r != nil && r.syncreq != syncreq {
		r.syncreq, r.lags = syncreq, !r.lags
	}
}

// lateMarks is the writer's alarm for rows that lag.
type lateMarks struct {
	timer *time.Timer
	due   <-chan time.Time // nil while nothing lags
	next  time.Duration

	failing logging.Recurring
}

// arm sets the alarm unless it is set. more tells that the parts are not done yet.
func (l *lateMarks) arm(lags, more bool) {
	switch {
	case !lags:
		l.stop()
		l.due, l.next = nil, 0
	case l.due == nil:
		if l.next == 0 || !more {
			l.next = marksLater
		}
		l.timer = time.NewTimer(l.next)
		l.due, l.next = l.timer.C, 0
	}
}

func (l *lateMarks) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// someMarks is an operation that writes the next rows that lag.
func (s *Store) someMarks(l *lateMarks) *op {
	l.due, l.next = nil, marksPause
	return &op{lazy: true, done: make(chan error, 1), fn: func(t *tx) error {
		if err := t.writeMarks(s.roster.lags(piece)); err != nil {
			return err
		}
		return t.followSome()
	}}
}

// afterMarks leaves the file alone for a while when it has not taken the part.
func (s *Store) afterMarks(l *lateMarks, part *op) {
	err := <-part.done
	if err == nil {
		l.failing.Recovered(s.log, "What the rows of agents lacked is written again.")
		return
	}
	l.next = marksLater
	l.failing.Fail(s.log, slog.LevelError, "What the rows of agents lack could not be written; it is kept and tried again.", slog.Any("error", err))
}

// writeMarks writes what lags of some agents.
func (t *tx) writeMarks(ids []agent.ID) error {
	for _, id := range ids {
		if r, ok := t.get(id); ok && r.lags {
			if err := t.touch(id, noKeepalive, r.syncreq); err != nil {
				return err
			}
		}
	}
	return nil
}

// lags returns the agents whose row lags, at most so many.
func (r *roster) lags(most int) (ids []agent.ID) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, b := range r.blocks {
		if b.lagging == 0 {
			continue
		}
		for i := range b.rows {
			if !b.rows[i].lags {
				continue
			}
			if len(ids) == most {
				return ids
			}
			ids = append(ids, b.ids[i])
		}
	}
	return ids
}

// lags tells whether the file has yet to be told something.
func (s *Store) lags() bool {
	return s.roster.lagging.Load() > 0 || s.journal.inUse.Load()
}

// catchUp writes what lags of agents, given in ascending order.
func (s *Store) catchUp(ctx context.Context, ids ...agent.ID) error {
	var lag []agent.ID
	for _, id := range ids {
		if s.journal.isBehind(id) {
			lag = append(lag, id)
		} else if s.roster.lagging.Load() > 0 {
			if r, ok := s.roster.get(id); ok && r.lags {
				lag = append(lag, id)
			}
		}
	}
	return s.writeLagging(ctx, lag)
}

func (s *Store) writeLagging(ctx context.Context, ids []agent.ID) error {
	for some := range slices.Chunk(ids, piece) {
		err := s.writeLazily(ctx, func(t *tx) error {
			if err := t.writeMarks(some); err != nil {
				return err
			}
			return t.follow(some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUpKeepalives has all rows follow that are behind the journal.
func (s *Store) catchUpKeepalives(ctx context.Context) error {
	return s.writeLagging(ctx, s.journal.allBehind())
}

// catchUpAll writes all that lags.
func (s *Store) catchUpAll(ctx context.Context) error {
	if err := s.catchUpKeepalives(ctx); err != nil {
		return err
	}
	for s.roster.lagging.Load() > 0 {
		if err := s.writeLagging(ctx, s.roster.lags(piece)); err != nil {
			return err
		}
	}
	return nil
}

// shown is what a statement can read of the columns in which rows lag.
type shown struct {
	keepalives, marks bool
	caughtUp          bool // it may
}

// newShown is for one statement. SQLite tells of no column that a join compares
// because both sides have it.
func newShown(statement string, caughtUp bool) shown {
	lower := strings.ToLower(statement)
	joins := strings.Contains(lower, "natural") || strings.Contains(lower, "using")
	return shown{keepalives: joins, marks: joins, caughtUp: caughtUp}
}

func (n *shown) mayRead(table, column string) bool {
	if table != "agent" {
		return true
	}
	switch column {
	case "last_keepalive":
		n.keepalives = true
	case "sync_status":
		n.marks = true
	default:
		return true
	}
	return n.caughtUp
}

// writeMarks writes all that lags by the given connection; the roster is to be
// read anew behind it, and the journal is then empty.
func (s *Store) writeMarks(c *sqlitedb.Conn) error {
	for _, id := range s.journal.allBehind() {
		if r, ok := s.roster.get(id); ok {
			if err := followRow(c, id, said{r.keepalive, r.syncreq}); err != nil {
				return err
			}
		}
	}
	for _, id := range s.roster.lags(int(s.roster.lagging.Load())) {
		r, _ := s.roster.get(id)
		if err := sqlitedb.Exec(c, "UPDATE agent SET sync_status = ?1 WHERE id = ?2", syncText(r.syncreq), int64(id)); err != nil {
			return err
		}
	}
	return emptyJournal(c)
}

// lastMarks writes all that lags at the writer's end.
func (s *Store) lastMarks() error {
	if !s.lags() {
		return nil
	}
	if err := s.db.Load().Write(context.Background(), s.writeMarks); err != nil {
		return fmt.Errorf("agent database: write what the rows of agents lack: %w", err)
	}
	return nil
}
