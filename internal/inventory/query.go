package inventory

import (
	"context"
	"errors"
	"fmt"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// MaxReply is how many bytes of an answer the socket sends, with the word before
// it. SQL stops collecting rows beyond it.
const MaxReply = 65536

// SQL runs the first statement of the text on the agent's database and returns
// its rows as a JSON array (docs/agentdb.md §5); "[]" when it has none. An array
// longer than MaxReply ends somewhere behind that length and is no whole JSON:
// the caller cuts it. Errors: ErrQuery, ErrWriteRefused, ErrOpen, ErrClosed and
// those of the context.
func (s *Store) SQL(ctx context.Context, id agent.ID, statement string) ([]byte, error) {
	var rows []byte
	err := s.with(ctx, id, func(ctx context.Context, db *sqlitedb.DB) error {
		run := func(c *sqlitedb.Conn) (err error) {
			rows, err = runStatement(c, statement)
			return err
		}
		// Reading connections refuse to write, whatever words the text uses for it.
		err := db.Read(ctx, run)
		if !errors.Is(err, sqlitedb.ErrReadOnly) {
			return err
		}
		if !s.o.Writable {
			return ErrWriteRefused
		}
		return db.Write(ctx, run)
	})
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", id, queryError(ctx, err))
	}
	return rows, nil
}

// queryError tells the caller's end and our own sentinels from what the
// database says.
func queryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, own := range []error{ErrOpen, ErrClosed, ErrWriteRefused} {
		if errors.Is(err, own) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrQuery, err)
}

// runStatement runs one statement of a client and returns its rows. SQLite
// itself refuses what reaches beyond the database, such as ATTACH.
func runStatement(c *sqlitedb.Conn, statement string) (rows []byte, err error) {
	err = sqlitedb.Guard(c, func() error {
		rows = []byte{'['}
		err := sqlitedb.SelectOne(c, statement, func(stmt *sqlitedb.Stmt) error {
			if len(rows) > MaxReply {
				return errEnough
			}
			if len(rows) > 1 {
				rows = append(rows, ',')
			}
			rows = appendRow(rows, stmt)
			return nil
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		rows = append(rows, ']')
		return err
	})
	return rows, err
}

// errEnough ends a statement whose further rows no reply can hold.
var errEnough = errors.New("enough rows")
