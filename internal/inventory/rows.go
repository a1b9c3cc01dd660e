package inventory

import (
	"bytes"
	"math"
	"strconv"

	"testudo/internal/sqlitedb"
)

// appendRow adds the current row of stmt as a JSON object: columns in order,
// NULLs left out (docs/agentdb.md §5).
func appendRow(b []byte, stmt *sqlitedb.Stmt) []byte {
	b = append(b, '{')
	first := true
	for i := range stmt.ColumnCount() {
		kind := stmt.ColumnType(i)
		if kind == sqlitedb.TypeNull {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendText(b, []byte(stmt.ColumnName(i)))
		b = append(b, ':')
		switch kind {
		case sqlitedb.TypeInteger:
			b = appendInteger(b, stmt.ColumnInt64(i))
		case sqlitedb.TypeFloat:
			b = appendReal(b, stmt.ColumnFloat(i))
		default:
			b = appendText(b, sqlitedb.Blob(stmt, i))
		}
	}
	return append(b, '}')
}

// exactDigits is up to where numbers are written out.
const exactDigits = 1e15

func appendInteger(b []byte, v int64) []byte {
	if v > -exactDigits && v < exactDigits {
		return strconv.AppendInt(b, v, 10)
	}
	return appendReal(b, float64(v))
}

// appendReal writes 15 significant digits where they give the number back to
// within the precision of a float, else 17.
func appendReal(b []byte, v float64) []byte {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return append(b, "null"...)
	}
	const epsilon = 0x1p-52
	short := strconv.FormatFloat(v, 'g', 15, 64)
	back, err := strconv.ParseFloat(short, 64)
	if err == nil && math.Abs(back-v) <= math.Max(math.Abs(back), math.Abs(v))*epsilon {
		return append(b, short...)
	}
	return strconv.AppendFloat(b, v, 'g', 17, 64)
}

// appendText writes a JSON string. The text ends at its first NUL byte; bytes
// that are no UTF-8 stay as they are.
func appendText(b, text []byte) []byte {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}
