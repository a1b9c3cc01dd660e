package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
	"testudo/internal/nodedb"
)

// awaitEvery is how often a node is asked whether it has what it is to get.
const awaitEvery = 100 * time.Millisecond

// newAgent is the argument of insert-agent (docs/agentdb.md §7.1).
type newAgent struct {
	ID         agent.ID `json:"id"`
	Name       string   `json:"name"`
	DateAdd    int64    `json:"date_add"`
	RegisterIP string   `json:"register_ip"`
	Key        string   `json:"internal_key"`
}

// register makes the agents exist on every node and returns their ids, in
// order. Agents of an earlier run are used again.
func (s *Simulation) register(ctx context.Context) ([]agent.ID, error) {
	keys, err := s.registerKeys(ctx)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(keys))
	for i := range s.nodes {
		if n := &s.nodes[i]; n.master || n.home == "" {
			if err := s.insertAgents(ctx, n, ids, keys); err != nil {
				return nil, err
			}
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		err := s.await(ctx, n, "Agents known to "+n.name, len(ids), "SELECT count(*) AS n FROM agent WHERE "+ourRows)
		if err != nil {
			return nil, fmt.Errorf("%s has not learnt of all agents; a worker gets them from etc/client.keys: %w", n.name, err)
		}
	}
	return ids[:s.o.Count], nil
}

// registerKeys gives every agent its key, in the master's client.keys where the
// master's home is known.
func (s *Simulation) registerKeys(ctx context.Context) (map[agent.ID]agent.Secret, error) {
	highest := agent.ID(0)
	keys := &keyFile{ours: map[agent.ID]agent.Secret{}}
	for i := range s.nodes {
		c, err := dial(ctx, &s.nodes[i])
		if err != nil {
			return nil, err
		}
		top, err := count(ctx, c, "SELECT max(id) AS n FROM agent")
		if err == nil && s.nodes[i].master && s.nodes[i].home == "" {
			keys.ours, err = ourAgents(ctx, c)
		}
		c.close()
		if err != nil {
			return nil, err
		}
		highest = max(highest, agent.ID(top))
	}
	if s.root == nil {
		_, err := keys.extend(s.o.Count, highest)
		return keys.ours, err
	}
	return s.homeKeys(ctx, highest)
}

// homeKeys is registerKeys in the master's home, with new ids above one.
func (s *Simulation) homeKeys(ctx context.Context, above agent.ID) (map[agent.ID]agent.Secret, error) {
	guard, err := lockKeys(ctx, s.nodes[0].home, s.root)
	if err != nil {
		return nil, err
	}
	defer guard.Release()
	keys, err := openKeys(s.root)
	if err != nil {
		return nil, err
	}
	given, err := guard.Highest()
	if err != nil {
		return nil, err
	}
	changed, err := keys.extend(s.o.Count, max(above, given))
	if err == nil && changed {
		err = writeKeys(s.root, guard, keys)
	}
	return keys.ours, err
}

// ourAgents are the simulated agents in a database, with their keys.
func ourAgents(ctx context.Context, c *client) (map[agent.ID]agent.Secret, error) {
	found := map[agent.ID]agent.Secret{}
	type row struct {
		ID  agent.ID
		Key string
	}
	err := walk(ctx, c, "id, internal_key AS key", func(r row) int64 {
		found[r.ID] = agent.NewSecret(r.Key)
		return int64(r.ID)
	})
	return found, err
}

// walk goes through the rows of all simulated agents of a database.
func walk[R any](ctx context.Context, c *client, columns string, each func(R) (id int64)) error {
	page := func(after int64, limit int) string {
		return fmt.Sprintf("SELECT %s FROM agent WHERE %s AND id > %d ORDER BY id LIMIT %d", columns, ourRows, after, limit)
	}
	last := int64(0)
	return c.with(ctx, func(conn *nodedb.Conn) error {
		return nodedb.Walk(ctx, conn, page, last, 0, func(r R) (int64, error) {
			last = each(r)
			return last, nil
		})
	})
}

