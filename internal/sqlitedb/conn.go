package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Conn is one connection to a database, usable by one goroutine at a time.
type Conn = sqlite.Conn

// Stmt is a prepared statement of one Conn.
type Stmt = sqlite.Stmt

// Exec runs a single statement with the given values for its parameters ?1, ?2
// and so on (integers, floats, []byte, string, bool) and drops any rows. The
// statement stays prepared on c for the next call with the same text.
func Exec(c *Conn, query string, args ...any) error {
	return sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args})
}

// Select is Exec, handing each row to each. An error of each ends the statement
// and is returned. The Stmt is valid during the call only.
func Select(c *Conn, query string, each func(*Stmt) error, args ...any) error {
	return sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args, ResultFunc: each})
}

// SelectOnce is Select for a statement that is not worth keeping prepared, such
// as one that a user has shaped.
func SelectOnce(c *Conn, query string, each func(*Stmt) error, args ...any) error {
	return sqlitex.ExecuteTransient(c, query, &sqlitex.ExecOptions{Args: args, ResultFunc: each})
}

// Blob returns a copy of the bytes in column col of the current row; nil when
// the column is NULL or empty.
func Blob(s *Stmt, col int) []byte {
	n := s.ColumnLen(col)
	if n == 0 {
		return nil
	}
	out := make([]byte, n)
	return out[:s.ColumnBytes(col, out)]
}

// leaveGrace is how long leaving the write-ahead log may wait for a lock.
const leaveGrace = time.Second

// leaveWAL folds the write-ahead log into the file and goes back to a rollback
// journal. Where another process has the database open nothing happens, and
// nothing is lost: the log is as good a form.
func leaveWAL(c *Conn) {
	wait, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	c.SetInterrupt(wait.Done())
	defer c.SetInterrupt(nil)
	_ = sqlitex.ExecuteTransient(c, "PRAGMA journal_mode = DELETE", nil)
}

// usualText is room for most texts.
const usualText = 128

// AppendColumn appends the text of column col of the current row to dst, without
// the detour over a string.
func AppendColumn(dst []byte, s *Stmt, col int) []byte {
	dst = slices.Grow(dst, usualText)
	room := dst[len(dst):cap(dst)]
	n := s.ColumnBytes(col, room)
	if n == len(room) { // to ask all texts for their length would take longer
		n = s.ColumnLen(col)
		dst = slices.Grow(dst, n)
		s.ColumnBytes(col, dst[len(dst):len(dst)+n])
	}
	return dst[:len(dst)+n]
}

// The types of a value in a column.
const (
	TypeInteger = sqlite.TypeInteger
	TypeFloat   = sqlite.TypeFloat
	TypeText    = sqlite.TypeText
	TypeBlob    = sqlite.TypeBlob
	TypeNull    = sqlite.TypeNull
)

// pragma runs "PRAGMA name = value" without keeping the statement.
func pragma(c *Conn, name, value string) error {
	if err := sqlitex.ExecuteTransient(c, "PRAGMA "+name+" = "+value, nil); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// pragmaInt reads an integer pragma.
func pragmaInt(c *Conn, name string) (int64, error) {
	var v int64
	err := sqlitex.ExecuteTransient(c, "PRAGMA "+name, &sqlitex.ExecOptions{
		ResultFunc: func(s *Stmt) error {
			v = s.ColumnInt64(0)
			return nil
		},
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return v, nil
}

// harden sets what every connection gets. A database that somebody else wrote to
// must not be able to run functions or corrupt itself through its schema.
//
// SQLite's defensive mode is not among it: the library passes one argument where
// SQLite takes two (v1.4.2, Conn.SetDefensive), so that SQLite writes to wherever
// the memory behind happens to point. What the mode forbids Guard forbids where
// statements are not our own.
func harden(c *Conn, cacheKiB int) error {
	for _, p := range [][2]string{
		{"trusted_schema", "OFF"},
		{"cell_size_check", "ON"},
		{"foreign_keys", "ON"},
		{"cache_size", fmt.Sprintf("-%d", cacheKiB)},
	} {
		if err := pragma(c, p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}

// SelectOne is Select for a statement that is not worth keeping prepared. Text
// after the statement is ignored.
func SelectOne(c *Conn, query string, each func(*Stmt) error) (err error) {
	s, _, err := c.PrepareTransient(query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Finalize()) }() //nolint:misspell // the library's spelling
	for {
		row, err := s.Step()
		if err != nil || !row {
			return err
		}
		if err := each(s); err != nil {
			return err
		}
	}
}
