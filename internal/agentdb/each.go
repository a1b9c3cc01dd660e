package agentdb

import (
	"context"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// eachAgents is how many agents EachAgent looks up while writers wait.
const eachAgents = 4096

// EachAgent calls f with the id and name of every agent, agent 0 among them, by
// ascending id. Agents that come or go meanwhile may be met or not. It does not
// look at the file.
func (s *Store) EachAgent(ctx context.Context, f func(id agent.ID, name string)) error {
	type named struct {
		id   agent.ID
		name string
	}
	piece := make([]named, 0, eachAgents)
	for after := agent.ID(-1); ; after = piece[len(piece)-1].id {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece = piece[:0]
		s.roster.mu.RLock()
		for p := range s.roster.afterLocked(after) {
			if piece = append(piece, named{p.id(), p.name()}); len(piece) == eachAgents {
				break
			}
		}
		s.roster.mu.RUnlock()
		if len(piece) == 0 {
			return nil
		}
		for _, a := range piece {
			f(a.id, a.name)
		}
	}
}

// GroupNames returns the names of all groups in the order in which they were
// made; unlike the page of Groups it has no bound.
func (s *Store) GroupNames(ctx context.Context) (names []string, err error) {
	err = s.read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "SELECT name FROM `group` ORDER BY id", func(st *sqlitedb.Stmt) error {
			names = append(names, st.ColumnText(0))
			return nil
		})
	})
	return names, err
}
