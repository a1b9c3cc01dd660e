package keystore

import (
	"fmt"
	"time"
)

// plan is what a batch of operations makes of a table, before anything of it is
// written. Positions go on from the table's lines to those that are added.
type plan struct {
	base    *table
	fresh   *table       // what is added
	gone    map[int]bool // lines of base that go; true: without a line that says so
	dropped map[int]bool // the same of fresh
	highest int          // number of an id
	now     time.Time
}

func newPlan(base *table, highest int, now time.Time) *plan {
	return &plan{
		base: base, fresh: newTable(0), gone: map[int]bool{}, dropped: map[int]bool{},
		highest: highest, now: now.Truncate(time.Second),
	}
}

// place is a live line of a plan.
type place struct {
	fresh bool
	at    int
}

func (p *plan) line(at place) *line {
	if at.fresh {
		return &p.fresh.lines[at.at]
	}
	return &p.base.lines[at.at]
}

// find looks a key up in one of the indexes.
func (p *plan) find(of func(*table) *index, key string) (place, bool) {
	if at := of(p.base).find(p.base.lines, key, p.gone); at >= 0 {
		return place{false, at}, true
	}
	at := of(p.fresh).find(p.fresh.lines, key, p.dropped)
	return place{true, at}, at >= 0
}

func byID(t *table) *index      { return &t.ids }
func byName(t *table) *index    { return &t.names }
func byAddress(t *table) *index { return &t.addresses }

// drop marks a line as gone and returns how to take that back.
func (p *plan) drop(at place, purge bool) (undo func()) {
	list := p.gone
	if at.fresh {
		list = p.dropped
	}
	list[at.at] = purge
	return func() { delete(list, at.at) }
}

// rewrites tells whether the file has to be written anew.
func (p *plan) rewrites() bool { return len(p.gone) > 0 || len(p.dropped) > 0 }

// holds tells whether an entry is there, just as it is.
func (p *plan) holds(e Entry) bool {
	at, ok := p.find(byID, e.ID)
	return ok && p.line(at).entry().Same(e)
}

// remove takes a line away.
func (p *plan) remove(id string, purge bool) (Entry, error) {
	at, ok := p.find(byID, id)
	if !ok {
		return Entry{}, ErrUnknown
	}
	e := p.line(at).entry()
	p.drop(at, purge)
	return e, nil
}

// add adds an entry, or changes nothing.
func (p *plan) add(a *Addition, purge bool) (e Entry, err error) {
	var undo []func()
	defer func() {
		if err != nil {
			for _, f := range undo {
				f()
			}
		}
	}()
	for _, old := range a.Replace {
		if at, ok := p.find(byID, old.ID); ok && p.line(at).entry().Same(old) {
			undo = append(undo, p.drop(at, purge))
		}
	}
	if err := p.conflict(a); err != nil {
		return Entry{}, err
	}
	e = a.Entry
	if e.ID == "" {
		if p.highest >= maxID {
			return Entry{}, ErrNoID
		}
		e.ID = fmt.Sprintf("%03d", p.highest+1)
	}
	if e.Added.IsZero() {
		e.Added = p.now
	}
	l := newLine(e, live)
	p.fresh.add(l)
	p.highest = max(p.highest, p.fresh.highest)
	return l.entry(), nil
}

// conflict finds what is in the way of an addition.
func (p *plan) conflict(a *Addition) error {
	asked := a.Asked
	if asked == "" {
		asked = a.Address
	}
	for _, c := range []struct {
		of  func(*table) *index
		key string
		err error
	}{{byID, a.ID, ErrDuplicateID}, {byAddress, asked, ErrDuplicateAddress}, {byName, a.Name, ErrDuplicateName}} {
		if at, ok := p.find(c.of, c.key); ok {
			return &ConflictError{Err: c.err, Present: p.line(at).entry()}
		}
	}
	return nil
}

// rewritten is the table that the plan makes, with removed lines behind all
// others, the latest last. purge leaves these out.
func (p *plan) rewritten(purge bool) *table {
	t := newTable(len(p.base.lines) + len(p.fresh.lines))
	var before, now []line // removed
	take := func(lines []line, gone map[int]bool) {
		for at := range lines {
			l := &lines[at]
			purged, goes := gone[at]
			switch {
			case !goes && l.kind != removed:
				t.add(*l)
			case purge || purged:
			case goes:
				now = append(now, newLine(l.entry(), removed))
			default:
				before = append(before, *l)
			}
		}
	}
	take(p.base.lines, p.gone)
	take(p.fresh.lines, p.dropped)
	for _, l := range append(before, now...) {
		t.add(l)
	}
	return t
}
