package agentdb

import (
	"context"
	"strings"

	"testudo/internal/sqlitedb"
)

// Query calls each with every row of a statement that only reads; args are the
// values of its parameters. It sees one committed state, and ends after
// Options.QueryTime. The column sync_status may lag behind what other methods
// say; last_keepalive does not, if the statement names it. Of these statements
// the last few stay prepared. A QueryError is what the database says of it.
func (s *Store) Query(ctx context.Context, statement string, args []any, each func(*sqlitedb.Stmt) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.QueryTime)
	defer cancel()
	if strings.Contains(statement, "last_keepalive") {
		s.journal.rest()
		if err := s.catchUpKeepalives(ctx); err != nil {
			return err
		}
	}
	return s.read(ctx, func(c *sqlitedb.Conn) error { return s.recent.Select(c, statement, each, args...) })
}
