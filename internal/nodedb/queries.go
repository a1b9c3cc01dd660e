package nodedb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/sqlitedb"
)

// startPage is how many rows are asked for at first; a reply that is cut halves
// it (docs/agentdb.md §6).
const startPage = 256

// errCut is returned for a reply so long that it was cut.
var errCut = errors.New("the reply is cut")

// Query asks for rows by SQL and decodes them into a slice of structs.
func Query[R any](ctx context.Context, c *Conn, statement string) (rows []R, err error) {
	payload, _, err := c.Call(ctx, "global sql "+statement)
	if err != nil {
		return nil, err
	}
	if len(payload)+len("ok ") >= replyBytes {
		return nil, errCut
	}
	if err := json.Unmarshal(payload, &rows); err != nil {
		return nil, fmt.Errorf("read the rows of the database: %w", err)
	}
	return rows, nil
}

// Walk asks for rows page by page. page writes the statement for the rows after
// an id; each is told of every row and gives its id.
func Walk[R any](ctx context.Context, c *Conn, page func(after int64, limit int) string, after int64, limit int, each func(R) (id int64, err error)) error {
	size := startPage
	for given := 0; limit == 0 || given < limit; {
		want := size
		if limit > 0 {
			want = min(size, limit-given)
		}
		rows, err := Query[R](ctx, c, page(after, want))
		if errors.Is(err, errCut) && size > 1 {
			size = max(want/2, 1)
			continue
		}
		if err != nil {
			return err
		}
		for _, r := range rows {
			if after, err = each(r); err != nil {
				return err
			}
		}
		if given += len(rows); len(rows) < want {
			return nil
		}
	}
	return nil
}

// queries asks a database service by SQL.
type queries struct{ conn *Conn }

func (q queries) list(ctx context.Context, f Filter, each func(Agent) error) (int, error) {
	totals, err := Query[countRow](ctx, q.conn, f.count())
	if err != nil {
		return 0, err
	}
	total := 0
	if len(totals) > 0 {
		total = totals[0].N
	}
	return total, Walk(ctx, q.conn, f.page, f.After, f.Limit, func(r row) (int64, error) { return r.ID, each(r.agent()) })
}

func (q queries) counts(ctx context.Context) (c Counts, err error) {
	rows, err := Query[countRow](ctx, q.conn, countStatement)
	if err != nil {
		return c, err
	}
	c = Counts{ByStatus: map[string]int{}, ByNode: map[string]map[string]int{}}
	for _, r := range rows {
		c.add(r)
	}
	return c, nil
}

func (q queries) close() error { return q.conn.Close() }

// fileBackend reads the file itself.
type fileBackend struct{ db *sqlitedb.DB }

func openFile(ctx context.Context, path string) (*fileBackend, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; the node has not run", path)
	}
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: path, ReadOnly: true, Setup: func(*sqlitedb.Conn) error { return nil }, // any schema that has the columns
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &fileBackend{db}, nil
}

func (b *fileBackend) close() error { return b.db.Close() }

func (b *fileBackend) list(ctx context.Context, f Filter, each func(Agent) error) (total int, err error) {
	limit := f.Limit
	if limit == 0 {
		limit = -1
	}
	err = b.db.Read(ctx, func(c *sqlitedb.Conn) error {
		err := sqlitedb.Select(c, f.count(), func(s *sqlitedb.Stmt) error {
			total = s.ColumnInt(0)
			return nil
		})
		if err != nil {
			return err
		}
		later, err := agentdb.LeftInJournal(c) // of a node that was killed
		if err != nil {
			return err
		}
		return sqlitedb.Select(c, f.page(f.After, limit), func(s *sqlitedb.Stmt) error {
			r := row{
				ID: s.ColumnInt64(0), Name: s.ColumnText(1), IP: s.ColumnText(2), Status: s.ColumnText(3), Node: s.ColumnText(4),
				Version: s.ColumnText(5), Groups: s.ColumnText(6), LastKeepalive: s.ColumnInt64(7),
			}
			if !s.ColumnIsNull(7) {
				r.LastKeepalive = max(r.LastKeepalive, later[agent.ID(r.ID)])
			}
			return each(r.agent())
		})
	})
	return total, err
}

func (b *fileBackend) counts(ctx context.Context) (Counts, error) {
	counts := Counts{ByStatus: map[string]int{}, ByNode: map[string]map[string]int{}}
	err := b.db.Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, countStatement, func(s *sqlitedb.Stmt) error {
			counts.add(countRow{Node: s.ColumnText(0), Status: s.ColumnText(1), N: s.ColumnInt(2)})
			return nil
		})
	})
	return counts, err
}

func idOf(a Agent) (int64, error) {
	id, err := agent.ParseID(a.ID)
	return int64(id), err
}
