package agentdb

import (
	"context"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// DeleteGroup removes a group. Its members lose it; those that had no other get
// the default group. On a master of a cluster their groups are to be sent out.
// A group that is not there is no error; the default group is (ErrDefaultGroup).
//
// Members leave by the thousand, the group goes with the last ones: a process
// that dies between leaves a smaller group.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	if name == agent.DefaultGroup {
		return ErrDefaultGroup
	}
	sync := synced
	if s.o.Master {
		sync = syncReq
	}
	for more := true; more; {
		err := s.write(ctx, true, func(t *tx) (err error) {
			more, err = t.shrinkGroup(name, sync)
			return asQuery(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shrinkGroup takes some members out of the group, and deletes it when these
// were all.
func (t *tx) shrinkGroup(name, sync string) (more bool, err error) {
	group, ok, err := groupNumber(t.c, name)
	if err != nil || !ok {
		return false, err
	}
	var members []agent.ID
	err = sqlitedb.Select(t.c, "SELECT id_agent FROM belongs WHERE id_group = ?1 LIMIT ?2", func(st *sqlitedb.Stmt) error {
		members = append(members, agent.ID(st.ColumnInt64(0)))
		return nil
	}, group, setBatch)
	if err != nil {
		return false, err
	}
	g := newGroupWriter(t, GroupsRemove, sync)
	for _, id := range members {
		old, err := relationsOf(t.c, id, g.old[:0])
		if err != nil {
			return false, err
		}
		g.old = old
		now := make([]relation, 0, len(old))
		for _, r := range old {
			if r.group != group {
				now = append(now, r)
			}
		}
		if now, err = g.orDefault(id, now); err != nil {
			return false, err
		}
		if err := g.replace(id, old, now); err != nil {
			return false, err
		}
	}
	if len(members) == setBatch {
		return true, nil
	}
	return false, t.exec("DELETE FROM `group` WHERE id = ?1", group)
}
