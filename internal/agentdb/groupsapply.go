package agentdb

import (
	"context"
	"fmt"
	"slices"

	"testudo/internal/agent"
)

// groupList is one list of names as agents of a message have it.
type groupList struct {
	names []string
	bad   string // why the list cannot be given to anybody

	// Filled in by the writer, for its transaction.
	resolved  bool
	relations []relation
	missing   bool // one of the names is no group
	text      string
}

// assignment is the groups of one agent in a message.
type assignment struct {
	id   agent.ID
	list *groupList // nil: the element cannot be read
}

// maxLists is how many different lists of one message are kept apart at most;
// those beyond are read again for each agent.
const maxLists = 16384

// SetSyncGroups gives agents the groups in list, a JSON array of
// {"id":1,"groups":["default"]} as a master sends it. Nothing of it is to be sent
// out again. Agents that have these groups already are not written. ErrSetGroups
// says that a part was not possible, as in SetGroups; ErrSyntax that the list
// is no JSON array, of which nothing is done.
func (s *Store) SetSyncGroups(ctx context.Context, list []byte) error {
	all, err := readAssignments(string(list))
	if err != nil {
		return err
	}
	var failed error
	for part := range slices.Chunk(all, relationBatch) {
		var partly error
		err := s.write(ctx, false, func(t *tx) (err error) {
			partly, err = t.assign(part)
			return asQuery(err)
		})
		if err != nil {
			return err
		}
		if failed == nil {
			failed = partly
		}
	}
	return failed
}

// readAssignments reads a message.
func readAssignments(text string) ([]assignment, error) {
	sc := &scanner{text: text}
	known := map[string]*groupList{}
	var all []assignment
	ok := sc.array(maxDepth, func() bool {
		a, ok := sc.assignment(known)
		all = append(all, a)
		return ok
	})
	if !ok || sc.peek() != 0 || sc.at != len(text) {
		return nil, fmt.Errorf("list of groups: %w", ErrSyntax)
	}
	return all, nil
}

// assignment reads one element. Lists that are written the same are read once.
func (s *scanner) assignment(known map[string]*groupList) (a assignment, ok bool) {
	if s.peek() != '{' {
		return a, s.skip(maxDepth - 1)
	}
	numeric, seen := false, false
	ok = s.object(maxDepth-1, func(name string) bool {
		switch {
		case name == "id" && !numeric:
			var v value
			ok := s.value(&v, maxDepth-2)
			a.id, numeric = agent.ID(v.number), v.kind == number
			return ok
		case name == "groups" && !seen && s.peek() == '[':
			seen = true
			start := s.at
			if !s.skip(maxDepth - 2) {
				return false
			}
			a.list = known[s.text[start:s.at]]
			if a.list == nil {
				a.list = readGroupList(s.text[start:s.at])
				if len(known) < maxLists {
					known[s.text[start:s.at]] = a.list
				}
			}
			return true
		default:
			return s.skip(maxDepth - 2)
		}
	})
	if !numeric {
		a.list = nil
	}
	return a, ok
}

// readGroupList reads an array that skip has accepted.
func readGroupList(text string) *groupList {
	l := &groupList{}
	s := &scanner{text: text}
	s.array(maxDepth, func() bool {
		var v value
		ok := s.value(&v, maxDepth-1)
		// What is no text is like the name of a group that does not exist.
		l.names = append(l.names, v.text)
		if v.text != "" && agent.CheckGroupName(v.text) != nil {
			l.bad = "illegal name of a group"
		}
		return ok
	})
	if len(l.names) > agent.MaxGroups {
		l.bad = "too many groups"
	}
	return l
}

// assign writes a part of a message. failed is what was not possible.
func (t *tx) assign(part []assignment) (failed, err error) {
	g := newGroupWriter(t, GroupsOverride, synced)
	ids := make([]agent.ID, 0, len(part))
	good := make([]assignment, 0, len(part))
	for _, a := range part {
		switch _, known := t.get(a.id); {
		case a.list == nil:
			g.fail(a.id, "cannot be read")
		case !known:
			if len(a.list.names) > 0 {
				g.fail(a.id, "no such agent")
			}
		case a.list.bad != "":
			g.fail(a.id, a.list.bad)
		default:
			a.list.resolved = false // what it was in another transaction
			good = append(good, a)
			ids = append(ids, a.id)
		}
	}
	if !ascend(ids) {
		for i := range good {
			if err := g.assignAlone(good[i : i+1]); err != nil {
				return g.failed, err
			}
		}
		return g.failed, nil
	}
	err = g.assignAll(good, ids)
	return g.failed, err
}

