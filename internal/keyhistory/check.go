package keyhistory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Kind is what a finding is about.
type Kind string

// The kinds of findings.
const (
	IDTwice      Kind = "an id was given twice"
	IDBack       Kind = "an id is lower than one that was given before"
	KeyTwice     Kind = "a key was given twice"
	Lost         Kind = "a key that was answered is lost"
	NotRemoved   Kind = "a removed agent is there"
	RemovedTwice Kind = "an agent was removed twice"
	NotAsked     Kind = "a key that nobody asked for"
	ShutOut      Kind = "an agent is shut out by its own lost answer"
	NoReason     Kind = "a refusal without a reason"
	Wrong        Kind = "an answer that is not to the question"
	File         Kind = "client.keys is spoilt"
	Differ       Kind = "nodes differ"
	Row          Kind = "database and client.keys differ"
	LineGone     Kind = "a removed agent has no line"
)

// Finding is something that cannot be.
type Finding struct {
	Kind Kind
	Text string
}

// String is the finding in a line.
func (f Finding) String() string { return string(f.Kind) + ": " + f.Text }

// checking is a Check under way.
type checking struct {
	*History
	file
	findings []Finding

	byName, byAddress map[string][]*Registration
	liveByID          map[string]Entry
	goneByID          map[string]Entry
	removalsByID      map[string][]*Removal
}

// Check judges a history by what the nodes have in the end; the master is the first
// of them. Nothing may still be under way.
func (h *History) Check(nodes ...Final) []Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &checking{
		History: h, file: readFile(nodes[0].Keys),
		byName: map[string][]*Registration{}, byAddress: map[string][]*Registration{},
		liveByID: map[string]Entry{}, goneByID: map[string]Entry{}, removalsByID: map[string][]*Removal{},
	}
	c.checkFile(nodes)
	c.index()
	c.checkIDs()
	c.checkOrder()
	for _, r := range h.registrations {
		c.checkAnswer(r)
	}
	for _, e := range h.Initial {
		c.checkStays(initial(e))
	}
	c.checkLines()
	c.checkRemovals()
	for _, n := range nodes {
		c.checkRows(n)
	}
	return c.findings
}

func (c *checking) find(k Kind, format string, args ...any) {
	c.findings = append(c.findings, Finding{k, fmt.Sprintf(format, args...)})
}

// initial is an agent that was there before as a registration before all others.
func initial(e Entry) *Registration {
	return &Registration{Name: e.Name, Address: bare(e.Address), Outcome: Done, Entry: e}
}

func (c *checking) index() {
	all := slices.Clone(c.registrations)
	for _, e := range c.Initial {
		all = append(all, initial(e))
	}
	for _, r := range all {
		c.byName[r.Name] = append(c.byName[r.Name], r)
		if r.Address != anyAddress {
			c.byAddress[r.Address] = append(c.byAddress[r.Address], r)
		}
	}
	for _, r := range c.removals {
		c.removalsByID[r.ID] = append(c.removalsByID[r.ID], r)
	}
}

// checkFile looks at the files themselves: equal on all nodes, each id, name and
// address once.
func (c *checking) checkFile(nodes []Final) {
	for _, n := range nodes[1:] {
		if string(n.Keys) != string(nodes[0].Keys) {
			c.find(Differ, "client.keys of %s has %d bytes, that of %s %d: %s",
				n.Node, len(n.Keys), nodes[0].Node, len(nodes[0].Keys), difference(nodes[0].Keys, n.Keys))
		}
	}
	for _, line := range c.bad {
		c.find(File, "line %q", line)
	}
	names, addresses := map[string]string{}, map[string]string{}
	for _, e := range c.live {
		if other, ok := c.liveByID[e.ID]; ok {
			c.find(IDTwice, "%s is %s and %s", e.ID, other.Name, e.Name)
		}
		if other, ok := names[e.Name]; ok {
			c.find(File, "agents %s and %s are both named %s", other, e.ID, e.Name)
		}
		if other, ok := addresses[bare(e.Address)]; ok && e.Address != anyAddress {
			c.find(File, "agents %s and %s both have the address %s", other, e.ID, e.Address)
		}
		c.liveByID[e.ID], names[e.Name], addresses[bare(e.Address)] = e, e.ID, e.ID
	}
	for _, e := range c.gone {
		if other, ok := c.goneByID[e.ID]; ok {
			c.find(IDTwice, "removed agent %s was %s and %s", e.ID, other.Name, e.Name)
		}
		if other, ok := c.liveByID[e.ID]; ok {
			c.find(IDTwice, "%s was %s and is %s", e.ID, e.Name, other.Name)
		}
		c.goneByID[e.ID] = e
	}
}

// difference is the first line in which two files differ.
func difference(a, b []byte) string {
	left, right := readFile(a), readFile(b)
	for i := range max(len(left.live), len(right.live)) {
		var x, y Entry
		if i < len(left.live) {
			x = left.live[i]
		}
		if i < len(right.live) {
			y = right.live[i]
		}
		if x != y {
			return fmt.Sprintf("entry %d is %s %s, not %s %s", i+1, y.ID, y.Name, x.ID, x.Name)
		}
	}
	return fmt.Sprintf("%d and %d removed agents, or other lines", len(left.gone), len(right.gone))
}

// checkIDs looks for ids and keys that two were given.
func (c *checking) checkIDs() {
	ids, keys := map[string]Entry{}, map[string]Entry{}
	for _, e := range c.Initial {
		ids[e.ID], keys[e.Key] = e, e
	}
	for _, r := range c.registrations {
		if r.Outcome != Done {
			continue
		}
		if other, ok := ids[r.Entry.ID]; ok {
			c.find(IDTwice, "%s was given to %s and to %s", r.Entry.ID, other.Name, r.Name)
		}
		if other, ok := keys[r.Entry.Key]; ok {
			c.find(KeyTwice, "to %s (%s) and to %s (%s)", other.ID, other.Name, r.Entry.ID, r.Name)
		}
		ids[r.Entry.ID], keys[r.Entry.Key] = r.Entry, r.Entry
	}
	for _, e := range slices.Concat(c.live, c.gone) {
		if given, ok := ids[e.ID]; ok && (given.Name != e.Name || given.Key != e.Key) {
			c.find(IDTwice, "%s was given to %s and is that of %s in client.keys, or has another key", e.ID, given.Name, e.Name)
		}
	}
}

// checkOrder looks for an id that is not above all that had been given before it was
// asked for.
func (c *checking) checkOrder() {
	var ended, begun []*Registration
	for _, r := range c.registrations {
		if r.Outcome == Done {
			ended = append(ended, r)
		}
	}
	begun = slices.Clone(ended)
	slices.SortFunc(ended, func(a, b *Registration) int { return cmp.Compare(a.End, b.End) })
	slices.SortFunc(begun, func(a, b *Registration) int { return cmp.Compare(a.Start, b.Start) })
	highest, next := 0, 0
	for _, e := range c.Initial {
		highest = max(highest, number(e.ID))
	}
	for _, r := range begun {
		for ; next < len(ended) && ended[next].before(r.Span); next++ {
			highest = max(highest, number(ended[next].Entry.ID))
		}
		if id := number(r.Entry.ID); id <= highest {
			c.find(IDBack, "%s got %s after %03d had been given", r.Name, r.Entry.ID, highest)
		}
	}
}

func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	return n
}
