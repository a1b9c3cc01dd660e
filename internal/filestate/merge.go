package filestate

import (
	"context"
	"errors"
	"iter"
	"time"

	"testudo/internal/manifest"
	"testudo/internal/sqlitedb"
)

// storedRow is a row as the database has it.
type storedRow struct {
	file, state, reason string
	digest              manifest.Digest
}

// change is a row to write, or to delete when its state is empty.
type change struct {
	file, reason string
	state        State
	digest       manifest.Digest
	since        int64
}

// errHeld is returned for a picture that is to wait.
var errHeld = errors.New("picture is held back")

// mergePicture makes the rows of a node equal to the picture. Both are sorted by
// file and walked side by side, so memory does not grow with their length. A
// young picture that is large and has changed is errHeld, and nothing is done.
func (s *Store) mergePicture(ctx context.Context, node string, rows iter.Seq[Row], young bool) error {
	k := s.nodes[node]
	if k == nil {
		return nil // there was no room for it
	}
	sum, err := summarise(s.seed, rows)
	if err != nil {
		return err
	}
	if k.merged && k.picture.fingerprint == sum.fingerprint {
		return nil
	}
	if young && sum.rows >= s.pageRows {
		return errHeld
	}
	k.merged = false
	m := &merge{db: s.database(), node: node, now: time.Now().UnixMilli(), rows: s.pageRows}
	for r := range rows {
		if err := m.row(ctx, r); err != nil {
			return err
		}
	}
	if err := m.finish(ctx, sum.counts); err != nil {
		return err
	}
	k.picture, k.merged = sum, true
	return nil
}

// merge is the walk through one node's rows.
type merge struct {
	db   *sqlitedb.DB
	node string
	now  int64
	rows int // in a page, and in a transaction

	read []storedRow // the page read last; its memory is used again
	page []storedRow // what of it has not been compared yet
	last string      // file of the last row of the page read before
	end  bool        // there is no further page

	changes []change
}

// row compares one row of the picture, deleting those that sort before it.
func (m *merge) row(ctx context.Context, r Row) error {
	for {
		old, err := m.peek(ctx)
		if err != nil {
			return err
		}
		if old == nil || old.file > r.File {
			break
		}
		m.page = m.page[1:]
		if old.file < r.File {
			if err := m.change(ctx, change{file: old.file}); err != nil {
				return err
			}
			continue
		}
		if old.state == string(r.State) && old.digest == r.Digest && old.reason == cleanReason(r.Reason) {
			return nil
		}
		break
	}
	since := m.now
	if !r.Since.IsZero() {
		since = r.Since.UnixMilli()
	}
	return m.change(ctx, change{
		file: r.File, state: r.State, digest: r.Digest, reason: cleanReason(r.Reason), since: since,
	})
}

// finish deletes the rows behind the end of the picture and writes the counts.
func (m *merge) finish(ctx context.Context, counts map[State]int) error {
	for {
		old, err := m.peek(ctx)
		if err != nil {
			return err
		}
		if old == nil {
			break
		}
		m.page = m.page[1:]
		if err := m.change(ctx, change{file: old.file}); err != nil {
			return err
		}
	}
	return m.db.Write(ctx, func(c *sqlitedb.Conn) error {
		if err := writeChanges(c, m.node, m.changes); err != nil {
			return err
		}
		return writeCounts(c, m.node, counts)
	})
}

// peek is the first row that has not been compared, nil at the end.
func (m *merge) peek(ctx context.Context) (*storedRow, error) {
	if len(m.page) == 0 && !m.end {
		if err := m.nextPage(ctx); err != nil {
			return nil, err
		}
	}
	if len(m.page) == 0 {
		return nil, nil
	}
	return &m.page[0], nil
}

const selectPage = `SELECT file, state, digest, reason FROM file_state
WHERE node = ?1 AND file > ?2 ORDER BY file LIMIT ?3`

// nextPage reads on behind the last row read. Changes are written behind that
// place only, so they do not disturb the walk.
func (m *merge) nextPage(ctx context.Context) error {
	m.read = m.read[:0]
	err := m.db.Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, selectPage, func(s *sqlitedb.Stmt) error {
			m.read = append(m.read, storedRow{
				file: s.ColumnText(0), state: s.ColumnText(1), digest: columnDigest(s, 2), reason: s.ColumnText(3),
			})
			return nil
		}, m.node, m.last, m.rows)
	})
	if err != nil {
		return err
	}
	if n := len(m.read); n > 0 {
		m.last = m.read[n-1].file
	}
	m.page, m.end = m.read, len(m.read) < m.rows
	return nil
}

func (m *merge) change(ctx context.Context, ch change) error {
	m.changes = append(m.changes, ch)
	if len(m.changes) < m.rows {
		return nil
	}
	err := m.db.Write(ctx, func(c *sqlitedb.Conn) error { return writeChanges(c, m.node, m.changes) })
	m.changes = m.changes[:0]
	return err
}

const (
	deleteRow  = `DELETE FROM file_state WHERE node = ?1 AND file = ?2`
	replaceRow = `REPLACE INTO file_state(node, file, state, digest, reason, since) VALUES(?1, ?2, ?3, ?4, ?5, ?6)`
)

// writeChanges applies changes. Arguments are bound by hand: this is the one
// place where hundreds of thousands of rows may pass.
func writeChanges(c *sqlitedb.Conn, node string, changes []change) error {
	for _, ch := range changes {
		query := replaceRow
		if ch.state == "" {
			query = deleteRow
		}
		stmt, err := c.Prepare(query)
		if err != nil {
			return err
		}
		stmt.BindText(1, node)
		stmt.BindText(2, ch.file)
		if ch.state != "" {
			stmt.BindText(3, string(ch.state))
			if ch.digest.IsZero() {
				stmt.BindNull(4)
			} else {
				stmt.BindBytes(4, ch.digest[:])
			}
			stmt.BindText(5, ch.reason)
			stmt.BindInt64(6, ch.since)
		}
		if _, err := stmt.Step(); err != nil {
			return err
		}
	}
	return nil
}

func writeCounts(c *sqlitedb.Conn, node string, counts map[State]int) error {
	if err := sqlitedb.Exec(c, `DELETE FROM file_count WHERE node = ?1`, node); err != nil {
		return err
	}
	for state, n := range counts {
		if err := sqlitedb.Exec(c, `INSERT INTO file_count VALUES(?1, ?2, ?3)`, node, string(state), n); err != nil {
			return err
		}
	}
	return nil
}
