package wdb

import (
	"context"
	"errors"
	"math"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

type store = agentdb.Store

// agentID makes an id of a number, the nearest there is.
func agentID(n int64) agent.ID { return agent.ID(min(max(n, math.MinInt32), math.MaxInt32)) }

// ofAgent is a verb whose argument is an id: text reads as 0.
func (s *Server) ofAgent(query func(*store, context.Context, agent.ID) (agentdb.Page, error)) func(context.Context, string) reply {
	return func(ctx context.Context, args string) reply {
		id, _ := number(args)
		return s.rows(query(s.store, ctx, agentID(id)))
	}
}

// members reads JSON arguments and keeps, until the last, whether all was as it
// must be.
type members struct {
	value
	args string
	bad  bool
}

func object(args string) (*members, reply) {
	v, err := decode(args)
	if err != nil {
		return nil, badJSON(args)
	}
	return &members{value: v, args: args}, nil
}

// id is the mandatory number "id".
func (m *members) id() agent.ID { return agent.ID(m.number("id")) }

func (m *members) number(name string) int64 {
	n, ok := m.get(name).int()
	m.bad = m.bad || !ok
	return int64(n)
}

func (m *members) string(name string) string {
	text, ok := m.get(name).text()
	m.bad = m.bad || !ok
	return text
}

func (m *members) optional(name string) *string { return m.get(name).optional() }

// update is a verb with a JSON argument: do reads the members and, where they
// are good, acts.
func (s *Server) update(args string, do func(*members) func() error) reply {
	m, bad := object(args)
	if bad != nil {
		return bad
	}
	act := do(m)
	if m.bad {
		return badData(args)
	}
	return s.done(act())
}

func (s *Server) insertAgent(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		a := agentdb.NewAgent{
			ID: m.id(), Name: m.string("name"), DateAdd: m.number("date_add"), IP: m.optional("ip"),
			RegisterIP: m.optional("register_ip"), InternalKey: m.optional("internal_key"), Group: m.optional("group"),
		}
		return func() error { return s.store.InsertAgent(ctx, a) }
	})
}

func (s *Server) renameAgent(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		id, name := m.id(), m.string("name")
		return func() error { return s.store.RenameAgent(ctx, id, name) }
	})
}

func (s *Server) updateData(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		d := agentdb.Data{
			ID: m.id(), OSName: m.optional("os_name"), OSVersion: m.optional("os_version"), OSMajor: m.optional("os_major"),
			OSMinor: m.optional("os_minor"), OSCodename: m.optional("os_codename"), OSPlatform: m.optional("os_platform"),
			OSBuild: m.optional("os_build"), OSUname: m.optional("os_uname"), OSArch: m.optional("os_arch"),
			Version: m.optional("version"), ConfigSum: m.optional("config_sum"), MergedSum: m.optional("merged_sum"),
			ManagerHost: m.optional("manager_host"), NodeName: m.optional("node_name"), AgentIP: m.optional("agent_ip"),
			ConnectionStatus: m.optional("connection_status"), SyncStatus: m.optional("sync_status"),
			GroupConfigStatus: m.optional("group_config_status"), Labels: m.optional("labels"),
		}
		return func() error { return s.store.UpdateData(ctx, d) }
	})
}

func (s *Server) updateKeepalive(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		id, status, sync := m.id(), m.string("connection_status"), m.string("sync_status")
		return func() error { return s.store.UpdateKeepalive(ctx, id, status, sync) }
	})
}

func (s *Server) updateConnectionStatus(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		id, status, sync, code := m.id(), m.string("connection_status"), m.string("sync_status"), m.number("status_code")
		return func() error { return s.store.UpdateConnectionStatus(ctx, id, status, sync, code) }
	})
}

func (s *Server) updateStatusCode(ctx context.Context, args string) reply {
	return s.update(args, func(m *members) func() error {
		id, code, sync := m.id(), m.number("status_code"), m.string("sync_status")
		version := m.optional("version")
		if version == nil && m.get("version").d != nil {
			m.bad = true // the one optional member whose type is looked at
		}
		return func() error { return s.store.UpdateStatusCode(ctx, id, code, sync, version) }
	})
}

func (s *Server) deleteAgent(ctx context.Context, args string) reply {
	const text = "Error deleting agent from agent table in global.db."
	id, digits := number(args)
	if !digits {
		return fail(text) // rather than agent 0
	}
	return s.orText(s.store.DeleteAgent(ctx, agentID(id)), text)
}

func (s *Server) findAgent(ctx context.Context, args string) reply {
	m, bad := object(args)
	if bad != nil {
		return bad
	}
	name, ip := m.string("name"), m.string("ip")
	if m.bad {
		return badData(args)
	}
	return s.rows(s.store.FindAgent(ctx, name, ip))
}

func (s *Server) allAgents(ctx context.Context, args string) reply {
	w := words(args)
	if len(w) < 2 || w[0] != "last_id" {
		return fail("Invalid arguments 'last_id' not found")
	}
	after, _ := number(w[1])
	return s.rows(s.store.AllAgents(ctx, agentID(after)))
}

func (s *Server) agentsByStatus(ctx context.Context, args string) reply {
	w := words(args)
	switch len(w) {
	case 0:
		return fail("Invalid arguments 'last_id' not found")
	case 1:
		return fail("Invalid arguments 'connection_status' not found")
	case 3:
		return fail("Invalid arguments 'limit' not found")
	}
	after, _ := number(w[0])
	var node *agentdb.NodeFilter
	if len(w) > 3 {
		limit, _ := number(w[3])
		node = &agentdb.NodeFilter{Node: w[2], Limit: limit}
	}
	return s.rows(s.store.AgentsByStatus(ctx, agentID(after), w[1], node))
}

func (s *Server) disconnectAgents(ctx context.Context, args string) reply {
	w := words(args)
	switch len(w) {
	case 0:
		return fail("Invalid arguments last id not found")
	case 1:
		return fail("Invalid arguments keepalive not found")
	case 2:
		return fail("Invalid arguments sync_status not found")
	}
	after, _ := number(w[0])
	before, _ := number(w[1])
	p, err := s.store.DisconnectAgents(ctx, agentID(after), before, w[2])
	if failed, is := errors.AsType[*agentdb.DisconnectError](err); is {
		s.o.Log.Debug("Agents could not be set to disconnected.", "err", failed)
		return fail(string(failed.JSON))
	}
	return s.rows(p, err)
}

func (s *Server) resetConnections(ctx context.Context, args string) reply {
	return s.done(s.store.ResetConnections(ctx, args))
}
