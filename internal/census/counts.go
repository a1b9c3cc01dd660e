package census

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"testudo/internal/agent"
)

const (
	// maxNodes bounds the nodes told apart: their names come from other nodes.
	maxNodes    = 256
	otherNodes  = "other"
	unknownNode = "unknown" // of agents that no node has reported
)

// Counts says how many agents there are, without agent 0.
type Counts struct {
	At      time.Time // zero: nothing was counted yet
	Total   int
	ByState map[agent.Status]int
	ByNode  map[string]map[agent.Status]int // the nodes with the fewest agents, beyond 256, are "other"
}

func (c Counts) present() int { return c.ByState[agent.Active] + c.ByState[agent.Pending] }

// Latest gives what was counted last. The maps are not changed any more.
func (c *Census) Latest() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// count counts the agents and tells the metrics.
func (c *Census) count(ctx context.Context) {
	byNode, err := c.cfg.Source.CountAgents(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.counting.Fail(c.log, slog.LevelWarn, "Agents not counted.", slog.Any("error", err))
		return
	}
	c.counting.Recovered(c.log, "Agents are counted again.")
	counts := sumUp(byNode)
	c.mu.Lock()
	c.latest = counts
	c.mu.Unlock()
	c.publish(counts)
	// Those that have been removed meanwhile are not waited for.
	if c.present > 0 && counts.present() >= min(c.present, counts.Total)/2 {
		c.present = 0
		c.cfg.Health.Clear(condition)
	}
}

// sumUp adds up the states and puts the smallest nodes together.
func sumUp(byNode map[string]map[agent.Status]int) Counts {
	counts := Counts{At: time.Now(), ByState: map[agent.Status]int{}, ByNode: map[string]map[agent.Status]int{}}
	totals := map[string]int{}
	for node, states := range byNode {
		for state, n := range states {
			counts.ByState[state] += n
			counts.Total += n
			totals[node] += n
		}
	}
	nodes := slices.SortedFunc(maps.Keys(byNode), func(a, b string) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(a, b))
	})
	for i, node := range nodes {
		name := node
		switch {
		case totals[node] == 0:
			continue
		case i >= maxNodes:
			name = otherNodes
		case node == "":
			name = unknownNode
		}
		if counts.ByNode[name] == nil {
			counts.ByNode[name] = map[agent.Status]int{}
		}
		for state, n := range byNode[node] {
			counts.ByNode[name][state] += n
		}
	}
	return counts
}

func (c *Census) publish(counts Counts) {
	for _, state := range agent.Statuses() {
		c.cfg.Metrics.Agents(string(state), counts.ByState[state])
	}
	for node := range c.published {
		if counts.ByNode[node] == nil {
			delete(c.published, node)
			c.cfg.Metrics.ForgetAgentsOfNode(node)
		}
	}
	for node, states := range counts.ByNode {
		c.published[node] = true
		for _, state := range agent.Statuses() {
			c.cfg.Metrics.AgentsByNode(node, string(state), states[state])
		}
	}
}
