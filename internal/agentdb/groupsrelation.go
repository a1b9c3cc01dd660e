package agentdb

import (
	"errors"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// relation is one of an agent's groups.
type relation struct {
	group    int64
	priority int64
}

const (
	// relationBatch is for how many agents relations are held in memory at once.
	relationBatch = 4096

	// scanSpan is how many times more ids than agents asked for a range may span
	// for being read as a whole.
	scanSpan = 4
)

// eachRelations calls fn with the relations, by priority, of each of the agents,
// whose ids ascend. What fn is given is valid during the call.
func eachRelations(c *sqlitedb.Conn, ids []agent.ID, fn func(agent.ID, []relation) error) error {
	var own []relation
	for len(ids) > 0 {
		n := min(len(ids), relationBatch)
		part := ids[:n]
		ids = ids[n:]
		if int64(part[n-1])-int64(part[0]) < int64(n)*scanSpan {
			if err := scanRelations(c, part, fn); err != nil {
				return err
			}
			continue
		}
		for _, id := range part {
			var err error
			if own, err = relationsOf(c, id, own[:0]); err != nil {
				return err
			}
			if err := fn(id, own); err != nil {
				return err
			}
		}
	}
	return nil
}

// relationsOf appends the relations of one agent.
func relationsOf(c *sqlitedb.Conn, id agent.ID, to []relation) ([]relation, error) {
	st, err := c.Prepare("SELECT id_group, priority FROM belongs WHERE id_agent = ?1 ORDER BY priority")
	if err != nil {
		return nil, err
	}
	st.BindInt64(1, int64(id))
	for {
		row, err := st.Step()
		if err != nil || !row {
			return to, err
		}
		to = append(to, relation{group: st.ColumnInt64(0), priority: st.ColumnInt64(1)})
	}
}

// scanRelations is eachRelations in one statement, over all ids from the first
// to the last.
func scanRelations(c *sqlitedb.Conn, ids []agent.ID, fn func(agent.ID, []relation) error) (err error) {
	st, err := c.Prepare("SELECT id_agent, id_group, priority FROM belongs" +
		" WHERE id_agent BETWEEN ?1 AND ?2 ORDER BY id_agent, priority")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Reset()) }()
	st.BindInt64(1, int64(ids[0]))
	st.BindInt64(2, int64(ids[len(ids)-1]))
	row, err := st.Step()
	var own []relation
	for _, id := range ids {
		own = own[:0]
		for err == nil && row {
			at := agent.ID(st.ColumnInt64(0))
			if at > id {
				break
			}
			if at == id {
				own = append(own, relation{group: st.ColumnInt64(1), priority: st.ColumnInt64(2)})
			}
			row, err = st.Step()
		}
		if err != nil {
			return err
		}
		if err := fn(id, own); err != nil {
			return err
		}
	}
	return nil
}
