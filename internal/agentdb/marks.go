package agentdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"testudo/internal/agent"
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
}

// arm sets the alarm unless it is set.
func (l *lateMarks) arm(lags bool) {
	switch {
	case !lags:
		l.stop()
		l.due, l.next = nil, 0
	case l.due == nil:
		if l.next == 0 {
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
	return &op{lazy: true, done: make(chan error, 1), fn: func(t *tx) error { return t.writeMarks(s.roster.lags(piece)) }}
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

// catchUp writes what lags of one agent.
func (s *Store) catchUp(ctx context.Context, id agent.ID) error {
	if s.roster.lagging.Load() == 0 {
		return nil
	}
	if r, ok := s.roster.get(id); !ok || !r.lags {
		return nil
	}
	return s.writeLazily(ctx, func(t *tx) error { return t.writeMarks([]agent.ID{id}) })
}

// catchUpAll writes all that lags.
func (s *Store) catchUpAll(ctx context.Context) error {
	for s.roster.lagging.Load() > 0 {
		ids := s.roster.lags(piece)
		if err := s.writeLazily(ctx, func(t *tx) error { return t.writeMarks(ids) }); err != nil {
			return err
		}
	}
	return nil
}

// mayShowMarks reports whether a statement can read the column.
func mayShowMarks(statement string) bool {
	return strings.Contains(statement, "*") || strings.Contains(strings.ToLower(statement), "sync_status")
}

// writeMarks writes all that lags by the given connection; the roster is to be
// read anew behind it.
func (s *Store) writeMarks(c *sqlitedb.Conn) error {
	for _, id := range s.roster.lags(int(s.roster.lagging.Load())) {
		r, _ := s.roster.get(id)
		value := synced
		if r.syncreq {
			value = syncReq
		}
		if err := sqlitedb.Exec(c, "UPDATE agent SET sync_status = ?1 WHERE id = ?2", value, int64(id)); err != nil {
			return err
		}
	}
	return nil
}

// lastMarks writes all that lags at the writer's end.
func (s *Store) lastMarks() error {
	if s.roster.lagging.Load() == 0 {
		return nil
	}
	if err := s.db.Load().Write(context.Background(), s.writeMarks); err != nil {
		return fmt.Errorf("agent database: write which agents are reported: %w", err)
	}
	return nil
}
