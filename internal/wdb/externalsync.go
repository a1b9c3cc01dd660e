package wdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/fault"
)

// ReportAll marks all agents that report to the node as to be sent.
func (e *External) ReportAll(ctx context.Context, node string) error {
	return e.client.run(ctx, "global sql UPDATE agent SET sync_status = 'syncreq' WHERE id > 0 AND node_name = "+quote(node))
}

// PendingInfo returns what is to be sent of at most some max agents. The database
// marks rows as sent when it hands them over, so they are kept here until confirm
// says that they have arrived, and are delivered again before newer ones. When
// 64 MiB wait, no more are taken out of the database, where they stay marked.
func (e *External) PendingInfo(ctx context.Context, most int) (chunks [][]byte, more bool, confirm func(context.Context) error, err error) {
	left, err := e.take(ctx, &e.info, "global sync-agent-info-get {}", most)
	if err != nil {
		return nil, false, nil, fmt.Errorf("read what is to be sent of agents: %w", err)
	}
	chunks, more, confirm = e.info.deliver(most)
	return chunks, more || left, confirm, nil
}

// take moves pages from the database into k until most agents wait there. left
// tells whether the database has more.
func (e *External) take(ctx context.Context, k *kept, request string, most int) (left bool, err error) {
	for {
		agents, full, first := k.size()
		if first {
			e.log.Warn("Too much waits to be sent, the rest stays in the database.", "request", request, "bytes", k.limit)
		}
		if full {
			return true, nil
		}
		if most > 0 && agents >= most {
			return true, nil
		}
		status, page, err := e.client.Call(ctx, request)
		if err != nil {
			return false, err
		}
		n, empty, err := countAgents(page)
		if err != nil {
			return false, err
		}
		if !empty {
			k.add(page, n)
		}
		if status != StatusMore {
			return false, nil
		}
		if empty {
			return false, errStuck
		}
	}
}

// countAgents says how many agents a page has. A page of groups is a list of one
// object with the list "data"; empty are those that the original drops
// (docs/agentdb.md §10).
func countAgents(page []byte) (n int, empty bool, err error) {
	v, err := decode(string(page))
	if err != nil || !v.is(kindList) {
		return 0, false, fault.New(fault.DatabaseRead, "the answer is no list")
	}
	for element := range v.each {
		if data := element.get("data"); data.is(kindList) {
			for range data.each {
				n++
			}
			continue
		}
		n++
	}
	text := string(page)
	return n, text == "[]" || text == `[{"data":[]}]`, nil
}

// SetSyncInfo stores a JSON list of agents.
func (e *External) SetSyncInfo(ctx context.Context, list []byte) error {
	return e.client.run(ctx, "global sync-agent-info-set "+string(list))
}

// PendingGroups returns the agents whose groups have changed, with the hash over
// all in the last chunk. They are kept as PendingInfo says.
func (e *External) PendingGroups(ctx context.Context) (chunks [][]byte, confirm func(context.Context) error, err error) {
	const request = `global sync-agent-groups-get {"condition": "sync_status", "set_synced": true, "get_global_hash": true}`
	if _, err := e.take(ctx, &e.groups, request, 0); err != nil {
		return nil, nil, fmt.Errorf("read the groups to be sent: %w", err)
	}
	chunks, _, confirm = e.groups.deliver(0)
	return chunks, confirm, nil
}

// AllGroups returns the groups of all agents, after the texts and hashes of all
// were made anew.
func (e *External) AllGroups(ctx context.Context) (chunks [][]byte, err error) {
	if err := e.RecalculateGroupHashes(ctx); err != nil {
		return nil, err
	}
	for last := agent.ID(0); ; {
		status, page, err := e.client.Call(ctx, fmt.Sprintf(
			`global sync-agent-groups-get {"condition": "all", "set_synced": false, "get_global_hash": false, "last_id": %d}`, last))
		if err != nil {
			return nil, fmt.Errorf("read the groups of all agents: %w", err)
		}
		_, empty, err := countAgents(page)
		if err != nil {
			return nil, err
		}
		if !empty {
			chunks = append(chunks, page)
		}
		if status != StatusMore {
			return chunks, nil
		}
		next, found := lastAgent(page)
		if !found || next <= last {
			return nil, errStuck
		}
		last = next
	}
}

// lastAgent is the id of the last agent in a page of groups.
func lastAgent(page []byte) (agent.ID, bool) {
	v, err := decode(string(page))
	if err != nil {
		return 0, false
	}
	id, found := int32(0), false
	for element := range v.each {
		for one := range element.get("data").each {
			if n, is := one.get("id").int(); is {
				id, found = n, true
			}
		}
	}
	return agent.ID(id), found
}

// SetSyncGroups stores a JSON list of agents with their groups, as they are on
// the master.
func (e *External) SetSyncGroups(ctx context.Context, data []byte) error {
	return e.client.run(ctx, `global set-agent-groups {"mode":"override","sync_status":"synced","data":`+string(data)+"}")
}

// RecalculateGroupHashes makes the texts and hashes of all agents anew.
func (e *External) RecalculateGroupHashes(ctx context.Context) error {
	return e.client.run(ctx, "global recalculate-agent-group-hashes")
}

// GroupsHash is the hash over the groups of all agents; ok is false when no agent
// has any.
func (e *External) GroupsHash(ctx context.Context) (hash string, ok bool, err error) {
	rows, err := rowsOf[struct {
		Hash *string `json:"hash"`
	}](ctx, e, `global sync-agent-groups-get {"get_global_hash": true}`)
	switch {
	case err != nil:
		return "", false, err
	case len(rows) == 0:
		return "", false, fault.New(fault.DatabaseRead, "an answer without a hash")
	case rows[len(rows)-1].Hash == nil:
		return "", false, nil
	}
	return *rows[len(rows)-1].Hash, true, nil
}

// GroupsOf returns the groups, by priority, of those of the agents that exist.
func (e *External) GroupsOf(ctx context.Context, ids []agent.ID) (map[agent.ID][]string, error) {
	const most = 100 // agents in one request
	out := make(map[agent.ID][]string, len(ids))
	for start := 0; start < len(ids); start += most {
		if err := e.groupsOf(ctx, ids[start:min(start+most, len(ids))], out); err != nil {
			return nil, fmt.Errorf("read the groups of agents: %w", err)
		}
	}
	return out, nil
}

// groupsOf asks for some agents, and for fewer at a time when the answer is cut.
func (e *External) groupsOf(ctx context.Context, ids []agent.ID, out map[agent.ID][]string) error {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprint(int64(id))
	}
	rows, err := rowsOf[struct {
		ID   agent.ID `json:"id"`
		Name *string  `json:"name"` // absent when the agent has none
	}](ctx, e, "global sql SELECT a.id AS id, g.name AS name FROM agent a LEFT JOIN belongs b ON b.id_agent = a.id "+
		"LEFT JOIN `group` g ON g.id = b.id_group WHERE a.id IN ("+strings.Join(list, ",")+") ORDER BY a.id, b.priority")
	if errors.Is(err, fault.New(fault.DatabaseTooLarge, nil)) && len(ids) > 1 {
		half := len(ids) / 2
		if err := e.groupsOf(ctx, ids[:half], out); err != nil {
			return err
		}
		return e.groupsOf(ctx, ids[half:], out)
	}
	if err != nil {
		return err
	}
	for _, r := range rows {
		names := out[r.ID]
		if r.Name != nil {
			names = append(names, *r.Name)
		}
		out[r.ID] = names
	}
	return nil
}
