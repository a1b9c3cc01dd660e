package agentdb

import (
	"context"

	"testudo/internal/agent"
)

// The two values of sync_status and group_sync_status.
const (
	synced  = "synced"
	syncReq = "syncreq"
)

// NewAgent is an agent to be added (docs/agentdb.md §7.1). A nil text is NULL.
type NewAgent struct {
	ID          agent.ID
	Name        string
	DateAdd     int64 // seconds since 1970
	IP          *string
	RegisterIP  *string
	InternalKey *string
	Group       *string
}

// InsertAgent adds an agent that has never connected. A QueryError says that the
// id is taken; an agent that FollowAgent has added takes over the values instead.
func (s *Store) InsertAgent(ctx context.Context, a NewAgent) error {
	return s.write(ctx, true, func(t *tx) error {
		if t.isForeseen(a.ID) {
			return t.enrolForeseen(a)
		}
		return t.insertAgent(a)
	})
}

// FollowAgent adds an agent, unless it is there, because its key is. On a master
// enrolment writes the key first and inserts the agent a moment later, which
// succeeds then.
func (s *Store) FollowAgent(ctx context.Context, a NewAgent) error {
	return s.write(ctx, true, func(t *tx) error {
		if _, there := t.get(a.ID); there {
			return nil
		}
		if err := t.insertAgent(a); err != nil {
			return err
		}
		if s.o.Master {
			return t.foresee(a.ID, true)
		}
		return nil
	})
}

func (t *tx) insertAgent(a NewAgent) error {
	err := t.exec("INSERT INTO agent (id, name, ip, register_ip, internal_key, date_add, `group`)"+
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		int64(a.ID), a.Name, a.IP, a.RegisterIP, a.InternalKey, a.DateAdd, a.Group)
	if err != nil {
		return err
	}
	t.add(record{
		id: a.ID, name: a.Name, hasIP: a.IP != nil, ip: orEmpty(a.IP), node: unknownNode, group: orEmpty(a.Group),
		status: agent.NeverConnected, keepalive: noKeepalive, added: a.DateAdd,
	})
	t.touchGroups()
	return nil
}

// unknownNode is the node of an agent that has not been seen.
const unknownNode = "unknown"

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// RenameAgent gives an agent another name. As with all that changes an agent, an
// id that is not there is no error.
func (s *Store) RenameAgent(ctx context.Context, id agent.ID, name string) error {
	return s.write(ctx, true, func(t *tx) error {
		if err := t.exec("UPDATE agent SET name = ?1 WHERE id = ?2", name, int64(id)); err != nil {
			return err
		}
		if r := t.edit(id); r != nil {
			r.name = name
			r.rewritten()
		}
		return nil
	})
}

// DeleteAgent removes an agent with its labels and its places in groups.
func (s *Store) DeleteAgent(ctx context.Context, id agent.ID) error {
	return s.write(ctx, true, func(t *tx) error {
		if err := t.exec("DELETE FROM agent WHERE id = ?1", int64(id)); err != nil {
			return err
		}
		t.remove(id)
		t.touchGroups()
		return t.foresee(id, false)
	})
}

// UpdateKeepalive records that an agent has shown itself now: the time, its
// status, and no disconnection.
func (s *Store) UpdateKeepalive(ctx context.Context, id agent.ID, status, sync string) error {
	return s.writeLazily(ctx, func(t *tx) error {
		before, known := t.get(id)
		if known && string(before.status) == status && before.gone == 0 && before.code == 0 && (sync == synced || sync == syncReq) {
			return t.touch(id, t.time, sync == syncReq)
		}
		if err := t.settle(id); err != nil {
			return err
		}
		err := t.exec("UPDATE agent SET last_keepalive = ?1, connection_status = ?2, sync_status = ?3,"+
			" disconnection_time = 0, status_code = 0 WHERE id = ?4", t.time, status, sync, int64(id))
		if err != nil {
			return err
		}
		if r := t.edit(id); r != nil {
			r.keepalive, r.gone, r.code = t.time, 0, 0
			r.setStatus(status, sync)
		}
		return nil
	})
}

// rewritten says that what rarely changes of the agent may have changed.
func (r *record) rewritten() { r.print, r.told = 0, 0 }

// setStatus takes in two values that the table has accepted.
func (r *record) setStatus(status, sync string) {
	r.status, r.syncreq, r.lags = agent.Status(status), sync == syncReq, false
}

// UpdateConnectionStatus records an agent's status and its reason. The time of
// disconnection is now if the status is disconnected, else 0.
func (s *Store) UpdateConnectionStatus(ctx context.Context, id agent.ID, status, sync string, code int64) error {
	return s.write(ctx, false, func(t *tx) error {
		gone := int64(0)
		if status == string(agent.Disconnected) {
			gone = t.time
		}
		err := t.exec("UPDATE agent SET connection_status = ?1, sync_status = ?2, disconnection_time = ?3,"+
			" status_code = ?4 WHERE id = ?5", status, sync, gone, code, int64(id))
		if err != nil {
			return err
		}
		if r := t.edit(id); r != nil {
			r.gone, r.code = gone, int32(code)
			r.setStatus(status, sync)
		}
		return nil
	})
}

// UpdateStatusCode records why an agent has the status it has, and its version.
func (s *Store) UpdateStatusCode(ctx context.Context, id agent.ID, code int64, sync string, version *string) error {
	return s.write(ctx, false, func(t *tx) error {
		err := t.exec("UPDATE agent SET status_code = ?1, version = ?2, sync_status = ?3 WHERE id = ?4",
			code, version, sync, int64(id))
		if err != nil {
			return err
		}
		if r := t.edit(id); r != nil {
			r.code, r.version = int32(code), orEmpty(version)
			r.rewritten()
			r.syncreq, r.lags = sync == syncReq, false
		}
		return nil
	})
}
