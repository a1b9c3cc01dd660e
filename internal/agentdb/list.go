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
// does not look at the file.
func (s *Store) Agents(ctx context.Context, f Filter) (list []Agent, total int, err error) {
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	if f.Limit <= 0 {
		f.Limit = defaultListed
	}
	f.Limit = min(f.Limit, maxListed)
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	m, possible := s.roster.matcherLocked(f)
	if !possible {
		return nil, 0, nil
	}
	counted := f.Version == "" && f.Group == "" && f.Name == "" && f.After >= 0
	from := agent.ID(-1 << 31)
	if counted {
		total, from = s.roster.totalLocked(f), f.After
	} else if f.After >= 0 {
		from = agent.Manager
	}
	for p := range s.roster.afterLocked(from) {
		if !m.match(p) {
			continue
		}
		if !counted {
			total++
		}
		switch {
		case p.id > f.After && len(list) < f.Limit:
			list = append(list, s.roster.agentLocked(p))
		case counted:
			return list, total, nil
		}
	}
	return list, total, nil
}

// matcher is a Filter in the numbers of the roster.
type matcher struct {
	status, node, version bool // whether they count
	statusN               uint8
	nodeN, versionN       uint32
	groups                []bool // by number of a text of groups; nil for any
	name                  string
}

// matcherLocked is not possible when the filter asks for what no agent has.
func (r *roster) matcherLocked(f Filter) (m matcher, possible bool) {
	m = matcher{status: f.Status != "", node: f.Node != "", version: f.Version != "", name: f.Name}
	m.statusN = statusNumber(f.Status)
	knownNode, knownVersion := true, true
	if m.node {
		m.nodeN, knownNode = r.names.number(f.Node)
	}
	if m.version {
		m.versionN, knownVersion = r.names.number(f.Version)
	}
	if f.Group != "" {
		m.groups = make([]bool, len(r.names.entries))
		for i, e := range r.names.entries {
			m.groups[i] = hasGroup(e.text, f.Group)
		}
	}
	return m, knownNode && knownVersion && (!m.status || f.Status.Valid())
}

func hasGroup(text, group string) bool {
	for name := range strings.SplitSeq(text, ",") {
		if name == group {
			return true
		}
	}
	return false
}

func (m *matcher) match(p *row) bool {
	return (!m.status || p.status == m.statusN) &&
		(!m.node || p.node == m.nodeN) &&
		(!m.version || p.version == m.versionN) &&
		(m.groups == nil || m.groups[p.group]) &&
		(m.name == "" || strings.Contains(p.name, m.name))
}

// totalLocked answers for filters on status and node from the counts.
func (r *roster) totalLocked(f Filter) int {
	total := 0
	for number, counts := range r.counts {
		if f.Node != "" && r.names.text(number) != f.Node {
			continue
		}
		for i, n := range counts {
			if f.Status == "" || statusNumber(f.Status) == uint8(i) {
				total += n
			}
		}
	}
	return total
}

func (r *roster) agentLocked(p *row) Agent {
	a := Agent{
		ID: p.id, Name: p.name, IP: p.ip, Status: statusOf(p.status), StatusCode: max(p.code, 0),
		Node: r.names.text(p.node), Version: r.names.text(p.version),
		Added: p.added, Disconnected: max(p.gone, 0), Unreported: p.syncreq,
	}
	if text := r.names.text(p.group); text != "" {
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
	for number, counts := range s.roster.counts {
		of := make(map[agent.Status]int)
		for i, n := range counts {
			if n > 0 {
				status := statusOf(uint8(i))
				of[status] = n
				c.ByStatus[status] += n
				c.Total += n
			}
		}
		c.ByNode[s.roster.names.text(number)] = of
	}
	return c, context.Cause(ctx)
}

// ActiveAgents counts the active agents that report to a node, without the
// manager itself and without looking at the file.
func (s *Store) ActiveAgents(node string) int {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	number, known := s.roster.names.number(node)
	counts := s.roster.counts[number]
	if !known || counts == nil {
		return 0
	}
	return counts[statusNumber(agent.Active)]
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
