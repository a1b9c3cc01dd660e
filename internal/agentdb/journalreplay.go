package agentdb

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// replayJournal makes the journal's table when there is none, and lets all rows
// follow that a process which has died, or a backup, has left behind.
func (s *Store) replayJournal(ctx context.Context) error {
	err := s.db.Load().Write(ctx, func(c *sqlitedb.Conn) error {
		if err := sqlitedb.Exec(c, journalTable); err != nil {
			return err
		}
		last, odd, err := readJournal(c)
		if err != nil {
			return err
		}
		if odd > 0 {
			s.log.Warn("The journal of keep-alives names what are no agents; these are passed over.", slog.Int("names", odd))
		}
		for id, what := range last {
			if err := sqlitedb.Exec(c, replayQuery, timeOrNil(what.keepalive), syncText(what.syncreq), int64(id)); err != nil {
				return err
			}
		}
		return emptyJournal(c)
	})
	if err != nil {
		return fmt.Errorf("read the journal of keep-alives: %w", err)
	}
	s.journal.clear()
	return nil
}

// replayQuery passes over agents that another program has heard of since, or has
// put in the place of others: the journal never says less than their rows did.
const replayQuery = followQuery + " AND (last_keepalive <= ?1 OR last_keepalive IS ?1)"

// readJournal returns what the last entry about each agent says. odd is how many of
// the names are none of agents: somebody else has written them.
func readJournal(c *sqlitedb.Conn) (last map[agent.ID]said, odd int, err error) {
	last = make(map[agent.ID]said)
	const query = "SELECT last_keepalive, sync_status, agents FROM t_keepalive ORDER BY number"
	err = sqlitedb.Select(c, query, func(st *sqlitedb.Stmt) error {
		what := said{keepalive: noKeepalive, syncreq: st.ColumnText(1) == syncReq}
		if !st.ColumnIsNull(0) {
			what.keepalive = st.ColumnInt64(0)
		}
		for text := range strings.SplitSeq(st.ColumnText(2), ",") {
			id, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				odd++
				continue
			}
			last[agent.ID(id)] = what
		}
		return nil
	})
	return last, odd, err
}

// LeftInJournal returns the last keep-alives that a process which has died, or runs,
// has not put into the agents' rows yet, of a file that is read past a Store. One that
// is before the row's, or of a row without any, does not count.
func LeftInJournal(c *sqlitedb.Conn) (map[agent.ID]int64, error) {
	tables := 0
	err := sqlitedb.Select(c, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 't_keepalive'", func(*sqlitedb.Stmt) error {
		tables++
		return nil
	})
	if err != nil || tables == 0 {
		return nil, err
	}
	last, _, err := readJournal(c)
	left := make(map[agent.ID]int64, len(last))
	for id, what := range last {
		if what.keepalive != noKeepalive {
			left[id] = what.keepalive
		}
	}
	return left, err
}

// emptyJournal leaves an empty table, also when there was none.
func emptyJournal(c *sqlitedb.Conn) error {
	if err := sqlitedb.Exec(c, journalTable); err != nil {
		return err
	}
	return sqlitedb.Exec(c, "DELETE FROM t_keepalive")
}

// followRow is follow for one agent.
func followRow(c *sqlitedb.Conn, id agent.ID, what said) error {
	return sqlitedb.Exec(c, followQuery, timeOrNil(what.keepalive), syncText(what.syncreq), int64(id))
}
