package filestate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"testudo/internal/sqlitedb"
)

// Filter chooses rows. The zero value is all.
type Filter struct {
	Node       string // only this node
	State      State  // only this state
	FilePrefix string // only files whose path begins so
	Limit      int    // at most so many rows; 0 is no limit
}

// Query returns the rows that f chooses from the database at path, which another
// process may be writing, sorted by node and file. A missing file is
// fs.ErrNotExist. Without a limit the result may be very long; see Walk.
func Query(ctx context.Context, path string, f Filter) ([]Row, error) {
	var rows []Row
	err := Walk(ctx, path, f, func(r Row) error {
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

// Walk hands the rows that f chooses to each, in the order of Query, without
// holding more than a page of them. An error of each ends the walk and is
// returned. While each takes its time the database may change: a row is then
// seen as it was or as it is, and none twice.
func Walk(ctx context.Context, path string, f Filter, each func(Row) error) error {
	return withDatabase(ctx, path, func(db *sqlitedb.DB) error {
		w := walk{db: db, filter: f, left: f.Limit}
		for !w.end {
			page, err := w.next(ctx)
			if err != nil {
				return err
			}
			for _, r := range page {
				if err := each(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// walk reads rows page by page, so that a slow reader does not pin one state of
// the database and make its log grow.
type walk struct {
	db         *sqlitedb.DB
	filter     Filter
	left       int    // rows until the limit, when there is one
	node, file string // of the last row read
	page       []Row
	end        bool
}

func (w *walk) next(ctx context.Context) ([]Row, error) {
	n := pageRows
	if w.filter.Limit > 0 {
		n = min(n, w.left)
	}
	query, args := w.filter.query(w.node, w.file, n)
	w.page = w.page[:0]
	err := w.db.Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, query, func(s *sqlitedb.Stmt) error {
			w.page = append(w.page, readRow(s, &w.node))
			return nil
		}, args...)
	})
	if err != nil {
		return nil, err
	}
	if len(w.page) > 0 {
		w.file = w.page[len(w.page)-1].File
	}
	w.left -= len(w.page)
	w.end = len(w.page) < n || w.filter.Limit > 0 && w.left <= 0
	return w.page, nil
}

// readRow reads the current row. node is the name of the row before and is
// shared by all rows of a node.
func readRow(s *sqlitedb.Stmt, node *string) Row {
	if name := s.ColumnText(0); name != *node {
		*node = name
	}
	return Row{
		Node: *node, File: s.ColumnText(1), State: State(s.ColumnText(2)),
		Digest: columnDigest(s, 3), Reason: s.ColumnText(4), Since: columnTime(s, 5),
	}
}

// query is the statement for at most n rows behind node and file.
func (f Filter) query(node, file string, n int) (string, []any) {
	var b strings.Builder
	var args []any
	where := func(condition string, values ...any) {
		b.WriteString(" AND " + condition)
		args = append(args, values...)
	}
	if f.Node != "" {
		where("node = ? AND file > ?", f.Node, file)
	} else {
		where("(node, file) > (?, ?)", node, file)
	}
	if f.State != "" {
		where("state = ?", string(f.State))
	}
	if f.FilePrefix != "" {
		// No UTF-8 text holds the byte 0xff, so every longer name sorts before.
		where("file >= ? AND file < ?", f.FilePrefix, f.FilePrefix+"\xff")
	}
	args = append(args, n)
	return "SELECT node, file, state, digest, reason, since FROM file_state WHERE 1" + b.String() +
		" ORDER BY node, file LIMIT ?", args
}

// Counts returns how many files of each node are in each state, from the
// database at path.
func Counts(ctx context.Context, path string) (map[string]map[State]int, error) {
	var counts map[string]map[State]int
	err := withDatabase(ctx, path, func(db *sqlitedb.DB) (err error) {
		counts, err = readCounts(ctx, db)
		return err
	})
	return counts, err
}

// Counts returns how many files of each node are in each state.
func (s *Store) Counts(ctx context.Context) (map[string]map[State]int, error) {
	counts, err := readCounts(ctx, s.database())
	if err != nil {
		return nil, fmt.Errorf("count file states in %s: %w", s.path, err)
	}
	return counts, nil
}

func readCounts(ctx context.Context, db *sqlitedb.DB) (map[string]map[State]int, error) {
	counts := make(map[string]map[State]int)
	err := db.Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, `SELECT node, state, files FROM file_count`, func(s *sqlitedb.Stmt) error {
			node := s.ColumnText(0)
			if counts[node] == nil {
				counts[node] = make(map[State]int, 4)
			}
			counts[node][State(s.ColumnText(1))] = s.ColumnInt(2)
			return nil
		})
	})
	return counts, err
}

// Nodes returns all nodes of the database at path, sorted by name.
func Nodes(ctx context.Context, path string) ([]NodeState, error) {
	var nodes []NodeState
	err := withDatabase(ctx, path, func(db *sqlitedb.DB) error {
		return db.Read(ctx, func(c *sqlitedb.Conn) error {
			return readNodes(c, func(n NodeState, _ time.Time) { nodes = append(nodes, n) })
		})
	})
	return nodes, err
}

// withDatabase opens the database at path for reading during use.
func withDatabase(ctx context.Context, path string, use func(*sqlitedb.DB) error) (err error) {
	o := options(path)
	o.Readers, o.ReadOnly = 1, true
	db, err := sqlitedb.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := use(db); err != nil {
		return fmt.Errorf("read file states from %s: %w", path, err)
	}
	return nil
}
