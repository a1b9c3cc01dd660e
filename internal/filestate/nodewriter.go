package filestate

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"testudo/internal/sqlitedb"
)

// step is one change to the tables of nodes: write when it is set, else forget.
type step struct {
	forget string
	write  *NodeState
}

// writeNodes writes the parts of all orders that are about whole nodes, in one
// transaction. A node that only has rows is entered by name.
func (s *Store) writeNodes(ctx context.Context, names []string, batch map[string]*order) error {
	now := time.Now()
	after := maps.Clone(s.nodes) // becomes true when the transaction does
	var steps []step
	for _, name := range names {
		steps = s.planNode(steps, after, name, batch[name], now)
	}
	if len(steps) > 0 {
		err := s.database().Write(ctx, func(c *sqlitedb.Conn) error { return takeSteps(c, steps, now) })
		if err != nil {
			return err
		}
	}
	s.nodes = after
	for _, o := range batch {
		o.forget, o.node = false, nil
	}
	return nil
}

// planNode appends the steps for one node and does them to the register r.
func (s *Store) planNode(steps []step, r register, name string, o *order, now time.Time) []step {
	if o.forget {
		steps = append(steps, step{forget: name})
		delete(r, name)
	}
	if o.node == nil && o.rows == nil {
		return steps
	}
	old := r[name]
	if old != nil && (o.node == nil || old.state.equal(*o.node)) {
		return steps
	}
	next := &known{state: NodeState{Node: name}, touched: now}
	if o.node != nil {
		next.state = o.node.stored()
	}
	if old != nil {
		next.picture, next.merged = old.picture, old.merged
	} else if len(r) >= s.limit {
		gone, ok := r.oldestAbsent()
		if !ok {
			s.log.Warn("Too many connected nodes: file states dropped.", slog.Int("limit", s.limit), slog.String("node", name))
			return steps
		}
		steps = append(steps, step{forget: gone})
		delete(r, gone)
	}
	r[name] = next
	return append(steps, step{write: &next.state})
}

func takeSteps(c *sqlitedb.Conn, steps []step, now time.Time) error {
	for _, st := range steps {
		if st.write != nil {
			if err := writeNode(c, *st.write, now); err != nil {
				return err
			}
			continue
		}
		for _, query := range []string{
			`DELETE FROM file_state WHERE node = ?1`,
			`DELETE FROM file_count WHERE node = ?1`,
			`DELETE FROM node_state WHERE node = ?1`,
		} {
			if err := sqlitedb.Exec(c, query, st.forget); err != nil {
				return err
			}
		}
	}
	return nil
}
