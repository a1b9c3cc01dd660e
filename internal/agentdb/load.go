package agentdb

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

const selectRecord = "SELECT id, name, ip, node_name, version, `group`, last_keepalive, date_add, disconnection_time," +
	" connection_status, sync_status, group_sync_status, status_code FROM agent"

// loadRoster reads all agents. keep says that of those that are known what rarely
// changes is as it was.
func (s *Store) loadRoster(ctx context.Context, keep bool) error {
	fresh := newRoster()
	err := s.db.Load().Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, selectRecord+" ORDER BY id", func(st *sqlitedb.Stmt) error {
			r := readRecord(st, fresh)
			fresh.putLocked(&r)
			return nil
		})
	})
	if err != nil {
		return err
	}
	seq := s.roster.seq + 1 // nothing handed out before is still the same
	s.regroups++
	for p := range fresh.afterLocked(math.MinInt32) {
		p.seq, p.regroups = seq, s.regroups
	}
	if keep {
		fresh.keepPrints(s.roster)
	}
	s.roster.mu.Lock()
	defer s.roster.mu.Unlock()
	s.roster.blocks, s.roster.size, s.roster.seq = fresh.blocks, fresh.size, seq
	s.roster.nodes, s.roster.versions, s.roster.groups = fresh.nodes, fresh.versions, fresh.groups
	s.roster.lagging.Store(0)
	return nil
}

// reloadAfterWrite is loadRoster for what was written behind the records' back.
func (s *Store) reloadAfterWrite(keep bool) {
	err := errors.Join(s.loadRoster(context.Background(), keep), s.loadForeseen(context.Background()))
	if err != nil {
		s.log.Error("The agents could not be read again; lists and counts are old until the next start.", slog.Any("error", err))
	}
}

// keepPrints takes the fingerprints of the agents that are in old as well.
func (r *roster) keepPrints(old *roster) {
	for p := range r.afterLocked(math.MinInt32) {
		if b, i, ok := old.findLocked(p.id()); ok {
			was := old.blocks[b].at(i)
			p.print, p.told = was.print, was.told
		}
	}
}

// readRecord reads one row. known has texts that it may use; nil for none.
func readRecord(st *sqlitedb.Stmt, known *roster) record {
	if known == nil {
		known = &roster{}
	}
	c := record{
		id:        agent.ID(st.ColumnInt64(0)),
		name:      st.ColumnText(1),
		hasIP:     !st.ColumnIsNull(2),
		ip:        st.ColumnText(2),
		node:      shared(st, 3, &known.nodes),
		version:   shared(st, 4, &known.versions),
		group:     shared(st, 5, &known.groups),
		keepalive: noKeepalive,
		added:     st.ColumnInt64(7),
		gone:      noKeepalive,
		status:    statusIn(st, 9),
		syncreq:   columnIs(st, 10, syncReq),
		regroup:   columnIs(st, 11, syncReq),
		code:      noCode,
	}
	if !st.ColumnIsNull(8) {
		c.gone = st.ColumnInt64(8)
	}
	if !st.ColumnIsNull(12) {
		c.code = int32(st.ColumnInt64(12))
	}
	if !st.ColumnIsNull(6) {
		c.keepalive = st.ColumnInt64(6)
	}
	return c
}

// shared reads a text that other agents probably have too, without a copy then.
func shared(st *sqlitedb.Stmt, col int, d *dictionary) string {
	var room [256]byte
	if n := st.ColumnLen(col); n == 0 || n > len(room) {
		return st.ColumnText(col)
	}
	text := sqlitedb.AppendColumn(room[:0], st, col)
	if number, ok := d.numbers[string(text)]; ok {
		return d.text(number)
	}
	return string(text)
}

// columnIs compares a column with a text without a copy.
func columnIs(st *sqlitedb.Stmt, col int, text string) bool {
	var room [32]byte
	return st.ColumnLen(col) == len(text) && string(sqlitedb.AppendColumn(room[:0], st, col)) == text
}

func statusIn(st *sqlitedb.Stmt, col int) agent.Status {
	for _, status := range agent.Statuses() {
		if columnIs(st, col, string(status)) {
			return status
		}
	}
	return agent.Status(st.ColumnText(col)) // the table lets no other in
}

// readAgain replaces an agent's record by what the table holds, for values whose
// form the table may have changed.
func (t *tx) readAgain(id agent.ID) error {
	err := sqlitedb.Select(t.c, selectRecord+" WHERE id = ?1", func(st *sqlitedb.Stmt) error {
		if r := t.edit(id); r != nil {
			regroups := r.regroups
			*r = readRecord(st, nil)
			r.regroups = regroups
		}
		return nil
	}, int64(id))
	return asQuery(err)
}
