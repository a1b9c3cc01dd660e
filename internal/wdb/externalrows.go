package wdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/fault"
)

// rowsAtOnce is how many rows a request asks for at first. An answer that is cut
// halves it.
const rowsAtOnce = 500

// eachRow asks for rows by statements, each for so many rows behind those before.
// next makes the statement; take is told of each row.
func eachRow[T any](ctx context.Context, e *External, next func(limit int) string, take func(T)) error {
	for limit := rowsAtOnce; ; {
		rows, err := rowsOf[T](ctx, e, "global sql "+next(limit))
		if errors.Is(err, fault.New(fault.DatabaseTooLarge, nil)) && limit > 1 {
			limit /= 2
			continue
		}
		if err != nil {
			return err
		}
		for _, row := range rows {
			take(row)
		}
		if len(rows) < limit {
			return nil
		}
	}
}

// EachAgent calls f with every agent, agent 0 among them, by ascending id.
func (e *External) EachAgent(ctx context.Context, f func(id agent.ID, name string)) error {
	type row struct {
		ID   agent.ID `json:"id"`
		Name string   `json:"name"`
	}
	last := agent.ID(-1)
	err := eachRow(ctx, e, func(limit int) string {
		return fmt.Sprintf("SELECT id, name FROM agent WHERE id > %d ORDER BY id LIMIT %d", last, limit)
	}, func(r row) {
		last = r.ID
		f(r.ID, r.Name)
	})
	if err != nil {
		return fmt.Errorf("read all agents: %w", err)
	}
	return nil
}

// AddAgent adds an agent of client.keys, without groups; added is in seconds
// since 1970.
func (e *External) AddAgent(ctx context.Context, key agent.Key, added int64) error {
	address, secret := key.Address, key.Secret.Reveal()
	return e.InsertAgent(ctx, agentdb.NewAgent{
		ID: key.ID, Name: key.Name, DateAdd: added, RegisterIP: &address, InternalKey: &secret,
	})
}

// GroupNames is the names of all groups.
func (e *External) GroupNames(ctx context.Context) (names []string, err error) {
	type row struct {
		Name string `json:"name"`
	}
	err = eachRow(ctx, e, func(limit int) string {
		return fmt.Sprintf("SELECT name FROM `group` ORDER BY id LIMIT %d OFFSET %d", limit, len(names))
	}, func(r row) { names = append(names, r.Name) })
	if err != nil {
		return nil, fmt.Errorf("read all groups: %w", err)
	}
	return names, nil
}

// UpdateSelf writes columns of agent 0 by their names in the table; those that
// are not named become NULL.
func (e *External) UpdateSelf(ctx context.Context, columns map[string]string) error {
	fields := append(make([]any, 0, 2+2*len(columns)), "id", agent.ID(0))
	for name, text := range columns {
		fields = append(fields, name, text)
	}
	return e.client.run(ctx, arguments("update-agent-data", fields...))
}

// CountAgents counts the agents but agent 0, by the node they report to.
func (e *External) CountAgents(ctx context.Context) (map[string]map[agent.Status]int, error) {
	type row struct {
		Node   string       `json:"node"`
		Status agent.Status `json:"status"`
		Count  int          `json:"n"`
	}
	counts, seen := map[string]map[agent.Status]int{}, 0
	err := eachRow(ctx, e, func(limit int) string {
		return fmt.Sprintf("SELECT coalesce(node_name, '') AS node, connection_status AS status, count(*) AS n FROM agent "+
			"WHERE id > 0 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %d OFFSET %d", limit, seen)
	}, func(r row) {
		seen++
		if counts[r.Node] == nil {
			counts[r.Node] = map[agent.Status]int{}
		}
		counts[r.Node][r.Status] += r.Count
	})
	if err != nil {
		return nil, fmt.Errorf("count agents: %w", err)
	}
	return counts, nil
}

// EachNode calls f with the node that agents report to, "" or "unknown" for none,
// by ascending id: of the agents of ids that exist, or of all, agent 0 among them,
// when ids is nil.
func (e *External) EachNode(ctx context.Context, ids []agent.ID, f func(id agent.ID, node string)) error {
	if ids == nil {
		return e.nodesWhere(ctx, "1", f)
	}
	const atOnce = 1000 // so that the request is of usual length
	for piece := range slices.Chunk(ids, atOnce) {
		list := []byte("id IN (")
		for i, id := range piece {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendInt(list, int64(id), 10)
		}
		if err := e.nodesWhere(ctx, string(append(list, ')')), f); err != nil {
			return err
		}
	}
	return nil
}

func (e *External) nodesWhere(ctx context.Context, condition string, f func(id agent.ID, node string)) error {
	type row struct {
		ID   agent.ID `json:"id"`
		Node string   `json:"node"`
	}
	last := agent.ID(-1)
	err := eachRow(ctx, e, func(limit int) string {
		return fmt.Sprintf("SELECT id, coalesce(node_name, '') AS node FROM agent WHERE id > %d AND %s ORDER BY id LIMIT %d", last, condition, limit)
	}, func(r row) {
		last = r.ID
		f(r.ID, r.Node)
	})
	if err != nil {
		return fmt.Errorf("read the nodes of agents: %w", err)
	}
	return nil
}
