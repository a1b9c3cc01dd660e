package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// Sync stores one record of an agent's inventory (docs/agentdb.md §12). kind is
// what it is of ("packages"), operation INSERTED or MODIFIED, which both mean
// that it is so now, or DELETED. record is a JSON object. Errors: ErrSync,
// ErrOpen, ErrClosed and those of the context.
//
// Unlike the original, numbers are kept up to 63 bits, and records whose key is
// empty replace one another.
func (s *Store) Sync(ctx context.Context, id agent.ID, kind, operation string, record []byte) error {
	err := s.sync(ctx, id, kind, operation, record)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case !errors.Is(err, ErrOpen) && !errors.Is(err, ErrClosed):
		err = fmt.Errorf("%w: %w", ErrSync, err)
	}
	return fmt.Errorf("agent %s: %s %s: %w", id, operation, kind, err)
}

func (s *Store) sync(ctx context.Context, id agent.ID, kind, operation string, record []byte) error {
	table, ok := tableOf(kind)
	if !ok {
		return errors.New("unknown kind of record")
	}
	if operation != "INSERTED" && operation != "MODIFIED" && operation != "DELETED" {
		return errors.New("unknown operation")
	}
	r, err := readRecord(table, record)
	if err != nil {
		return err
	}
	return s.with(ctx, id, func(ctx context.Context, db *sqlitedb.DB) error {
		return db.Write(ctx, func(c *sqlitedb.Conn) error {
			if operation == "DELETED" {
				return sqlitedb.Exec(c, "DELETE FROM "+table.name+table.where(), r.keys...)
			}
			return r.store(c, table)
		})
	})
}

// record is a record's values, ready to be written.
type record struct {
	keys   []any // of the columns that are key
	insert []any // of all columns
	update []any // of all columns, where what is absent is NULL
}

func readRecord(t syncTable, data []byte) (r record, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		return r, err
	}
	if members == nil || d.More() {
		return r, errors.New("not one JSON object")
	}
	for _, c := range t.columns {
		name := c.member
		if name == "" {
			name = c.name
		}
		insert, update, err := c.rule.values(members[name])
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		r.insert = append(r.insert, insert)
		r.update = append(r.update, update)
		if c.key {
			r.keys = append(r.keys, insert)
		}
	}
	return r, nil
}

// where finds the row by its key.
func (t syncTable) where() string {
	var b strings.Builder
	b.WriteString(" WHERE scan_id = 0")
	n := 0
	for _, c := range t.columns {
		if c.key {
			n++
			fmt.Fprintf(&b, " AND %s IS ?%d", c.name, n)
		}
	}
	return b.String()
}

// store updates the row or inserts it.
func (r record) store(c *sqlitedb.Conn, t syncTable) error {
	args := append([]any{}, r.keys...)
	var sets []string
	for i, col := range t.columns {
		if !col.key {
			args = append(args, r.update[i])
			sets = append(sets, fmt.Sprintf("%s = ?%d", col.name, len(args)))
		}
	}
	if err := sqlitedb.Exec(c, "UPDATE "+t.name+" SET "+strings.Join(sets, ", ")+t.where(), args...); err != nil {
		return err
	}
	if c.Changes() > 0 {
		return nil
	}
	var names, marks []string
	args = args[:0]
	put := func(name string, value any) {
		args = append(args, value)
		names = append(names, name)
		marks = append(marks, fmt.Sprintf("?%d", len(args)))
	}
	for _, k := range t.kept {
		put(k.name, k.value)
	}
	for i, col := range t.columns {
		put(col.name, r.insert[i])
	}
	return sqlitedb.Exec(c, "INSERT INTO "+t.name+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", args...)
}

var errKind = errors.New("value of the wrong kind")

// values converts a member to what is written on insert and on update.
func (r rule) values(v any) (insert, update any, err error) {
	switch v.(type) {
	case nil:
		switch r {
		case plain:
			return "", nil, nil
		case integer:
			return 0, nil, nil
		default:
			return nil, nil, nil
		}
	case string, json.Number:
	default:
		return nil, nil, errKind
	}
	written := fmt.Sprint(v) // both are texts
	if r == text || r == plain {
		written, _, _ = strings.Cut(written, "\x00")
		if written == "" && r == text {
			return nil, nil, nil
		}
		return written, written, nil
	}
	if written == "" {
		return nil, nil, nil
	}
	n, err := r.number(written)
	return n, n, err
}

// number converts a decimal number; nil is NULL.
func (r rule) number(written string) (any, error) {
	f, err := strconv.ParseFloat(written, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errKind
	}
	if r != integer && f <= 0 || r == percent && f > 100 {
		return nil, nil
	}
	if r == speed {
		return f, nil
	}
	if n, err := strconv.ParseInt(written, 10, 64); err == nil {
		return n, nil
	}
	if math.Abs(f) >= math.MaxInt64 {
		return nil, errKind
	}
	return int64(f), nil
}
