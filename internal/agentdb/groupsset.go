package agentdb

import (
	"context"
	"fmt"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// The modes of a GroupChange (docs/agentdb.md §9.2).
const (
	GroupsOverride  = "override"   // the names take the place of what the agent had
	GroupsAppend    = "append"     // the names go behind it
	GroupsEmptyOnly = "empty_only" // the names are given to agents without groups
	GroupsRemove    = "remove"     // the names are taken away; who has none left gets the default group
)

// AgentGroups is the groups of one agent in a GroupChange.
type AgentGroups struct {
	ID agent.ID

	// Groups are names by priority. "" stands for an element that was no text: it
	// fails like the name of a group that does not exist.
	Groups []string

	// Bad says that the element could not be understood: nothing of it is done,
	// and the change as a whole is an error.
	Bad bool
}

// GroupChange is a change of the groups of agents.
type GroupChange struct {
	Mode string // GroupsOverride and so on
	Sync string // the group_sync_status of the changed agents: "synced" or "syncreq"
	Data []AgentGroups
}

// setBatch is how many agents one operation of the writer changes.
const setBatch = 2048

// SetGroups changes the groups of agents. ErrSetGroups says that a part was not
// possible: an unknown group or agent, an illegal name, more than
// agent.MaxGroups. An agent for whom a name is illegal or the names too many
// keeps what it has; all else is done (docs/agentdb.md §9.2, §18.4).
func (s *Store) SetGroups(ctx context.Context, change GroupChange) error {
	switch change.Mode {
	case GroupsOverride, GroupsAppend, GroupsEmptyOnly, GroupsRemove:
	default:
		return fmt.Errorf("%w: invalid mode %q", ErrSetGroups, change.Mode)
	}
	if change.Sync != synced && change.Sync != syncReq {
		return fmt.Errorf("%w: invalid sync_status %q", ErrSetGroups, change.Sync)
	}
	var failed error
	for part := range slices.Chunk(change.Data, setBatch) {
		var partly error
		err := s.write(ctx, true, func(t *tx) (err error) {
			g := newGroupWriter(t, change.Mode, change.Sync)
			for i := range part {
				if err := g.set(&part[i]); err != nil {
					return asQuery(err)
				}
			}
			partly = g.failed
			return nil
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

// groupWriter changes the groups of agents within a transaction.
type groupWriter struct {
	t          *tx
	mode, sync string
	failed     error // the first part that was not possible

	numbers map[string]int64 // of the groups asked for; 0 is none
	names   map[int64]string
	old     []relation    // room
	rows    []relationRow // to be inserted, insertRows at most
}

func newGroupWriter(t *tx, mode, sync string) *groupWriter {
	return &groupWriter{t: t, mode: mode, sync: sync, numbers: map[string]int64{}, names: map[int64]string{}}
}

// fail records what was not possible.
func (g *groupWriter) fail(id agent.ID, what string) {
	if g.failed == nil {
		g.failed = fmt.Errorf("%w: agent %s: %s", ErrSetGroups, id, what)
	}
}

// number returns a group's id, 0 when there is no such group.
func (g *groupWriter) number(name string) (int64, error) {
	n, ok := g.numbers[name]
	if ok {
		return n, nil
	}
	n, _, err := groupNumber(g.t.c, name)
	if err != nil {
		return 0, err
	}
	g.numbers[name] = n
	if n != 0 {
		g.names[n] = name
	}
	return n, nil
}

// name is the reverse of number.
func (g *groupWriter) name(number int64) (string, error) {
	name, ok := g.names[number]
	if ok {
		return name, nil
	}
	err := sqlitedb.Select(g.t.c, "SELECT name FROM `group` WHERE id = ?1", func(st *sqlitedb.Stmt) error {
		name = st.ColumnText(0)
		return nil
	}, number)
	g.names[number] = name
	return name, err
}

// set makes the change for one agent. The error is of the database.
func (g *groupWriter) set(a *AgentGroups) error {
	if a.Bad {
		g.fail(a.ID, "cannot be read")
		return nil
	}
	if _, ok := g.t.get(a.ID); !ok {
		if len(a.Groups) > 0 {
			g.fail(a.ID, "no such agent")
		}
		return nil
	}
	old, err := relationsOf(g.t.c, a.ID, g.old[:0])
	if err != nil {
		return err
	}
	g.old = old
	if g.mode == GroupsEmptyOnly && len(old) > 0 {
		return nil
	}
	now := slices.Clone(old)
	if g.mode == GroupsOverride {
		now = now[:0]
	}
	var missing bool
	if g.mode == GroupsRemove {
		now, missing, err = g.without(a, now)
	} else {
		if !g.legal(a, len(now)) {
			return nil
		}
		now, missing, err = g.with(a.Groups, now)
	}
	if missing {
		g.fail(a.ID, "no such group")
	}
	if err != nil {
		return err
	}
	return g.replace(a.ID, old, now)
}

// legal tells whether all names can be names and are not too many.
func (g *groupWriter) legal(a *AgentGroups, had int) bool {
	for _, name := range a.Groups {
		if name != "" && agent.CheckGroupName(name) != nil {
			g.fail(a.ID, "illegal name of a group")
			return false
		}
	}
	if had+len(a.Groups) > agent.MaxGroups {
		g.fail(a.ID, "too many groups")
		return false
	}
	return true
}

// with adds the names behind the relations that are there; a name that is there
// moves. missing says that one of them is no group.
func (g *groupWriter) with(names []string, now []relation) (_ []relation, missing bool, err error) {
	next := int64(0)
	if n := len(now); n > 0 {
		next = now[n-1].priority + 1
	}
	missing, err = g.eachNumber(names, func(number int64) error {
		now = append(leave(now, number), relation{number, next})
		next++
		return nil
	})
	return now, missing, err
}

// without takes the names away. Whoever has none left meanwhile gets the default
// group.
func (g *groupWriter) without(a *AgentGroups, now []relation) (_ []relation, missing bool, err error) {
	missing, err = g.eachNumber(a.Groups, func(number int64) (err error) {
		now, err = g.orDefault(a.ID, leave(now, number))
		return err
	})
	return now, missing, err
}

// eachNumber calls do with the groups of these names. missing says that one of
// them is no group.
func (g *groupWriter) eachNumber(names []string, do func(number int64) error) (missing bool, err error) {
	for _, name := range names {
		number, err := g.number(name)
		if err != nil {
			return missing, err
		}
		if number == 0 {
			missing = true
			continue
		}
		if err := do(number); err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// leave takes a group out of relations.
func leave(now []relation, group int64) []relation {
	return slices.DeleteFunc(now, func(r relation) bool { return r.group == group })
}

// orDefault gives the default group to an agent without groups.
func (g *groupWriter) orDefault(id agent.ID, now []relation) ([]relation, error) {
	if len(now) > 0 {
		return now, nil
	}
	number, err := g.number(agent.DefaultGroup)
	if err != nil {
		return nil, err
	}
	if number == 0 {
		g.fail(id, "there is no default group")
		return now, nil
	}
	return append(now, relation{number, 0}), nil
}

// replace writes the difference between an agent's old and new relations, and
// its text.
func (g *groupWriter) replace(id agent.ID, old, now []relation) error {
	for _, r := range old {
		if !slices.Contains(now, r) {
			if err := g.t.deleteRelation(id, r.group); err != nil {
				return err
			}
		}
	}
	for _, r := range now {
		if !slices.Contains(old, r) {
			if err := g.t.insertRelation(id, r); err != nil {
				return err
			}
		}
	}
	names := make([]string, len(now))
	for i, r := range now {
		var err error
		if names[i], err = g.name(r.group); err != nil {
			return err
		}
	}
	return g.t.writeGroupText(id, agent.GroupsText(names), g.sync)
}

func (t *tx) insertRelation(id agent.ID, r relation) error {
	return t.withNumbers("INSERT INTO belongs (id_agent, id_group, priority) VALUES (?1, ?2, ?3)", int64(id), r.group, r.priority)
}

func (t *tx) deleteRelation(id agent.ID, group int64) error {
	return t.withNumbers("DELETE FROM belongs WHERE id_agent = ?1 AND id_group = ?2", int64(id), group)
}

// withNumbers runs a statement whose parameters are numbers. Unlike exec it gives
// SQLite's error as it is.
func (t *tx) withNumbers(query string, numbers ...int64) error {
	st, err := t.c.Prepare(query)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		st.BindInt64(i+1, n)
	}
	_, err = st.Step()
	return err
}
