package keyhistory

import (
	"slices"
	"strings"
)

// checkAnswer judges what one client was told.
func (c *checking) checkAnswer(r *Registration) {
	switch r.Outcome {
	case Done:
		if r.Entry.Name != r.Name || !isNumber(r.Entry.ID) || bare(r.Entry.Address) != r.Address {
			c.find(Wrong, "%s (%s) got %s %s %s", r.Name, r.Address, r.Entry.ID, r.Entry.Name, r.Entry.Address)
		}
		c.checkStays(r)
	case Refused:
		c.checkRefusal(r)
	case Unknown:
	}
}

// checkStays looks whether an agent that was told its key has it still, or lost it
// for a reason.
func (c *checking) checkStays(r *Registration) {
	if e, ok := c.liveByID[r.Entry.ID]; ok && e.Name == r.Entry.Name && e.Key == r.Entry.Key {
		return
	}
	removal := c.removal(r)
	replacement := c.replacement(r)
	if removal == nil && replacement == nil {
		c.find(Lost, "%s (%s), answered by %q at %d; %d others asked for the name", r.Entry.ID, r.Name, r.Node, r.End, len(c.byName[r.Name])-1)
		return
	}
	if _, ok := c.goneByID[r.Entry.ID]; c.KeepsRemoved && !ok && !c.mayBePurged(r, removal) {
		c.find(LineGone, "%s (%s)", r.Entry.ID, r.Name)
	}
}

func (c *checking) mayBePurged(r *Registration, removal *Removal) bool {
	return removal != nil && slices.ContainsFunc(c.removalsByID[r.Entry.ID], func(o *Removal) bool { return o.Purge })
}

// removal is one that may have removed the agent.
func (c *checking) removal(r *Registration) *Removal {
	for _, o := range c.removalsByID[r.Entry.ID] {
		if o.Outcome != Refused {
			return o
		}
	}
	return nil
}

// replacement is a registration that may have taken the place of another.
func (c *checking) replacement(r *Registration) *Registration {
	rivals := slices.Clone(c.byName[r.Name])
	if r.Address != anyAddress {
		rivals = append(rivals, c.byAddress[r.Address]...)
	}
	for _, o := range rivals {
		if o == r || o.Entry == r.Entry && o.Outcome == Done || o.Outcome == Refused || c.effect(o).before(r.Span) {
			continue
		}
		if o.Forced || c.undelivered(r, o) {
			return o
		}
	}
	return nil
}

// effect is the span in which a registration may have been carried out.
func (c *checking) effect(r *Registration) Span {
	s := r.Span
	if r.Outcome == Unknown {
		s.End = never
	}
	return s
}

// undelivered says whether, when a later registration was decided, it could not be
// known that the earlier agent has its key (docs/extensions.md).
func (c *checking) undelivered(r, later *Registration) bool {
	if r.Start == 0 {
		return false // was there before
	}
	if !r.before(later.Span) {
		return true
	}
	if r.Node != c.Master && later.Began.Sub(r.Over) < c.Grace {
		return true
	}
	return slices.ContainsFunc(c.disturbances, func(d *Disturbance) bool {
		return (d.Node == r.Node || d.Node == c.Master || r.Node == "") && d.End > r.Start && d.Start < c.effect(later).End
	})
}

// checkRefusal looks for what a refusal may have had as its reason. Only duplicates
// are; other texts are the concern of other tests.
func (c *checking) checkRefusal(r *Registration) {
	if !strings.HasPrefix(r.Text, "Duplicate ") {
		return
	}
	rivals := slices.Clone(c.byName[r.Name])
	if r.Address != anyAddress {
		rivals = append(rivals, c.byAddress[r.Address]...)
	}
	own := false
	for _, o := range rivals {
		switch {
		case o == r || o.Outcome == Refused || o.Start > r.End || c.goneBefore(o, r):
		case o.Outcome == Unknown && o.Agent == r.Agent && !o.Broken:
			own = true
		default:
			return
		}
	}
	if own {
		c.find(ShutOut, "%s (agent %s) at %q: %s", r.Name, r.Agent, r.Node, r.Text)
	} else {
		c.find(NoReason, "%s (agent %s) at %q: %s", r.Name, r.Agent, r.Node, r.Text)
	}
}

// goneBefore says that an agent had certainly been removed before a request.
func (c *checking) goneBefore(o, r *Registration) bool {
	return o.Outcome == Done && slices.ContainsFunc(c.removalsByID[o.Entry.ID], func(m *Removal) bool {
		return m.Outcome == Done && m.before(r.Span)
	})
}

// checkLines looks for lines of client.keys that nobody asked for. A worker may
// have asked its master several times for one request: all but the last then left
// nothing but, perhaps, the line of a removed agent.
func (c *checking) checkLines() {
	asked := func(e Entry, live bool) bool {
		return slices.ContainsFunc(c.byName[e.Name], func(r *Registration) bool {
			switch {
			case r.Outcome == Done && r.Entry.ID == e.ID:
				return true
			case r.Outcome == Unknown || !live && r.Node != c.Master:
				return r.Address == bare(e.Address)
			}
			return false
		})
	}
	for _, e := range c.live {
		if !asked(e, true) {
			c.find(NotAsked, "%s %s %s", e.ID, e.Name, e.Address)
		}
	}
	for _, e := range c.gone {
		if !asked(e, false) {
			c.find(NotAsked, "%s %s %s, removed", e.ID, e.Name, e.Address)
		}
	}
}

// checkRemovals judges removals: what was removed is gone, and only once.
func (c *checking) checkRemovals() {
	for id, all := range c.removalsByID {
		done := 0
		for _, r := range all {
			if r.Outcome == Done {
				done++
			}
		}
		if _, ok := c.liveByID[id]; ok && done > 0 {
			c.find(NotRemoved, "%s", id)
		}
		if done > 1 {
			c.find(RemovedTwice, "%s", id)
		}
	}
}

// checkRows compares a database with client.keys of the master.
func (c *checking) checkRows(n Final) {
	if n.Rows == nil {
		return
	}
	rows := map[int]Entry{}
	for _, e := range n.Rows {
		rows[number(e.ID)] = e
	}
	for _, e := range c.live {
		row, ok := rows[number(e.ID)]
		delete(rows, number(e.ID))
		switch {
		case !ok:
			c.find(Row, "%s has no row of %s (%s)", n.Node, e.ID, e.Name)
		case row.Name != e.Name || row.Key != e.Key || bare(row.Address) != bare(e.Address):
			c.find(Row, "%s has %s as %s %s (same key: %t), client.keys as %s %s",
				n.Node, e.ID, row.Name, row.Address, row.Key == e.Key, e.Name, e.Address)
		}
	}
	for id, row := range rows {
		c.find(Row, "%s has a row of %03d (%s), which has no key", n.Node, id, row.Name)
	}
}
