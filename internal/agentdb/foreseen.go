package agentdb

import (
	"context"
	"fmt"
	"time"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// foreseenFor is how long an agent is foreseen. Enrolment inserts it a moment
// after its key, or never, when the database is filled from client.keys.
const foreseenFor = 24 * time.Hour

// foreseen are the agents that were added because their key was there and whose
// enrolment has not said so yet, with the time of that in seconds since 1970. It
// belongs to the writer, is never larger than the agents are many, and is what
// the table t_foreseen holds.
type foreseen map[agent.ID]int64

// isForeseen tells whether an agent is foreseen, as this transaction has left it.
func (t *tx) isForeseen(id agent.ID) bool {
	_, there := t.get(id)
	if yes, changed := t.follows[id]; changed {
		return there && yes
	}
	since, yes := t.s.foreseen[id]
	return there && yes && t.time-since < int64(foreseenFor/time.Second)
}

// foresee says whether an agent is foreseen from now on.
func (t *tx) foresee(id agent.ID, yes bool) error {
	var err error
	if _, was := t.s.foreseen[id]; yes {
		err = t.exec("INSERT OR REPLACE INTO t_foreseen (id, since) VALUES (?1, ?2)", int64(id), t.time)
	} else if was || t.follows[id] {
		err = t.exec("DELETE FROM t_foreseen WHERE id = ?1", int64(id))
	}
	if err != nil {
		return err
	}
	if t.follows == nil {
		t.follows = make(map[agent.ID]bool)
	}
	t.follows[id] = yes
	return nil
}

// publishForeseen takes over what a committed transaction has foreseen.
func (s *Store) publishForeseen(t *tx) {
	for id, yes := range t.follows {
		if yes {
			s.foreseen[id] = t.time
		} else {
			delete(s.foreseen, id)
		}
	}
}

// loadForeseen makes the table when there is none, forgets in it what is not
// foreseen any more, and reads it. Only a master has one: elsewhere nobody enrols.
func (s *Store) loadForeseen(ctx context.Context) error {
	clear(s.foreseen)
	if !s.o.Master {
		return nil
	}
	err := s.db.Load().Write(ctx, func(c *sqlitedb.Conn) error {
		if err := sqlitedb.Exec(c, foreseenTable); err != nil {
			return err
		}
		oldest := time.Now().Add(-foreseenFor).Unix()
		err := sqlitedb.Exec(c, "DELETE FROM t_foreseen WHERE since <= ?1 OR id NOT IN (SELECT id FROM agent)", oldest)
		if err != nil {
			return err
		}
		return sqlitedb.Select(c, "SELECT id, since FROM t_foreseen", func(st *sqlitedb.Stmt) error {
			s.foreseen[agent.ID(st.ColumnInt64(0))] = st.ColumnInt64(1)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read which agents are foreseen: %w", err)
	}
	return nil
}

// enrolForeseen gives a foreseen agent the values of its enrolment. What has
// been reported of it meanwhile stays.
func (t *tx) enrolForeseen(a NewAgent) error {
	if err := t.settle(a.ID); err != nil {
		return err
	}
	err := t.exec("UPDATE agent SET name = ?1, ip = coalesce(?2, ip), register_ip = ?3, internal_key = ?4, date_add = ?5,"+
		" `group` = coalesce(?6, `group`) WHERE id = ?7",
		a.Name, a.IP, a.RegisterIP, a.InternalKey, a.DateAdd, a.Group, int64(a.ID))
	if err != nil {
		return err
	}
	r := t.edit(a.ID)
	r.name, r.added = a.Name, a.DateAdd
	r.rewritten()
	if a.IP != nil {
		r.hasIP, r.ip = true, *a.IP
	}
	if a.Group != nil {
		r.group = *a.Group
		t.touchGroups()
	}
	return t.foresee(a.ID, false)
}
