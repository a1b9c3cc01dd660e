package wdb

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

// The bounds of one answer of list-agents.
const (
	listBytes = replyBytes - 16 // the rest is around it
	listRows  = 1024

	// What is told of an agent that is too long for an answer: so many bytes of
	// each text, and of all groups together. JSON may make six of each.
	cutText   = 1024
	cutGroups = 4096
)

// listAgents is our own verb: agents by filter. "due" says that the page is full
// and more match.
func (s *Server) listAgents(ctx context.Context, args string) reply {
	f, bad := readFilter(args)
	if bad != nil {
		return bad
	}
	wanted := f.Limit
	if wanted == 0 {
		wanted = math.MaxInt
	}
	size := min(wanted, listRows)
	f.Limit = min(size, wanted-1) + 1 // one more tells whether there are more
	agents, total, err := s.store.Agents(ctx, f)
	if err != nil {
		return s.broken(err)
	}
	body := append(strconv.AppendInt([]byte(`{"total":`), int64(total), 10), `,"agents":[`...)
	more := len(agents) > size
	for i := range agents[:min(size, len(agents))] {
		before := len(body)
		if i > 0 {
			body = append(body, ',')
		}
		body = agents[i].AppendJSON(body)
		if i == 0 && len(body) > listBytes {
			shorten(&agents[i])
			body = agents[i].AppendJSON(body[:before]) // an empty page would never end
		}
		if len(body) > listBytes {
			body, more = body[:before], true
			break
		}
	}
	return page(agentdb.Page{JSON: append(body, "]}"...), More: more})
}

// shorten leaves as much of an agent as fits into any answer.
func shorten(a *agentdb.Agent) {
	a.Cut = true
	for _, text := range []*string{&a.Name, &a.IP, &a.Node, &a.Version} {
		*text = beginning(*text, cutText)
	}
	left := cutGroups
	for i, group := range a.Groups {
		if left -= len(group) + 3; left < 0 { // with quotes and comma
			a.Groups = a.Groups[:i]
			break
		}
	}
}

// beginning is the whole characters among the first n bytes.
func beginning(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func (s *Server) countAgents(ctx context.Context, _ string) reply {
	c, err := s.store.Counts(ctx)
	if err != nil {
		return s.broken(err)
	}
	text, err := json.Marshal(struct {
		Total    int                             `json:"total"`
		ByStatus map[agent.Status]int            `json:"by_status"`
		ByNode   map[string]map[agent.Status]int `json:"by_node"`
	}{c.Total, c.ByStatus, c.ByNode})
	if err != nil {
		return fail("Internal error")
	}
	return okText(string(text))
}

// readFilter reads what is wanted; absent members want all.
func readFilter(args string) (agentdb.Filter, reply) {
	if args == "" {
		args = "{}"
	}
	m, bad := object(args)
	if bad != nil {
		return agentdb.Filter{}, bad
	}
	text := func(name string) string {
		if m.get(name).d == nil {
			return ""
		}
		return m.string(name)
	}
	count := func(name string) int64 {
		if m.get(name).d == nil {
			return 0
		}
		n := m.number(name)
		m.bad = m.bad || n < 0
		return n
	}
	f := agentdb.Filter{
		Status: agent.Status(text("status")), Node: text("node"), Version: text("version"),
		Group: text("group"), Name: text("name"), After: agent.ID(count("after")), Limit: int(count("limit")),
	}
	if m.bad || !m.is(kindObject) {
		return agentdb.Filter{}, badData(args)
	}
	return f, nil
}
