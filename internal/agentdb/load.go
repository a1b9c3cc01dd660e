package agentdb

import (
	"context"
	"log/slog"

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
	for _, b := range fresh.blocks {
		for i := range b.rows {
			b.rows[i].seq = s.roster.seq + 1 // nothing handed out before is still the same
		}
	}
	s.roster.mu.Lock()
	defer s.roster.mu.Unlock()
	if keep {
		fresh.keepPrintsLocked(s.roster)
	}
	s.roster.blocks, s.roster.names, s.roster.size = fresh.blocks, fresh.names, fresh.size
	s.roster.counts, s.roster.seq = fresh.counts, s.roster.seq+1
	s.roster.lagging.Store(0)
	return nil
}

// reloadAfterWrite is loadRoster for what was written behind the records' back.
func (s *Store) reloadAfterWrite(keep bool) {
	if err := s.loadRoster(context.Background(), keep); err != nil {
		s.log.Error("The agents could not be read again; lists and counts are old until the next start.", slog.Any("error", err))
	}
}

// keepPrintsLocked takes the fingerprints of the agents that are in old as well.
func (r *roster) keepPrintsLocked(old *roster) {
	for _, b := range r.blocks {
		for i := range b.rows {
			p := &b.rows[i]
			if k, j, ok := old.findLocked(p.id); ok {
				p.print, p.told = old.blocks[k].rows[j].print, old.blocks[k].rows[j].told
			}
		}
	}
}

func readRecord(st *sqlitedb.Stmt, r *roster) record {
	c := record{
		id:        agent.ID(st.ColumnInt64(0)),
		name:      st.ColumnText(1),
		hasIP:     !st.ColumnIsNull(2),
		ip:        st.ColumnText(2),
		node:      shared(st, 3, r),
		version:   shared(st, 4, r),
		group:     shared(st, 5, r),
		keepalive: noKeepalive,
		added:     st.ColumnInt64(7),
		gone:      noKeepalive,
		status:    agent.Status(st.ColumnText(9)),
		syncreq:   st.ColumnText(10) == syncReq,
		regroup:   st.ColumnText(11) == syncReq,
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
func shared(st *sqlitedb.Stmt, col int, r *roster) string {
	var room [256]byte
	if n := st.ColumnLen(col); r == nil || n == 0 || n > len(room) {
		return st.ColumnText(col)
	}
	text := sqlitedb.AppendColumn(room[:0], st, col)
	if number, ok := r.names.numbers[string(text)]; ok {
		return r.names.text(number)
	}
	return string(text)
}

// readAgain replaces an agent's record by what the table holds, for values whose
// form the table may have changed.
func (t *tx) readAgain(id agent.ID) error {
	err := sqlitedb.Select(t.c, selectRecord+" WHERE id = ?1", func(st *sqlitedb.Stmt) error {
		if r := t.edit(id); r != nil {
			*r = readRecord(st, nil)
		}
		return nil
	}, int64(id))
	return asQuery(err)
}
