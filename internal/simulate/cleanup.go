package simulate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"testudo/internal/agent"
)

// Removed is what Cleanup took away.
type Removed struct {
	Agents int      `json:"agents"`
	Groups int      `json:"groups"`
	Left   []string `json:"left,omitempty"` // groups whose directories hold files of somebody else
}

// Cleanup removes all simulated agents and groups from the nodes and waits until
// each of them knows. Only Nodes, Connections and Setup of the options count, and
// what tells how it goes.
func Cleanup(ctx context.Context, o Options) (removed Removed, err error) {
	s, err := New(ctx, Options{
		Nodes: o.Nodes, Connections: o.Connections, Setup: o.Setup, Step: o.Step, Progress: o.Progress,
		Count: 1, Keepalive: maxBurst,
	})
	if err != nil {
		return removed, err
	}
	defer s.Close()
	s.o.Step("Removing the simulated agents and groups")
	if removed.Agents, err = s.removeAgents(ctx); err != nil {
		return removed, fmt.Errorf("remove the agents: %w", err)
	}
	if err := s.removeGroups(ctx, &removed); err != nil {
		return removed, fmt.Errorf("remove the groups: %w", err)
	}
	return removed, nil
}

func (s *Simulation) removeAgents(ctx context.Context) (int, error) {
	ids := map[agent.ID]string{}
	if s.root != nil {
		if err := noEnrolment(s.nodes[0].home); err != nil {
			return 0, err
		}
		keys, err := openKeys(s.root)
		if err != nil {
			return 0, err
		}
		maps.Copy(ids, keys.ours)
		if len(keys.ours) > 0 {
			clear(keys.ours)
			if err := writeKeys(s.root, keys); err != nil {
				return 0, err
			}
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.master && n.home != "" {
			continue
		}
		there, err := s.deleteAgents(ctx, n)
		if err != nil {
			return 0, err
		}
		maps.Copy(ids, there)
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if err := s.awaitNone(ctx, n, "SELECT count(*) AS n FROM agent WHERE "+ourRows); err != nil {
			return 0, fmt.Errorf("%s still has agents: %w", n.name, err)
		}
	}
	return len(ids), nil
}

// deleteAgents deletes the simulated agents in one node's database.
func (s *Simulation) deleteAgents(ctx context.Context, n *node) (map[agent.ID]string, error) {
	c, err := dial(ctx, n)
	if err != nil {
		return nil, err
	}
	defer c.close()
	there, err := ourAgents(ctx, c)
	if err != nil {
		return nil, err
	}
	list := slices.Sorted(maps.Keys(there))
	return there, s.parallel(ctx, n, "Agents deleted on "+n.name, len(list), func(ctx context.Context, c *client, i int) error {
		return c.do(ctx, fmt.Sprintf("global delete-agent %d", list[i]))
	})
}

func (s *Simulation) removeGroups(ctx context.Context, removed *Removed) error {
	gone := map[string]bool{}
	if s.root != nil {
		names, err := groupsOf(s.root)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !ownGroup(s.root, name) {
				gone[name], removed.Left = false, append(removed.Left, name)
				continue
			}
			ok, err := removeGroup(s.root, name)
			if err != nil {
				return err
			}
			if gone[name] = ok; !ok {
				removed.Left = append(removed.Left, name)
			}
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.master && n.home != "" {
			continue
		}
		if err := s.deleteGroups(ctx, n, gone); err != nil {
			return err
		}
	}
	for _, ok := range gone {
		if ok {
			removed.Groups++
		}
	}
	if len(removed.Left) > 0 {
		return nil
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if err := s.awaitNone(ctx, n, `SELECT count(*) AS n FROM "group" WHERE `+ourGroups); err != nil {
			return fmt.Errorf("%s still has groups: %w", n.name, err)
		}
	}
	return nil
}

// deleteGroups deletes the simulated groups in one node's database, but not those
// whose directory had to stay.
func (s *Simulation) deleteGroups(ctx context.Context, n *node, gone map[string]bool) error {
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	defer c.close()
	groups, err := query[struct{ Name string }](ctx, c, `SELECT name FROM "group" WHERE `+ourGroups)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if ok, known := gone[g.Name]; known && !ok || !groupName.MatchString(g.Name) {
			continue
		}
		if err := c.do(ctx, "global delete-group "+g.Name); err != nil {
			return err
		}
		gone[g.Name] = true
	}
	return nil
}

// awaitNone waits until a count on a node is 0.
func (s *Simulation) awaitNone(ctx context.Context, n *node, statement string) error {
	return s.await(ctx, n, "", 0, statement)
}