// insertAgents inserts the rows that a node's database lacks.
func (s *Simulation) insertAgents(ctx context.Context, n *node, ids []agent.ID, keys map[agent.ID]agent.Secret) error {
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	there, err := ourAgents(ctx, c)
	c.close()
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id agent.ID) bool {
		_, ok := there[id]
		return ok
	})
	now := time.Now().Unix()
	return s.parallel(ctx, n, "Agents inserted on "+n.name, len(missing), func(ctx context.Context, c *client, i int) error {
		text, err := json.Marshal(newAgent{missing[i], Name(missing[i]), now, "any", keys[missing[i]].Reveal()})
		if err != nil {
			return err
		}
		err = c.do(ctx, "global insert-agent "+string(text))
		if refused, ok := errors.AsType[*nodedb.RefusedError](err); ok && strings.Contains(refused.Text, "UNIQUE") {
			return nil // the node read it from client.keys meanwhile
		}
		return err
	})
}

// parallel does something count times over several connections to a node.
func (s *Simulation) parallel(ctx context.Context, n *node, what string, count int, do func(ctx context.Context, c *client, i int) error) error {
	if count == 0 {
		return nil
	}
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(s.o.Connections, count) {
		g.Go(func() error {
			c, err := dial(ctx, n)
			if err != nil {
				return err
			}
			defer c.close()
			for {
				i := int(next.Add(1)) - 1
				if i >= count {
					return nil
				}
				if err := do(ctx, c, i); err != nil {
					return err
				}
				s.o.Progress(what, int(done.Add(1)), count)
			}
		})
	}
	return g.Wait()
}

// await waits until a node's database gives a number.
func (s *Simulation) await(ctx context.Context, n *node, what string, want int, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Setup)
	defer cancel()
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	defer c.close()
	turn := time.NewTicker(awaitEvery)
	defer turn.Stop()
	for {
		have, err := count(ctx, c, statement)
		if err != nil {
			return err
		}
		if want > 0 {
			s.o.Progress(what, min(have, want), want)
		}
		if have == want {
			return nil
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d: %w", have, want, context.Cause(ctx))
		}
	}
}

// makeGroups makes the groups and waits until every node has them.
func (s *Simulation) makeGroups(ctx context.Context) error {
	names := make([]string, s.o.Groups)
	for i := range names {
		names[i] = Group(i)
		if s.root != nil {
			if err := makeGroup(s.root, names[i]); err != nil {
				return err
			}
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if n.master || n.home == "" {
			if err := insertGroups(ctx, n, names); err != nil {
				return err
			}
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		err := s.await(ctx, n, "Groups known to "+n.name, len(names), fmt.Sprintf("SELECT count(*) AS n FROM \"group\" WHERE %s AND name < '%s'",
			ourGroups, Group(len(names))))
		if err != nil {
			return fmt.Errorf("%s has not learnt of all groups; a worker gets them as directories of etc/shared: %w", n.name, err)
		}
	}
	return nil
}

func insertGroups(ctx context.Context, n *node, names []string) error {
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	defer c.close()
	for _, name := range append([]string{agent.DefaultGroup}, names...) {
		found, err := count(ctx, c, fmt.Sprintf("SELECT count(*) AS n FROM \"group\" WHERE name = '%s'", name))
		if err != nil {
			return err
		}
		if found > 0 {
			continue
		}
		err = c.do(ctx, "global insert-agent-group "+name)
		if _, ok := errors.AsType[*nodedb.RefusedError](err); err != nil && !ok {
			return err
		} // refused: the node found the directory meanwhile; whether it did is awaited
	}
	return nil
}

// openRoot opens the master's home, when it is known.
func openRoot(n node) (*os.Root, error) {
	if n.home == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(n.home)
	if err != nil {
		return nil, fmt.Errorf("open the home of the master: %w", err)
	}
	return root, nil
}
