package agentdb

import (
	"math"
	"strings"

	"testudo/internal/agent"
)

// searchBlocks is how many blocks are searched while the writer waits, and with it
// every reader that comes behind the writer: a fraction of a millisecond.
const searchBlocks = 64

// search is one request for a list under way.
type search struct {
	f       Filter
	after   agent.ID // up to which id all have been searched
	begun   bool
	counted bool // total is known from counts; else it grows with the search

	list  []Agent
	total int

	places [blockRows]uint16 // room for select
}

func newSearch(f Filter) *search {
	q := &search{f: f, after: math.MinInt32}
	if f.After >= 0 {
		q.after = agent.Manager
	}
	return q
}

// searchSome goes on with a search through so many blocks; more says that it has
// not ended.
//
// It holds the lock for a part of the agents only. In between agents may come and
// go, and the dictionaries give their numbers to other texts, so that nothing but
// the last id goes from one part to the next. As that only grows, no agent is met
// twice, and none is missed that was there all the time.
func (r *roster) searchSome(q *search, blocks int) (more bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, possible := r.matcherLocked(q.f)
	if !possible {
		return false
	}
	if !q.begun {
		q.begun = true
		if q.total, q.counted = r.totalLocked(q.f); q.counted {
			q.after = q.f.After
			q.list = make([]Agent, 0, min(q.total, q.f.Limit))
		}
	}
	b, i, found := r.findLocked(q.after)
	if found {
		i++
	}
	end := min(b+blocks, len(r.blocks))
	for ; b < end; b, i = b+1, 0 {
		if !q.takeLocked(r, r.blocks[b], m.choose(r.blocks[b], i, q.places[:0])) {
			return false
		}
		q.after = r.blocks[b].last()
	}
	return end < len(r.blocks)
}

// takeLocked takes in agents of one block that match; false when all is known that
// was asked for.
func (q *search) takeLocked(r *roster, b *block, places []uint16) bool {
	if !q.counted {
		q.total += len(places)
	}
	for _, i := range places {
		if len(q.list) == q.f.Limit {
			break
		}
		if b.ids[i] > q.f.After {
			q.list = append(q.list, r.agentLocked(b.at(int(i))))
		}
	}
	return !q.counted || len(q.list) < q.f.Limit
}

// matcher is a Filter in the numbers of the roster.
type matcher struct {
	status, node, version bool // whether they count
	statusN               uint8
	nodeN, versionN       uint32
	groups                []bool // by number of a text of groups; nil for any
	name                  string
	nameBits              []uint16
}

// matcherLocked is not possible when the filter asks for what no agent has.
func (r *roster) matcherLocked(f Filter) (m matcher, possible bool) {
	m = matcher{status: f.Status != "", node: f.Node != "", version: f.Version != "", name: f.Name, nameBits: trigramsOf(f.Name)}
	m.statusN = statusNumber(f.Status)
	knownNode, knownVersion := true, true
	if m.node {
		m.nodeN, knownNode = r.nodes.number(f.Node)
	}
	if m.version {
		m.versionN, knownVersion = r.versions.number(f.Version)
	}
	if f.Group != "" {
		m.groups = make([]bool, len(r.groups.entries))
		for i := range m.groups {
			m.groups[i] = hasGroup(r.groups.text(uint32(i)), f.Group)
		}
	}
	return m, knownNode && knownVersion && (!m.status || f.Status.Valid())
}

func hasGroup(text, group string) bool {
	if !strings.Contains(text, group) {
		return false
	}
	for name := range strings.SplitSeq(text, ",") {
		if name == group {
			return true
		}
	}
	return false
}

// choose appends to places, which is empty, the places from a given one on of a
// block's agents that match.
func (m *matcher) choose(b *block, from int, places []uint16) []uint16 {
	if m.name != "" {
		if !b.parts.hasAll(m.nameBits) {
			return places
		}
		places = b.names.containing(m.name, from, places)
	} else {
		for i := from; i < len(b.ids); i++ {
			places = append(places, uint16(i))
		}
	}
	if m.status {
		places = keepEqual(places, b.statuses, m.statusN)
	}
	if m.node {
		places = keepEqual(places, b.nodes, m.nodeN)
	}
	if m.version {
		places = keepEqual(places, b.versions, m.versionN)
	}
	if m.groups == nil {
		return places
	}
	kept := places[:0]
	for _, i := range places {
		if m.groups[b.groups[i]] {
			kept = append(kept, i)
		}
	}
	return kept
}

// keepEqual keeps those places where a column has a value.
func keepEqual[T comparable](places []uint16, column []T, value T) []uint16 {
	n := 0
	for _, i := range places {
		places[n] = i
		if column[i] == value {
			n++
		}
	}
	return places[:n]
}

// totalLocked answers from counts, if there are some for what the filter asks.
func (r *roster) totalLocked(f Filter) (total int, counted bool) {
	if f.Name != "" || f.After < 0 {
		return 0, false
	}
	var d *dictionary
	var match func(text string) bool
	switch {
	case f.Version == "" && f.Group == "":
		d, match = &r.nodes, func(text string) bool { return f.Node == "" || text == f.Node }
	case f.Node == "" && f.Group == "":
		d, match = &r.versions, func(text string) bool { return text == f.Version }
	case f.Node == "" && f.Version == "":
		d, match = &r.groups, func(text string) bool { return hasGroup(text, f.Group) }
	default:
		return 0, false
	}
	for i := range d.entries {
		if e := &d.entries[i]; match(e.text) {
			total += e.agents.of(f.Status)
		}
	}
	return total, true
}
