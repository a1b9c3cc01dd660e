package agentdb

import (
	"context"
	"errors"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// AgentName is the page [{"name":…}], or [] for an unknown agent.
func (s *Store) AgentName(ctx context.Context, id agent.ID) (Page, error) {
	return s.rows(ctx, "SELECT name FROM agent WHERE id = ?1", int64(id))
}

// AgentGroup is the page [{"group":…}] with the text of the agent's groups; [{}]
// when it has none, [] for an unknown agent.
func (s *Store) AgentGroup(ctx context.Context, id agent.ID) (Page, error) {
	return s.rows(ctx, "SELECT `group` FROM agent WHERE id = ?1", int64(id))
}

// AgentInfo is the page with the agent's whole row.
func (s *Store) AgentInfo(ctx context.Context, id agent.ID) (Page, error) {
	if err := s.catchUp(ctx, id); err != nil {
		return Page{}, err
	}
	return s.rows(ctx, "SELECT * FROM agent WHERE id = ?1", int64(id))
}

// Labels is the page of the agent's labels, by key.
func (s *Store) Labels(ctx context.Context, id agent.ID) (Page, error) {
	return s.rows(ctx, "SELECT id, key, value FROM labels WHERE id = ?1 ORDER BY key", int64(id))
}

// FindAgent is the page of the ids of the agents with the name that were
// registered with the address ip or with a network that is written ip/….
func (s *Store) FindAgent(ctx context.Context, name, ip string) (Page, error) {
	return s.rows(ctx, "SELECT id FROM agent WHERE name = ?1 AND (register_ip = ?2 OR"+
		" substr(register_ip, 1, length(?2) + 1) = ?2 || '/' AND length(register_ip) > length(?2) + 1)", name, ip)
}

// AllAgents is the page of the ids above the given one, ascending.
func (s *Store) AllAgents(ctx context.Context, after agent.ID) (Page, error) {
	return s.idPage(ctx, after, -1, func(place) bool { return true })
}

// NodeFilter narrows AgentsByStatus to the agents of one node, and to as many.
type NodeFilter struct {
	Node  string
	Limit int64 // below 0: no limit
}

// AgentsByStatus is the page of the ids above the given one, ascending, of the
// agents with a connection status. One that there is not has no agents.
func (s *Store) AgentsByStatus(ctx context.Context, after agent.ID, status string, node *NodeFilter) (Page, error) {
	if !agent.Status(status).Valid() {
		return newPager().page(), ctx.Err()
	}
	wanted, limit := agent.Status(status), int64(-1)
	if node == nil {
		return s.idPage(ctx, after, limit, func(p place) bool { return p.status() == wanted })
	}
	limit = node.Limit
	return s.idPage(ctx, after, limit, func(p place) bool {
		return p.status() == wanted && s.roster.nodeLocked(p) == node.Node
	})
}

// idPage answers from the roster. match is asked with the roster locked.
func (s *Store) idPage(ctx context.Context, after agent.ID, limit int64, match func(place) bool) (Page, error) {
	if ctx.Err() != nil {
		return Page{}, context.Cause(ctx)
	}
	p := newPager()
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	for r := range s.roster.afterLocked(after) {
		if limit >= 0 && int64(p.rows) >= limit {
			break
		}
		if match(r) && !p.add(func(dst []byte) []byte { return appendID(dst, r.id()) }) {
			break
		}
	}
	return p.page(), nil
}

// SQL runs one statement; text behind it is ignored. Its rows come as AgentInfo's
// do, cut off in the middle behind 64 KiB. A statement that writes is refused with
// ErrWriteRefused unless both the caller and Options.AllowWrites want it. Files
// beside the database, settings and transactions are out of its reach.
func (s *Store) SQL(ctx context.Context, statement string, write bool) (Page, error) {
	if endsTransaction(statement) {
		return newPager().page(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.QueryTime)
	defer cancel()
	p, shown := newPagerOf(sqlLimit), newShown(statement, !s.lags())
	run := func(c *sqlitedb.Conn) error {
		*p = *newPagerOf(sqlLimit)
		return sqlitedb.GuardReads(c, shown.mayRead, func() error { return runStatement(c, statement, p) })
	}
	err := s.read(ctx, run)
	if shown.keepalives {
		s.journal.rest()
	}
	if !shown.caughtUp && (shown.keepalives || shown.marks) {
		if err := s.catchUpAll(ctx); err != nil {
			return Page{}, err
		}
		shown.caughtUp = true
		err = s.read(ctx, run)
	}
	if err == nil || !errors.Is(err, sqlitedb.ErrReadOnly) {
		return p.page(), err
	}
	if !write || !s.o.AllowWrites {
		return Page{}, ErrWriteRefused
	}
	err = s.between(ctx, func(context.Context) error {
		// With the caller's context: the statement may take long and can be ended.
		err := s.db.Load().WriteSync(ctx, sqlitedb.SyncFull, func(c *sqlitedb.Conn) error {
			// All agents are read again behind it, and what the file does not say is lost.
			if err := s.writeMarks(c); err != nil {
				return err
			}
			shown.caughtUp = true
			if err := run(c); err != nil {
				return err
			}
			return emptyJournal(c) // the statement may have been about it
		})
		if err == nil {
			s.journal.clear()
			s.groupsChanged.Add(1)
			s.reloadAfterWrite(setsOnlyStates(statement))
			s.infoHint.give()
		}
		return asQuery(err)
	})
	return p.page(), err
}

// endsTransaction recognises the statements about transactions that programs
// send around others: there is nothing to begin or to end.
func endsTransaction(statement string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
	switch strings.ToLower(strings.TrimRight(word, ";")) {
	case "begin", "commit", "end", "rollback":
		return true
	default:
		return false
	}
}

// setsOnlyStates recognises updates of agents that give plain values to what
// changes often, and to nothing else: by these programs mark agents as to be
// reported. What it does not recognise is taken for more than that.
func setsOnlyStates(statement string) bool {
	rest, ok := strings.CutPrefix(statement, "UPDATE agent SET ")
	if !ok {
		return false
	}
	rest, _, _ = strings.Cut(rest, " WHERE ")
	for assignment := range strings.SplitSeq(rest, ", ") {
		column, value, ok := strings.Cut(assignment, " = ")
		switch column {
		case "last_keepalive", "sync_status", "connection_status", "disconnection_time", "status_code":
		default:
			return false
		}
		if inner, quoted := strings.CutPrefix(value, "'"); quoted {
			if value, ok = strings.CutSuffix(inner, "'"); !ok {
				return false // what looks like the end of it may be part of a text
			}
		}
		if !ok || strings.Trim(value, "_0123456789abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}

// sqlLimit is where the text of a statement's rows is cut off: the longest answer
// of the socket.
const sqlLimit = 65536

func runStatement(c *sqlitedb.Conn, statement string, p *pager) error {
	var m members
	err := sqlitedb.SelectOne(c, statement, func(st *sqlitedb.Stmt) error {
		if m == nil {
			m = membersOf(st)
		}
		if p.rows > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf, p.rows = m.appendRow(p.buf, st), p.rows+1
		if len(p.buf) > p.limit {
			p.full = true
			return errEnough
		}
		return nil
	})
	return notEnough(err)
}
