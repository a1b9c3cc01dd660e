package simulate

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

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

// removeKeys takes the keys of our agents away, which it returns, where the
// master's home is known.
func (s *Simulation) removeKeys(ctx context.Context) (map[agent.ID]agent.Secret, error) {
	ids := map[agent.ID]agent.Secret{}
	if s.root == nil {
		return ids, nil
	}
	guard, err := lockKeys(ctx, s.nodes[0].home, s.root)
	if err != nil {
		return nil, err
	}
	defer guard.Release()
	keys, err := openKeys(s.root)
	if err != nil || len(keys.ours) == 0 {
		return ids, err
	}
	maps.Copy(ids, keys.ours)
	clear(keys.ours)
	return ids, writeKeys(s.root, guard, keys)
}

// removeAgents takes the keys away first and waits until they are gone on all
// nodes, so that no node makes the rows anew. Then it deletes these everywhere
// itself: a node takes the loss of most of its agents for an accident and waits.
func (s *Simulation) removeAgents(ctx context.Context) (int, error) {
	ids, err := s.removeKeys(ctx)
	if err != nil {
		return 0, err
	}
	err = s.eachWorkerHome(ctx, func(root *os.Root) (bool, error) {
		keys, err := openKeys(root)
		return err == nil && len(keys.ours) == 0, err
	})
	if err != nil {
		return 0, fmt.Errorf("keys that are to go: %w", err)
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		there, err := s.deleteAgents(ctx, n)
		if err != nil {
			return 0, err
		}
		maps.Copy(ids, there)
		if err := s.awaitNone(ctx, n, "SELECT count(*) AS n FROM agent WHERE "+ourRows); err != nil {
			return 0, fmt.Errorf("%s still has agents: %w", n.name, err)
		}
	}
	return len(ids), nil
}

// eachWorkerHome waits until something is so in every worker's home.
func (s *Simulation) eachWorkerHome(ctx context.Context, holds func(root *os.Root) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Setup)
	defer cancel()
	for _, n := range s.nodes {
		if n.master || n.home == "" {
			continue
		}
		if err := awaitHome(ctx, n, holds); err != nil {
			return err
		}
	}
	return nil
}

func awaitHome(ctx context.Context, n node, holds func(root *os.Root) (bool, error)) error {
	root, err := os.OpenRoot(n.home)
	if err != nil {
		return fmt.Errorf("open the home of %s: %w", n.name, err)
	}
	defer root.Close()
	turn := time.NewTicker(awaitEvery)
	defer turn.Stop()
	for {
		ok, err := holds(root)
		if ok || err != nil {
			return err
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not followed the master: %w", n.name, context.Cause(ctx))
		}
	}
}

// deleteAgents deletes the simulated agents in one node's database.
func (s *Simulation) deleteAgents(ctx context.Context, n *node) (map[agent.ID]agent.Secret, error) {
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

// removeGroups is removeAgents for groups. Their directories go a part at a time,
// as a master takes the loss of most of its files for an accident.
func (s *Simulation) removeGroups(ctx context.Context, removed *Removed) error {
	stays := map[string]bool{}
	gone := map[string]bool{}
	if s.root != nil {
		names, err := groupsOf(s.root)
		if err != nil {
			return err
		}
		for len(names) > 0 {
			part := names[:(len(names)+2)/3]
			names = names[len(part):]
			for _, name := range part {
				if err := s.removeGroup(name, gone, stays); err != nil {
					return err
				}
			}
			err := s.eachWorkerHome(ctx, func(root *os.Root) (bool, error) {
				left, err := groupsOf(root)
				return !slices.ContainsFunc(left, func(name string) bool { return gone[name] }), err
			})
			if err != nil {
				return fmt.Errorf("groups that are to go: %w", err)
			}
		}
	}
	for i := range s.nodes {
		if err := s.deleteGroups(ctx, &s.nodes[i], gone, stays); err != nil {
			return err
		}
	}
	removed.Groups, removed.Left = len(gone), slices.Sorted(maps.Keys(stays))
	return nil
}

func (s *Simulation) removeGroup(name string, gone, stays map[string]bool) error {
	if !ownGroup(s.root, name) {
		stays[name] = true
		return nil
	}
	ok, err := removeGroup(s.root, name)
	if ok {
		gone[name] = true
	} else {
		stays[name] = true
	}
	return err
}

// deleteGroups deletes the simulated groups in one node's database, but not those
// whose directory had to stay.
func (s *Simulation) deleteGroups(ctx context.Context, n *node, gone, stays map[string]bool) error {
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
		if stays[g.Name] || !groupName.MatchString(g.Name) {
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
