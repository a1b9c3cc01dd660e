package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
)

// What a simulation does, one thing at a time, for those who want to show it.
// Prepare comes first, and Run must not be under way.

var (
	// ErrNoAgent is returned for an agent that is not simulated here.
	ErrNoAgent = errors.New("no such simulated agent")
	// ErrNoNode is returned for a node to which no agent can report.
	ErrNoNode = errors.New("no such node for agents")
)

// Agents are the simulated agents that report to a node.
func (s *Simulation) Agents(node string) []agent.ID {
	var ids []agent.ID
	for i := range s.herd {
		if m := &s.herd[i]; s.reporting[m.node].name == node {
			ids = append(ids, m.id)
		}
	}
	return ids
}

// Connect has every agent begin to report to its node.
func (s *Simulation) Connect(ctx context.Context) error {
	return s.all(ctx, "Agents that report to ", func(ctx context.Context, c *client, m *member) error {
		m.state = active
		return s.carryOut(ctx, c, op{kind: connects, member: m}, time.Now())
	})
}

// Beat is one keep-alive of every agent that reports.
func (s *Simulation) Beat(ctx context.Context) error {
	return s.all(ctx, "Keep-alives at ", func(ctx context.Context, c *client, m *member) error {
		if m.state != active {
			return nil
		}
		return s.carryOut(ctx, c, op{kind: keepsAlive, member: m}, time.Now())
	})
}

// all does something with every agent, at its node.
func (s *Simulation) all(ctx context.Context, what string, do func(context.Context, *client, *member) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for at, n := range s.reporting {
		var list []*member
		for i := range s.herd {
			if m := &s.herd[i]; int(m.node) == at {
				list = append(list, m)
			}
		}
		g.Go(func() error {
			return s.parallel(ctx, n, what+n.name, len(list), func(ctx context.Context, c *client, i int) error {
				return do(ctx, c, list[i])
			})
		})
	}
	return g.Wait()
}

// Move has an agent report to another node and tells how long it takes until the
// master knows. It first lets the second end in which the agent was last heard: of
// two nodes that name the same one the master believes the one that it hears last
// (docs/agentdb.md §19).
func (s *Simulation) Move(ctx context.Context, id agent.ID, to string) (took time.Duration, err error) {
	m := s.find(id)
	if m == nil {
		return 0, ErrNoAgent
	}
	at := slices.IndexFunc(s.reporting, func(n *node) bool { return n.name == to })
	if at < 0 {
		return 0, fmt.Errorf("%w: %s", ErrNoNode, to)
	}
	c, err := dial(ctx, s.reporting[at])
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := nextSecond(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	m.node, m.state = int16(at), active
	if err := s.carryOut(ctx, c, op{kind: connects, member: m}, began); err != nil {
		return 0, err
	}
	err = awaitRow(ctx, &s.nodes[0], id, func(r seen) bool { return r.Node == to && r.Status == string(agent.Active) })
	return time.Since(began), err
}

// nextSecond waits until the clock shows another second.
func nextSecond(ctx context.Context) error {
	now := time.Now()
	turn := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Regroup gives an agent another simulated group on the master and tells of each
// other node how long it takes until it knows, one at a time.
func (s *Simulation) Regroup(ctx context.Context, id agent.ID, group int, arrived func(node string, took time.Duration)) error {
	m := s.find(id)
	if m == nil {
		return ErrNoAgent
	}
	c, err := dial(ctx, &s.nodes[0])
	if err != nil {
		return err
	}
	defer c.close()
	began := time.Now()
	m.group = int16(group)
	if err := s.carryOut(ctx, c, op{kind: changesGroup, member: m}, began); err != nil {
		return err
	}
	type arrival struct {
		node string
		took time.Duration
	}
	arrivals := make(chan arrival, len(s.nodes))
	g, ctx := errgroup.WithContext(ctx)
	want := groupText(m)
	for i := range s.nodes[1:] {
		n := &s.nodes[i+1]
		g.Go(func() error {
			err := awaitRow(ctx, n, id, func(r seen) bool { return r.Groups == want })
			if err == nil {
				arrivals <- arrival{n.name, time.Since(began)}
			}
			return err
		})
	}
	err = g.Wait()
	close(arrivals)
	for a := range arrivals {
		arrived(a.node, a.took)
	}
	return err
}

// awaitRow waits until a node's row of an agent is as wanted.
func awaitRow(ctx context.Context, n *node, id agent.ID, wanted func(seen) bool) error {
	c, err := dial(ctx, n)
	if err != nil {
		return err
	}
	defer c.close()
	turn := time.NewTicker(time.Millisecond)
	defer turn.Stop()
	for {
		rows, err := query[seen](ctx, c, fmt.Sprintf("SELECT %s FROM agent WHERE id = %d", seenColumns, id))
		if err != nil {
			return err
		}
		if len(rows) > 0 && wanted(rows[0]) {
			return nil
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not know yet: %w", n.name, context.Cause(ctx))
		}
	}
}
