package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"testudo/internal/fleet"
	"testudo/internal/nodedb"
	"testudo/internal/screen"
	"testudo/internal/simulate"
)

const (
	// agentsEach is how many agents report to each worker.
	agentsEach = 12
	// agentGroups is how many groups there are for them.
	agentGroups = 3
	// beatEvery is the pause between keep-alives while the user watches.
	beatEvery = 5 * time.Second
)

// clusterJSON lets the master send groups from the start on; as installed it
// waits for half a minute.
const clusterJSON = `{"intervals": {"master": {"agent_group_start_delay": 1}}}`

// report makes agents and has them report to the workers.
func (s *show) report(ctx context.Context) error {
	workers := s.fleet.Workers()
	s.out.Linef("Registering %d simulated agents on the master; their keys and groups travel to the workers.", agentsEach*len(workers))
	homes := make([]string, 0, len(workers)+1)
	for _, n := range s.fleet.Nodes() {
		homes = append(homes, n.Home)
	}
	var err error
	s.agents, err = simulate.New(ctx, simulate.Options{
		Nodes: homes, Count: agentsEach * len(workers), Keepalive: beatEvery, Groups: agentGroups, Connections: 4,
		Patience: stepTime, Setup: stepTime,
	})
	if err != nil {
		return err
	}
	if err := s.agents.Prepare(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := s.agents.Connect(ctx); err != nil {
		return err
	}
	counts, err := s.awaitActive(ctx, agentsEach*len(workers))
	if err != nil {
		return err
	}
	s.result.Reported = milliseconds(time.Since(began))
	for _, n := range workers {
		s.out.Linef("  %d agents report to %s", counts.ByNode[n.Name]["active"], n.Name)
	}
	s.out.Linef("  the master knew all of them after %.0f ms", s.result.Reported)
	s.showAgents(ctx)
	return nil
}

// awaitActive waits until the master counts so many active agents.
func (s *show) awaitActive(ctx context.Context, want int) (nodedb.Counts, error) {
	turn := time.NewTicker(5 * lookEvery)
	defer turn.Stop()
	for {
		counts, err := s.counts(ctx)
		if err != nil {
			return counts, err
		}
		if counts.ByStatus["active"] == want {
			return counts, nil
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return counts, fmt.Errorf("the master knows of %d of %d active agents: %w", counts.ByStatus["active"], want, ctx.Err())
		}
	}
}

// move lets an agent of the first worker report to the last.
func (s *show) move(ctx context.Context) error {
	workers := s.fleet.Workers()
	from, to := workers[0], workers[len(workers)-1]
	ids := s.agents.Agents(from.Name)
	if len(ids) == 0 {
		return fmt.Errorf("no agent reports to %s", from.Name)
	}
	s.out.Linef("Agent %s moves from %s to %s, as behind a load balancer.", ids[0], from.Name, to.Name)
	took, err := s.agents.Move(ctx, ids[0], to.Name)
	if err != nil {
		return err
	}
	s.result.Moved = milliseconds(took)
	s.out.Linef("  the master knew after %.0f ms", s.result.Moved)
	s.showAgents(ctx)
	return nil
}

// assign gives an agent another group on the master.
func (s *show) assign(ctx context.Context) error {
	id := s.agents.Agents(s.fleet.Workers()[0].Name)[0]
	groups := map[string]bool{}
	err := s.eachAgent(ctx, s.fleet.Master(), func(a nodedb.Agent) {
		if a.ID == id.String() {
			for _, g := range a.Groups {
				groups[g] = true
			}
		}
	})
	if err != nil {
		return err
	}
	group := 0
	for groups[simulate.Group(group)] {
		group++
	}
	s.out.Linef("Agent %s gets the group %s on the master.", id, simulate.Group(group))
	return s.agents.Regroup(ctx, id, group, func(node string, took time.Duration) {
		s.result.Assigned[node] = milliseconds(took)
		s.out.Linef("  %s knew after %.0f ms", node, milliseconds(took))
	})
}

func (s *show) eachAgent(ctx context.Context, n *fleet.Node, each func(nodedb.Agent)) error {
	reader, err := nodedb.OpenSocket(ctx, filepath.Join(n.Home, nodedb.SocketPath))
	if err != nil {
		return err
	}
	defer reader.Close()
	_, err = reader.List(ctx, nodedb.Filter{}, func(a nodedb.Agent) error {
		each(a)
		return nil
	})
	return err
}

// compareAgents looks at every agent in every node's database.
func (s *show) compareAgents(ctx context.Context) error {
	if err := s.agents.Settle(ctx); err != nil {
		return err
	}
	r := s.agents.Report()
	if r.Wrong > 0 {
		return errors.New("the nodes do not agree about the agents: " + strings.Join(r.Examples, "; "))
	}
	counts, err := s.counts(ctx)
	if err != nil {
		return err
	}
	for _, n := range s.fleet.Workers() { // the one that enrolled reports nowhere
		for _, count := range counts.ByNode[n.Name] {
			s.result.Agents[n.Name] += count
		}
	}
	s.out.Linef("All %d agents are the same on all %d nodes.", r.Agents, len(s.fleet.Nodes()))
	return nil
}

// counts asks the master.
func (s *show) counts(ctx context.Context) (nodedb.Counts, error) {
	reader, err := nodedb.OpenSocket(ctx, filepath.Join(s.fleet.Master().Home, nodedb.SocketPath))
	if err != nil {
		return nodedb.Counts{}, err
	}
	defer reader.Close()
	return reader.Counts(ctx)
}

// showAgents writes the table of agents where nobody sees the live one.
func (s *show) showAgents(ctx context.Context) {
	if !s.out.Terminal() {
		s.out.Linef("%s", s.agentTable(ctx, 0))
	}
}

// agentTable has a line for each node that agents report to; it is empty while
// there are none, or the master is away.
func (s *show) agentTable(ctx context.Context, width int) string {
	ctx, cancel := context.WithTimeout(ctx, redrawEvery)
	defer cancel()
	counts, err := s.counts(ctx)
	if err != nil || counts.Total == 0 {
		return ""
	}
	columns := []screen.Column{{Title: "agents of"}}
	for _, status := range nodedb.Statuses() {
		columns = append(columns, screen.Column{Title: strings.ReplaceAll(status, "_", " "), Right: true})
	}
	rows := make([][]string, 0, len(counts.ByNode))
	for _, node := range slices.Sorted(maps.Keys(counts.ByNode)) {
		cells := []string{node}
		for _, status := range nodedb.Statuses() {
			cells = append(cells, strconv.Itoa(counts.ByNode[node][status]))
		}
		rows = append(rows, cells)
	}
	return "\n" + screen.Table(columns, rows, width)
}

// keepAgents keeps the agents alive and moves one now and then, until ctx ends.
// A node that is away makes them miss a turn.
func (s *show) keepAgents(ctx context.Context) {
	turn := time.NewTicker(beatEvery)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, beatEvery)
		if err := s.agents.Beat(limited); err == nil {
			s.wander(limited)
		}
		cancel()
	}
}

// wander moves one agent from a worker to another.
func (s *show) wander(ctx context.Context) {
	workers := s.fleet.Workers()
	from := rand.IntN(len(workers)) //nolint:gosec // no secret
	to := (from + 1) % len(workers)
	ids := s.agents.Agents(workers[from].Name)
	if len(ids) == 0 {
		return
	}
	id := ids[rand.IntN(len(ids))] //nolint:gosec // no secret
	if took, err := s.agents.Move(ctx, id, workers[to].Name); err == nil {
		s.out.Linef("%s  agent %s has moved from %s to %s; the master knew after %.0f ms",
			clock(time.Now()), id, workers[from].Name, workers[to].Name, milliseconds(took))
	}
}
