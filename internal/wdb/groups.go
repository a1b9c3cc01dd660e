package wdb

import (
	"context"
	"errors"
	"fmt"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

// hashLength is that of the global hash, in hexadecimal digits.
const hashLength = 40

func (s *Server) groups(ctx context.Context, _ string) reply {
	p, err := s.store.Groups(ctx)
	p.More = false // cut in silence (docs/agentdb.md §6)
	return s.rows(p, err)
}

func (s *Server) findGroup(ctx context.Context, args string) reply {
	return s.rows(s.store.FindGroup(ctx, args))
}

func (s *Server) insertGroup(ctx context.Context, args string) reply {
	return s.orText(s.store.InsertGroup(ctx, args), "Error inserting group in global.db.")
}

func (s *Server) deleteGroup(ctx context.Context, args string) reply {
	return s.orText(s.store.DeleteGroup(ctx, args), "Error deleting group in global.db.")
}

func (s *Server) agentsOfGroup(ctx context.Context, args string) reply {
	w := words(args)
	switch {
	case len(w) == 0:
		return fail("Invalid arguments, group name not found.")
	case len(w) == 1 || w[1] != "last_id":
		return fail("Invalid arguments, 'last_id' not found.")
	case len(w) == 2:
		return fail("Invalid arguments, last agent id not found.")
	}
	after, _ := number(w[2])
	return s.rows(s.store.AgentsOfGroup(ctx, w[0], agentID(after)))
}

func (s *Server) distinctGroups(ctx context.Context, args string) reply {
	return s.rows(s.store.DistinctGroups(ctx, args))
}

func (s *Server) groupsIntegrity(ctx context.Context, args string) reply {
	if len(args) < hashLength {
		return fail(fmt.Sprintf("Hash hex-digest does not have the expected length. Expected (%d) got (%d)", hashLength, len(args)))
	}
	return s.rows(s.store.GroupsIntegrity(ctx, args[:hashLength]))
}

func (s *Server) recalculate(ctx context.Context, _ string) reply {
	return s.orText(s.store.RecalculateGroupHashes(ctx), "Error recalculating group hash of agents in global.db")
}

// setGroups is docs/agentdb.md §9.2.
func (s *Server) setGroups(ctx context.Context, args string) reply {
	v, err := decode(args)
	if err != nil {
		return badJSON(args)
	}
	mode, is := v.get("mode").text()
	data := v.get("data")
	if !is || !data.is(kindList) {
		return fail("Invalid JSON data, missing required fields")
	}
	switch mode {
	case "override", "append", "empty_only", "remove":
	default:
		return fail("Invalid mode '" + mode + "' in set_agent_groups command")
	}
	change := agentdb.GroupChange{Mode: mode, Sync: "synced", Data: readGroups(data)}
	if sync := v.get("sync_status").optional(); sync != nil {
		change.Sync = *sync
	}
	return s.orText(s.store.SetGroups(ctx, change), "An error occurred during the set of the groups")
}

// readGroups reads the agents of a change. What is wrong about one is marked and
// makes the whole reply an error; the rest is done all the same.
func readGroups(data value) []agentdb.AgentGroups {
	var all []agentdb.AgentGroups
	for element := range data.each {
		id, numeric := element.get("id").int()
		list := element.get("groups")
		one := agentdb.AgentGroups{ID: agent.ID(id), Bad: !numeric || !list.is(kindList)}
		if !one.Bad {
			for member := range list.each {
				name, is := member.text()
				if !is {
					name = "" // no group has this name, so it fails like an unknown one
				}
				one.Groups = append(one.Groups, name)
			}
		}
		all = append(all, one)
	}
	return all
}

// syncGroups is docs/agentdb.md §7.6.
func (s *Server) syncGroups(ctx context.Context, args string) reply {
	v, err := decode(args)
	if err != nil {
		return badJSON(args)
	}
	var q agentdb.GroupsQuery
	good := true
	condition := v.get("condition")
	if condition.d != nil {
		q.Condition, good = condition.text()
	}
	count := func(name string) int64 {
		m := v.get(name)
		n, is := m.int()
		good = good && (m.d == nil || is && n >= 0)
		return int64(n)
	}
	flag := func(name string) bool {
		m := v.get(name)
		good = good && (m.d == nil || m.is(kindTrue) || m.is(kindFalse))
		return m.is(kindTrue)
	}
	q.LastID = agentID(count("last_id"))
	q.SetSynced, q.GlobalHash = flag("set_synced"), flag("get_global_hash")
	q.RegistrationDelta = count("agent_registration_delta")
	if !good {
		return fail("Invalid JSON data, invalid alternative fields data")
	}
	if known := q.Condition == "sync_status" || q.Condition == "all"; condition.d != nil && !known {
		return fail("Could not obtain a response from wdb_global_sync_agent_groups_get")
	}
	return s.rows(s.store.SyncGroups(ctx, q))
}

func (s *Server) syncInfo(ctx context.Context, args string) reply {
	var from *agent.ID
	if w := words(args); len(w) > 1 && w[0] == "last_id" {
		n, _ := number(w[1])
		id := agentID(n)
		from = &id
	}
	return s.rows(s.store.SyncInfo(ctx, from))
}

func (s *Server) setSyncInfo(ctx context.Context, args string) reply {
	err := s.store.SetSyncInfo(ctx, []byte(args))
	switch {
	case errors.Is(err, agentdb.ErrSyntax):
		return badJSON(args)
	case errors.Is(err, agentdb.ErrLabelID):
		return fail("Cannot update labels due to invalid id.")
	}
	return s.done(err)
}
