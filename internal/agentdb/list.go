package agentdb

import (
	"context"
	"strconv"
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
	Node          string // "unknown" or "" when no node has reported it
	Version       string
	Groups        []string
	LastKeepalive int64 // seconds since 1970; 0 is never
	Cut           bool  // not all of it; never what Agents returns
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
		ID: p.id(), Name: p.name(), IP: p.ip(), Status: p.status(),
		Node: r.nodeLocked(p), Version: r.versionLocked(p),
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

// appendPadded appends an id as its String is.
func appendPadded(dst []byte, id agent.ID) []byte {
	for least := agent.ID(100); least > max(id, 1); least /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(id), 10)
}

// AppendJSON appends the agent as list-agents shows it (docs/agentdb.md §21).
func (a *Agent) AppendJSON(dst []byte) []byte {
	dst = append(appendPadded(append(dst, `{"id":"`...), a.ID), '"')
	text := func(name, value string) {
		if value != "" {
			dst = appendUTF8(append(append(append(dst, `,"`...), name...), `":`...), value)
		}
	}
	dst = appendUTF8(append(dst, `,"name":`...), a.Name)
	text("ip", a.IP)
	text("status", string(a.Status))
	text("node", a.Node)
	text("version", a.Version)
	dst = append(dst, `,"groups":[`...)
	for i, group := range a.Groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendUTF8(dst, group)
	}
	dst = append(dst, ']')
	if a.LastKeepalive != 0 {
		dst = strconv.AppendInt(append(dst, `,"last_keepalive":`...), a.LastKeepalive, 10)
	}
	if a.Cut {
		dst = append(dst, `,"cut":true`...)
	}
	return append(dst, '}')
}
