package agentdb

import (
	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// tx is what an operation of the writer works with: the connection, inside a
// transaction, and the agents as that transaction has left them so far.
//
// An operation that changes one of the columns which a record holds, or adds or
// removes an agent, must say so with edit, add or remove, after the statement
// has succeeded. The roster takes it over when the transaction is committed.
type tx struct {
	s    *Store
	c    *sqlitedb.Conn
	time int64 // seconds since 1970, one for the whole transaction

	changed       map[agent.ID]int // index in records; -1 is an agent that was removed
	records       []record
	lazy          [lazyKinds][]lazyWrite // see touch
	queries       map[lazyKey]string
	setAllQueries [8]string // see setAllQuery
	news          journalNews
	follows       map[agent.ID]bool // see foresee
	groups        bool              // what makes up the global hash has changed
	reload        bool              // anything may have changed
}

func newTx(s *Store) *tx {
	return &tx{s: s, changed: make(map[agent.ID]int), queries: make(map[lazyKey]string)}
}

// reset forgets the last transaction.
func (t *tx) reset() {
	if len(t.changed) > keepChanged {
		t.changed, t.records = make(map[agent.ID]int), nil
	}
	clear(t.changed)
	clear(t.records)
	clear(t.follows)
	t.records = t.records[:0]
	t.groups, t.reload = false, false
	t.resetLazy()
	t.news.reset(t.s.journal.number)
}

// keepChanged is for how many changed agents the memory is kept.
const keepChanged = 8192

// exec runs a statement with the values of its parameters; a *string that is nil
// is NULL.
func (t *tx) exec(query string, args ...any) error {
	return asQuery(sqlitedb.Exec(t.c, query, plainArgs(args)...))
}

// plainArgs replaces pointers by what they point to.
func plainArgs(args []any) []any {
	for i, a := range args {
		if p, ok := a.(*string); ok {
			args[i] = nil
			if p != nil {
				args[i] = *p
			}
		}
	}
	return args
}

// get returns the agent's record as this transaction has left it.
func (t *tx) get(id agent.ID) (record, bool) {
	if i, ok := t.changed[id]; ok {
		if i < 0 {
			return record{}, false
		}
		return t.records[i], true
	}
	return t.s.roster.get(id)
}

// edit returns the agent's record for changing, nil when there is no such agent.
// It is valid until the next call of edit or add.
func (t *tx) edit(id agent.ID) *record {
	if i, ok := t.changed[id]; ok {
		if i < 0 {
			return nil
		}
		return &t.records[i]
	}
	r, ok := t.s.roster.get(id)
	if !ok {
		return nil
	}
	t.changed[id] = len(t.records)
	t.records = append(t.records, r)
	return &t.records[len(t.records)-1]
}

// add takes in a new agent.
func (t *tx) add(r record) {
	t.changed[r.id] = len(t.records)
	t.records = append(t.records, r)
}

// remove drops an agent.
func (t *tx) remove(id agent.ID) { t.changed[id] = -1 }

// touchGroups says that the global hash of the groups has to be made anew.
func (t *tx) touchGroups() { t.groups = true }

// reloadRoster says that agents were changed in ways not told to edit, add and
// remove: all records are read again after the commit.
func (t *tx) reloadRoster() { t.reload = true }
