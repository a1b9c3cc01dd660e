package agentdb

import (
	"context"
	"slices"
	"strings"

	"testudo/internal/agent"
)

// Filter chooses agents. What is left empty does not narrow the choice.
type Filter struct {
	Status  agent.Status
	Node    string
	Version string
	Group   string // one of the agent's groups
	Name    string // part of the agent's name; case counts

	After agent.ID // only ids above; 0 leaves out the manager itself, -1 does not
	Limit int      // how many; 0 is 500, and 10000 the most
}

const (
	defaultListed = 500
	maxListed     = 10000
)

// Agent is what lists show of an agent.
type Agent struct {
	ID            agent.ID
	Name          string
	IP            string // as it was last seen; "" when unknown
	Status        agent.Status
	StatusCode    int32
	Node          string // "unknown" or "" when no node has reported it
	Version       string
	Groups        []string
	Added         int64 // seconds since 1970
	LastKeepalive int64 // seconds since 1970; 0 is never
	Disconnected  int64 // seconds since 1970; 0 when it is not
	Unreported    bool  // the master has yet to be told, or to confirm
}

// Agents returns agents by ascending id. total is how many there are whatever
// After and Limit say; the manager itself counts only with an After below 0. It
// does not look at the file. Agents that come, change or go meanwhile may be met
// or not, and counted or not.
func (s *Store) Agents(ctx context.Context, f Filter) (list []Agent, total int, err error) {
	if f.Limit <= 0 {
		f.Limit = defaultListed
	}
	f.Limit = min(f.Limit, maxListed)
	q := newSearch(f)
	for more := true; more; {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		more = s.roster.searchSome(q, searchBlocks)
	}
	return q.list, q.total, nil
}

func (r *roster) agentLocked(p place) Agent {
	a := Agent{
		ID: p.id(), Name: p.name(), IP: p.ip(), Status: p.status(), StatusCode: max(p.code, 0),
		Node: r.nodeLocked(p), Version: r.versionLocked(p),
		Added: p.added, Disconnected: max(p.gone, 0), Unreported: p.syncreq,
	}
	if text := r.groupLocked(p); text != "" {
		a.Groups = strings.Split(text, ",")
	}
	if p.keepalive != noKeepalive {
		a.LastKeepalive = p.keepalive
	}
	return a
}

// Counts says how many agents there are; the manager itself does not count.
type Counts struct {
	Total    int
	ByStatus map[agent.Status]int
	ByNode   map[string]map[agent.Status]int // "" and "unknown": reported by no node
}

// Counts counts the agents, without looking at the file.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	c := Counts{ByStatus: make(map[agent.Status]int), ByNode: make(map[string]map[agent.Status]int)}
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	for i := range s.roster.nodes.entries {
		e := &s.roster.nodes.entries[i]
		if e.agents.of("") == 0 {
			continue
		}
		of := make(map[agent.Status]int)
		for _, status := range agent.Statuses() {
			if n := e.agents.of(status); n > 0 {
				of[status] = n
				c.ByStatus[status] += n
				c.Total += n
			}
		}
		c.ByNode[e.text] = of
	}
	return c, context.Cause(ctx)
}

// ActiveAgents counts the active agents that report to a node, without the
// manager itself and without looking at the file.
func (s *Store) ActiveAgents(node string) int {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	number, known := s.roster.nodes.number(node)
	if !known {
		return 0
	}
	return s.roster.nodes.entries[number].agents.of(agent.Active)
}

// ListJSON is the JSON object that a node's programs get for Agents:
// {"total":N,"agents":[…]}.
func ListJSON(list []Agent, total int) []byte {
	dst := appendInteger([]byte(`{"total":`), int64(total))
	dst = append(dst, `,"agents":[`...)
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = list[i].appendJSON(dst)
	}
	return append(dst, ']', '}')
}

func (a *Agent) appendJSON(dst []byte) []byte {
	text := func(name, value string) {
		if value != "" {
			dst = appendUTF8(append(append(append(dst, `,"`...), name...), `":`...), value)
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			dst = appendInteger(append(append(append(dst, `,"`...), name...), `":`...), value)
		}
	}
	dst = appendInteger(append(dst, `{"id":`...), int64(a.ID))
	text("name", a.Name)
	text("ip", a.IP)
	text("status", string(a.Status))
	number("status_code", int64(a.StatusCode))
	text("node", a.Node)
	text("version", a.Version)
	if len(a.Groups) > 0 {
		dst = append(dst, `,"groups":`...)
		for i, g := range a.Groups {
			dst = appendUTF8(append(dst, "[,"[min(i, 1)]), g)
		}
		dst = append(dst, ']')
	}
	number("added", a.Added)
	number("last_keepalive", a.LastKeepalive)
	number("disconnected", a.Disconnected)
	if a.Unreported {
		dst = append(dst, `,"unreported":true`...)
	}
	return append(dst, '}')
}

// JSON is the JSON object that a node's programs get:
// {"total":N,"status":{"active":N,…},"nodes":{"worker1":{"active":N,…},…}}.
func (c Counts) JSON() []byte {
	dst := appendInteger([]byte(`{"total":`), int64(c.Total))
	dst = appendStatusCounts(append(dst, `,"status":`...), c.ByStatus)
	dst = append(dst, `,"nodes":{`...)
	nodes := make([]string, 0, len(c.ByNode))
	for node := range c.ByNode {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	for i, node := range nodes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendStatusCounts(append(appendUTF8(dst, node), ':'), c.ByNode[node])
	}
	return append(dst, '}', '}')
}

func appendStatusCounts(dst []byte, counts map[agent.Status]int) []byte {
	dst = append(dst, '{')
	first := true
	for _, status := range agent.Statuses() {
		if counts[status] == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendInteger(append(appendText(dst, string(status)), ':'), int64(counts[status]))
	}
	return append(dst, '}')
}
