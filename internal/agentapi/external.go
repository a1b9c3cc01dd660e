package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/query"
)

// Asked is a database that is asked by texts.
type Asked interface {
	// SQL gives the rows of a statement, whole, as a JSON array of objects; columns
	// without a value are left out. The error is fault.DatabaseTooLarge for more
	// than an answer holds.
	SQL(ctx context.Context, statement string) ([]byte, error)
}

// Foreign is an agent database that another program serves, wdb.External.
type Foreign interface {
	Asked
	EachNode(ctx context.Context, ids []agent.ID, f func(id agent.ID, node string)) error
}

// External is a database that another program serves, of whatever version of
// SQLite. Its rows come a piece at a time: what changes meanwhile may be seen
// twice or not at all, as in the original.
type External struct{ Foreign }

const (
	// valuesAtOnce is how many values are asked for at first. An answer that does
	// not hold them halves it.
	valuesAtOnce = 2000
	// keysAtOnce is how many rows are asked for by their keys, so that the request
	// is of usual length.
	keysAtOnce = 2000
	// longestStatement is what fits a request (docs/agentdb.md §3).
	longestStatement = 65000
)

// Rows implements Database.
func (e External) Rows(ctx context.Context, s query.Statement, each func(Row) error) error {
	return asking{e.Foreign}.Rows(ctx, s, each)
}

// asking gives the rows of what is asked.
type asking struct{ Asked }

// Rows implements source.
func (e asking) Rows(ctx context.Context, s query.Statement, each func(Row) error) error {
	text, err := written(s)
	if err != nil {
		return err
	}
	names := make([]string, s.Columns)
	for i := range names {
		names[i] = "c" + strconv.Itoa(i)
	}
	// Columns of the statement itself may have no name, or that of another.
	text = "WITH q(" + strings.Join(names, ", ") + ") AS (" + text + ") SELECT * FROM q"
	if len(text) > longestStatement {
		return fault.New(fault.DatabaseRefused, "the request is about more agents than one question to the database can name")
	}
	row := &foreignRow{names: names}
	for offset, limit := 0, max(valuesAtOnce/s.Columns, 1); ; {
		rows, err := e.piece(ctx, text+" LIMIT "+strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(offset))
		if errors.Is(err, fault.New(fault.DatabaseTooLarge, nil)) && limit > 1 {
			limit /= 2
			continue
		}
		if err != nil {
			return err
		}
		for _, row.values = range rows {
			if err := each(row); err != nil {
				return err
			}
		}
		if offset += len(rows); len(rows) < limit {
			return nil
		}
	}
}

func (e asking) piece(ctx context.Context, statement string) (rows []map[string]json.RawMessage, err error) {
	answer, err := e.SQL(ctx, statement)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer, &rows); err != nil {
		return nil, fault.Wrap(fault.DatabaseRead, "the answer is no list of rows", err)
	}
	return rows, nil
}

// written writes the values of a statement into it: requests have no parameters.
func written(s query.Statement) (string, error) {
	var b strings.Builder
	rest, used := s.SQL, 0
	for {
		at := strings.IndexAny(rest, "?'")
		switch {
		case at < 0 && used == len(s.Args):
			b.WriteString(rest)
			return b.String(), nil
		case at < 0 || rest[at] == '?' && used == len(s.Args):
			return "", fmt.Errorf("statement with %d values and as many parameters as it wants", len(s.Args))
		case rest[at] == '\'': // our own texts have no quote in them
			at += 1 + strings.IndexByte(rest[at+1:], '\'')
			b.WriteString(rest[:at+1])
		default:
			b.WriteString(rest[:at])
			if err := literal(&b, s.Args[used]); err != nil {
				return "", err
			}
			used++
		}
		rest = rest[at+1:]
	}
}

// literal writes a value as statements have it.
func literal(b *strings.Builder, value any) error {
	switch v := value.(type) {
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case string:
		v = strings.ReplaceAll(v, "'", "''")
		v = strings.ReplaceAll(v, "\x00", "'||char(0)||'") // with which a request would end
		b.WriteString("('" + v + "')")
	default:
		return fmt.Errorf("a value of type %T in a statement", value)
	}
	return nil
}

// foreignRow is a row as JSON.
type foreignRow struct {
	names  []string
	values map[string]json.RawMessage
}

func (r *foreignRow) value(column int) json.RawMessage { return r.values[r.names[column]] }

// Null implements Row.
func (r *foreignRow) Null(column int) bool {
	v := r.value(column)
	return len(v) == 0 || string(v) == "null"
}

// Int64 implements Row. As in SQLite, what is no number is 0.
func (r *foreignRow) Int64(column int) int64 {
	text := string(r.AppendText(nil, column))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) >= math.MaxInt64 {
		return 0
	}
	return int64(f)
}

// AppendText implements Row.
func (r *foreignRow) AppendText(dst []byte, column int) []byte {
	v := r.value(column)
	if r.Null(column) {
		return dst
	}
	if v[0] != '"' {
		return append(dst, v...)
	}
	var text string
	if json.Unmarshal(v, &text) != nil { // it has been decoded once
		return dst
	}
	return append(dst, text...)
}
