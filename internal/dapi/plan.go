package dapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/result"
)

// Arguments that say which nodes a request concerns.
const (
	argAgent  = "agent_id"
	argAgents = "agent_list"
	argNode   = "node_id"
	argNodes  = "node_list"
)

const noNode = "unknown" // the node of an agent that has never reported

// share is the part of a request that one node gets.
type share struct {
	node   string
	agents []string
}

// plan says which nodes get a request (docs/dapi.md §7).
type plan struct {
	shares []share
	named  int              // how many nodes were named: the answers of more than one are merged
	failed []result.Failure // nodes that do not get it
}

// planner plans the requests of type distributed_master.
type planner struct {
	own    string
	agents Agents
	nodes  Nodes
}

// plan finds the nodes of a request. The error is that of the whole request.
func (p planner) plan(ctx context.Context, r *Request) (plan, error) {
	t, err := targetsOf(r.Args)
	if err != nil {
		return plan{}, err
	}
	shares, err := p.concerned(ctx, r, t)
	if err != nil {
		return plan{}, err
	}
	out := plan{shares: shares, named: len(shares)}
	switch {
	case t.node != "" || t.hasNodes:
		err = p.admit(r, &out, len(shares) > 0)
		out.named = len(out.shares)
	case len(shares) == 0:
		err = p.admit(r, &out, false)
	}
	if err != nil {
		return plan{}, err
	}
	out.shares = p.collect(out.shares)
	return out, nil
}

// targets are the arguments of a request that say whom it concerns.
type targets struct {
	hasAgents, allAgents bool
	agents               []string
	node                 string
	hasNodes, allNodes   bool
	nodes                []string
}

func targetsOf(args result.Object) (t targets, err error) {
	if one, ok := argument(args, argAgent); ok {
		t.hasAgents = true
		if t.agents, t.allAgents, err = texts(argAgent, one); err != nil {
			return t, err
		}
	}
	if list, ok := argument(args, argAgents); ok {
		t.hasAgents = true
		if t.agents, t.allAgents, err = texts(argAgents, list); err != nil {
			return t, err
		}
	}
	if node, ok := argument(args, argNode); ok {
		if err := json.Unmarshal(node, &t.node); err != nil {
			return t, fmt.Errorf("%s is no text", argNode)
		}
	}
	if list, ok := argument(args, argNodes); ok {
		t.hasNodes = true
		t.nodes, t.allNodes, err = texts(argNodes, list)
	}
	return t, err
}

func argument(args result.Object, name string) (json.RawMessage, bool) {
	v := args.Get(name)
	return v, v != nil && string(v) != "null"
}

// texts reads a list of texts, or one text; "*" stands for all.
func texts(name string, v json.RawMessage) (list []string, all bool, err error) {
	var one string
	if json.Unmarshal(v, &one) == nil {
		return []string{one}, one == "*", nil
	}
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, false, fmt.Errorf("%s is no list of texts", name)
	}
	return list, false, nil
}

// concerned finds the nodes that the arguments mean, in the order in which
// their answers are merged. None means all.
func (p planner) concerned(ctx context.Context, r *Request, t targets) ([]share, error) {
	switch {
	case t.hasAgents:
		return p.byAgents(ctx, t)
	case t.node != "":
		return []share{{node: t.node}}, nil
	case t.hasNodes && !t.allNodes:
		var shares []share
		for _, name := range t.nodes {
			if !slices.ContainsFunc(shares, func(s share) bool { return s.node == name }) {
				shares = append(shares, share{node: name})
			}
		}
		return shares, nil
	case r.Broadcasting:
		return nil, nil
	}
	return p.reporting(ctx)
}

// byAgents parts agents by the node they report to.
func (p planner) byAgents(ctx context.Context, t targets) ([]share, error) {
	var ids []agent.ID
	if t.node == "" && !t.allAgents {
		ids = []agent.ID{}
		for _, text := range t.agents {
			if id, err := agent.ParseID(text); err == nil {
				ids = append(ids, id)
			}
		}
	}
	found, err := p.agents.NodesOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("look up the nodes of agents: %w", err)
	}
	if t.node != "" {
		nodes := []string{t.node}
		if t.hasNodes && !t.allNodes {
			nodes = t.nodes
		}
		found = slices.DeleteFunc(slices.Clone(found), func(a AgentNode) bool { return !slices.Contains(nodes, a.Node) })
	}
	shares := group(found)
	if t.node != "" && !slices.ContainsFunc(shares, func(s share) bool { return s.node == t.node }) {
		shares = append(shares, share{node: t.node})
	}
	if missing := absent(t, found); len(missing) > 0 {
		shares = add(shares, p.own, missing)
	}
	return shares, nil
}

// group parts agents by node, in the order in which the nodes come first.
func group(list []AgentNode) (shares []share) {
	at := make(map[string]int)
	for _, a := range list {
		i, known := at[a.Node]
		if !known {
			i = len(shares)
			at[a.Node] = i
			shares = append(shares, share{node: a.Node})
		}
		shares[i].agents = append(shares[i].agents, a.ID.String())
	}
	return shares
}

// absent lists the agents asked for that do not exist: the master says so of
// them.
func absent(t targets, found []AgentNode) (list []string) {
	if t.allAgents {
		return nil
	}
	known := make(map[agent.ID]bool, len(found))
	for _, a := range found {
		known[a.ID] = true
	}
	seen := make(map[string]bool)
	for _, text := range t.agents {
		if id, err := agent.ParseID(text); (err != nil || !known[id]) && !seen[text] {
			seen[text] = true
			list = append(list, text)
		}
	}
	return list
}

func add(shares []share, node string, agents []string) []share {
	i := slices.IndexFunc(shares, func(s share) bool { return s.node == node })
	if i < 0 {
		return append(shares, share{node, agents})
	}
	shares[i].agents = append(shares[i].agents, agents...)
	return shares
}

// reporting lists every node to which an agent reports, in descending order.
func (p planner) reporting(ctx context.Context) (shares []share, err error) {
	found, err := p.agents.NodesOf(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("look up the nodes of agents: %w", err)
	}
	for _, s := range group(found) {
		shares = append(shares, share{node: s.node})
	}
	slices.SortFunc(shares, func(a, b share) int {
		switch {
		case a.node > b.node:
			return -1
		case a.node < b.node:
			return 1
		}
		return 0
	})
	return shares, nil
}

// collect gives the master the shares of no node.
func (p planner) collect(shares []share) []share {
	var out []share
	for _, s := range shares {
		if s.node == "" || s.node == noNode {
			s.node = p.own
		}
		out = add(out, s.node, s.agents)
	}
	return out
}
