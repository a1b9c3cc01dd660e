package agentdb

import (
	"context"
	"log/slog"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// reported are the columns of an agent that a worker reports, in the order of
// docs/agentdb.md §7.3. The names of labels follow by themselves.
const reported = "id, name, ip, os_name, os_version, os_major, os_minor, os_codename, os_build, os_platform, os_uname," +
	" os_arch, version, config_sum, merged_sum, manager_host, node_name, last_keepalive, connection_status," +
	" disconnection_time, group_config_status, status_code"

const (
	selectReported       = "SELECT " + reported + " FROM agent WHERE id = ?1"
	selectReportedLabels = "SELECT id, key, value FROM labels WHERE id = ?1 ORDER BY key"
	scanReported         = "SELECT " + reported + " FROM agent WHERE id > ?1 ORDER BY id"
	scanLabels           = "SELECT id, key, value FROM labels WHERE id > ?1 ORDER BY id, key"
)

// report writes agents as the objects of a report.
type report struct {
	c      *sqlitedb.Conn
	agent  members
	labels members

	printed bool    // fingerprints are wanted
	row     infoRow // room
}

func newReport(c *sqlitedb.Conn) (*report, error) {
	st, err := c.Prepare(selectReported)
	if err != nil {
		return nil, asQuery(err)
	}
	return &report{c: c, agent: membersOf(st), labels: namesOf("id", "key", "value")}, nil
}

// appendAgent appends one agent; nothing when there is none with the id.
func (r *report) appendAgent(dst []byte, id agent.ID) ([]byte, error) {
	before := len(dst)
	err := sqlitedb.Select(r.c, selectReported, func(st *sqlitedb.Stmt) error {
		dst = r.agent.appendOpenRow(dst, st)
		return nil
	}, int64(id))
	if err != nil || len(dst) == before {
		return dst[:before], err
	}
	labels := 0
	err = sqlitedb.Select(r.c, selectReportedLabels, func(st *sqlitedb.Stmt) error {
		dst = r.appendLabel(dst, st, labels)
		labels++
		return nil
	}, int64(id))
	return closeAgent(dst, labels), err
}

func (r *report) appendLabel(dst []byte, st *sqlitedb.Stmt, before int) []byte {
	if before == 0 {
		dst = append(dst, `,"labels":[`...)
	} else {
		dst = append(dst, ',')
	}
	return r.labels.appendRow(dst, st)
}

func closeAgent(dst []byte, labels int) []byte {
	if labels > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// SyncInfo is the page of the agents that are to be reported (docs/agentdb.md
// §7.3), and marks them as reported at once: the way of a caller that cannot
// confirm. There is one position for all callers. It is set by from, stays after
// a page with More and goes back to 0 after any other.
//
// An agent whose record alone is larger than a page cannot be delivered this way;
// it is passed over and stays to be reported.
func (s *Store) SyncInfo(ctx context.Context, from *agent.ID) (Page, error) {
	var page Page
	err := s.writeFresh(ctx, false, func(t *tx) (err error) {
		if from != nil {
			s.cursor = *from
		}
		page, err = t.syncInfo()
		if err != nil || !page.More {
			s.cursor = 0
		}
		return err
	})
	return page, err
}

func (t *tx) syncInfo() (Page, error) {
	r, err := newReport(t.c)
	if err != nil {
		return Page{}, err
	}
	p := newPager()
	for _, due := range t.s.roster.due(t.s.cursor, 0) {
		if err := t.follow([]agent.ID{due.id}); err != nil {
			return Page{}, err
		}
		text, err := r.appendAgent(nil, due.id)
		if err != nil {
			return Page{}, asQuery(err)
		}
		if len(text)+3 >= pageLimit {
			t.s.log.Warn("An agent's record is too long to be reported.", slog.Int("agent", int(due.id)), slog.Int("bytes", len(text)))
			continue
		}
		if !p.add(func(dst []byte) []byte { return append(dst, text...) }) {
			break
		}
		t.s.cursor = due.id
		if err := t.touch(due.id, noKeepalive, false); err != nil {
			return Page{}, err
		}
	}
	return p.page(), nil
}

// dueAgent is an agent that is to be reported, and which state of it.
type dueAgent struct {
	id    agent.ID
	seq   uint64
	print uint64 // of the text that is sent, if wanted
}

// due returns the agents above id that are to be reported, ascending; at most max
// of them unless that is 0.
func (r *roster) due(after agent.ID, max int) []dueAgent {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for _, b := range r.blocks {
		n += b.pending
	}
	if max > 0 {
		n = min(n, max)
	}
	list := make([]dueAgent, 0, n)
	for p := range r.pendingLocked(after) {
		if max > 0 && len(list) == max {
			break
		}
		list = append(list, dueAgent{id: p.id(), seq: p.seq})
	}
	return list
}

// PendingInfo returns what is to be reported to the master: at most max agents
// (0 is no limit) by ascending id, in chunks each of which is a JSON array as
// SyncInfo makes it, of some 64 KiB. more says that further agents wait.
//
// Nothing is marked until confirm is called, which is for when the master has
// confirmed: it marks those agents as reported that have not changed since. The
// file learns of it a little later, see mark: what was not confirmed, and perhaps a
// little more, is reported again after a crash.
// Calling it never, or twice, does no harm.
func (s *Store) PendingInfo(ctx context.Context, max int) (chunks [][]byte, more bool, confirm func(context.Context) error, err error) {
	due := s.roster.due(0, max)
	if more = max > 0 && len(due) == max; more {
		more = len(s.roster.due(due[max-1].id, 1)) > 0
	}
	if err := s.catchUpDue(ctx, due); err != nil {
		return nil, false, nil, err
	}
	if len(due) > 0 {
		// The rows are read after the list: they are as new as it says, or newer.
		err = s.read(ctx, func(c *sqlitedb.Conn) (err error) {
			chunks, err = pendingChunks(c, due, false)
			return err
		})
	}
	confirm = func(ctx context.Context) error { return s.confirmInfo(ctx, due) }
	return chunks, more, confirm, err
}

// catchUpDue has the rows follow of agents that are to be reported.
func (s *Store) catchUpDue(ctx context.Context, due []dueAgent) error {
	var ids []agent.ID
	for _, d := range due {
		if s.journal.isBehind(d.id) {
			ids = append(ids, d.id)
		}
	}
	return s.writeLagging(ctx, ids)
}

// confirmInfo marks agents as reported.
func (s *Store) confirmInfo(ctx context.Context, due []dueAgent) error {
	return s.confirmEach(ctx, due, func(t *tx, d dueAgent) { t.mark(d.id, false) })
}

// confirmEach calls fn for those agents that have not changed since the list was
// made, some at a time.
func (s *Store) confirmEach(ctx context.Context, due []dueAgent, fn func(*tx, dueAgent)) error {
	for some := range slices.Chunk(due, piece) {
		err := s.writeLazily(ctx, func(t *tx) error {
			for _, d := range some {
				if _, changed := t.changed[d.id]; changed {
					continue // in this very transaction
				}
				if r, ok := t.s.roster.get(d.id); ok && r.syncreq && r.seq == d.seq {
					fn(t, d)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