func ascend(ids []agent.ID) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			return false
		}
	}
	return true
}

func (g *groupWriter) assignAlone(one []assignment) error {
	return g.assignAll(one, []agent.ID{one[0].id})
}

// assignAll writes the assignments, whose ids ascend.
func (g *groupWriter) assignAll(all []assignment, ids []agent.ID) error {
	type change struct {
		assignment
		old []relation
	}
	changes := make([]change, 0, len(all))
	room := make([]relation, 0, 2*len(all))
	i := 0
	err := eachRelations(g.t.c, ids, func(id agent.ID, of []relation) error {
		a := all[i]
		i++
		if err := g.resolve(a.list); err != nil {
			return err
		}
		if a.list.missing {
			g.fail(id, "no such group")
		}
		if r, _ := g.t.get(id); !r.regroup && r.group == a.list.text && sameGroups(of, a.list.relations) {
			return nil
		}
		from := len(room)
		room = append(room, of...)
		changes = append(changes, change{a, room[from:len(room):len(room)]})
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := g.reassign(c.id, c.old, c.list); err != nil {
			return err
		}
	}
	return g.flush()
}

// sameGroups compares groups and their order; gaps in the numbers do not count.
func sameGroups(a, b []relation) bool {
	return slices.EqualFunc(a, b, func(a, b relation) bool { return a.group == b.group })
}

// resolve finds the groups of a list in the transaction's state.
func (g *groupWriter) resolve(l *groupList) error {
	if l.resolved {
		return nil
	}
	now, missing, err := g.with(l.names, l.relations[:0])
	if err != nil {
		return err
	}
	names := make([]string, len(now))
	for i, r := range now {
		names[i] = g.names[r.group]
	}
	l.relations, l.missing, l.text, l.resolved = now, missing, agent.GroupsText(names), true
	return nil
}

// reassign replaces an agent's relations by those of a list. What is new waits in
// the writer's rows until flush.
func (g *groupWriter) reassign(id agent.ID, old []relation, l *groupList) error {
	for _, r := range old {
		if slices.Contains(l.relations, r) {
			continue
		}
		// Of an agent that moved from one group to another only this changes.
		i := slices.IndexFunc(l.relations, func(n relation) bool { return n.priority == r.priority })
		var err error
		if i >= 0 && !slices.ContainsFunc(old, func(o relation) bool { return o.group == l.relations[i].group }) {
			err = g.t.changeRelation(id, l.relations[i])
		} else {
			err = g.t.deleteRelation(id, r.group)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range l.relations {
		if slices.ContainsFunc(old, func(o relation) bool {
			return o == r || o.priority == r.priority &&
				!slices.ContainsFunc(old, func(o relation) bool { return o.group == r.group })
		}) {
			continue // it is there, or has become so above
		}
		g.rows = append(g.rows, relationRow{id, r})
		if len(g.rows) == insertRows {
			if err := g.flush(); err != nil {
				return err
			}
		}
	}
	return g.t.writeGroupText(id, l.text, g.sync)
}

// changeRelation gives an agent another group at a priority.
func (t *tx) changeRelation(id agent.ID, r relation) error {
	return t.withNumbers("UPDATE belongs SET id_group = ?2 WHERE id_agent = ?1 AND priority = ?3", int64(id), r.group, r.priority)
}

// relationRow is a row of the table of relations.
type relationRow struct {
	id agent.ID
	relation
}

// insertRows is how many rows one statement inserts: in half the time of as many
// statements.
const insertRows = 100

// flush inserts the rows that wait.
func (g *groupWriter) flush() error {
	rows := g.rows
	g.rows = g.rows[:0]
	if len(rows) < insertRows {
		for _, r := range rows {
			if err := g.t.insertRelation(r.id, r.relation); err != nil {
				return err
			}
		}
		return nil
	}
	st, err := g.t.c.Prepare(insertManyRelations)
	if err != nil {
		return err
	}
	for i, r := range rows {
		st.BindInt64(3*i+1, int64(r.id))
		st.BindInt64(3*i+2, r.group)
		st.BindInt64(3*i+3, r.priority)
	}
	_, err = st.Step()
	return err
}

// insertManyRelations inserts insertRows rows.
const insertManyRelations = "INSERT INTO belongs (id_agent, id_group, priority) VALUES " +
	rows10 + rows10 + rows10 + rows10 + rows10 + rows10 + rows10 + rows10 + rows10 + rows9 + "(?, ?, ?)"

const (
	rows9  = "(?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), "
	rows10 = rows9 + "(?, ?, ?), "
)
