package agentdb

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"testudo/internal/sqlitedb"
)

// epsilon is the distance from 1 to the next double.
const epsilon = 1.0 / (1 << 52)

// exactInteger is the first integer that is not written digit by digit.
const exactInteger = 1_000_000_000_000_000

// appendText appends s as a JSON string the way the database socket writes them
// (docs/agentdb.md §5): up to the first NUL, bytes above 127 as they are.
func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		if c == 0 {
			return append(dst, '"')
		}
		dst = appendEscape(dst, c)
		from = i + 1
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// appendInteger appends a number: exactly up to 15 digits, rounded to as many
// beyond.
func appendInteger(dst []byte, n int64) []byte {
	if n > -exactInteger && n < exactInteger {
		return strconv.AppendInt(dst, n, 10)
	}
	return appendFloat(dst, float64(n))
}

// appendFloat appends a number with at most 15 significant digits, or 17 where it
// would differ by more than a double's precision.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(dst, "null"...)
	}
	if f == math.Trunc(f) && math.Abs(f) < exactInteger {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	before := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', 15, 64)
	if g, _ := strconv.ParseFloat(string(dst[before:]), 64); math.Abs(f-g) > max(math.Abs(f), math.Abs(g))*epsilon {
		dst = strconv.AppendFloat(dst[:before], f, 'g', 17, 64)
	}
	return dst
}

// appendColumn appends the value in a column, which must not be NULL.
func appendColumn(dst []byte, s *sqlitedb.Stmt, col int) []byte {
	switch s.ColumnType(col) {
	case sqlitedb.TypeInteger:
		return appendInteger(dst, s.ColumnInt64(col))
	case sqlitedb.TypeFloat:
		return appendFloat(dst, s.ColumnFloat(col))
	default:
		return appendColumnText(dst, s, col)
	}
}

// appendColumnText appends a text or blob. Most need no escape, so they are
// copied first and looked at then.
func appendColumnText(dst []byte, s *sqlitedb.Stmt, col int) []byte {
	dst = append(dst, '"')
	from := len(dst)
	dst = sqlitedb.AppendColumn(dst, s, col)
	if plain(dst[from:]) {
		return append(dst, '"')
	}
	text := bytes.Clone(dst[from:])
	return appendText(dst[:from-1], text)
}

// plain reports whether a text is its own JSON form.
func plain(text []byte) bool {
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// members are the beginnings `"name":` of a row's members.
type members [][]byte

// membersOf reads the names from the statement: those that SQLite gives to the
// columns, which is the text of an expression without a name.
func membersOf(s *sqlitedb.Stmt) members {
	m := make(members, s.ColumnCount())
	for i := range m {
		m[i] = append(appendText(nil, s.ColumnName(i)), ':')
	}
	return m
}

// namesOf makes members of known names.
func namesOf(names ...string) members {
	m := make(members, len(names))
	for i, name := range names {
		m[i] = append(appendText(nil, name), ':')
	}
	return m
}

// appendRow appends the current row as an object: a member a column, in their
// order, NULLs left out (docs/agentdb.md §5).
func (m members) appendRow(dst []byte, s *sqlitedb.Stmt) []byte {
	return append(m.appendOpenRow(dst, s), '}')
}

// appendOpenRow is appendRow without the closing brace, for more members.
func (m members) appendOpenRow(dst []byte, s *sqlitedb.Stmt) []byte {
	dst = append(dst, '{')
	first := true
	for i, name := range m {
		if s.ColumnIsNull(i) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendColumn(append(dst, name...), s, i)
	}
	return dst
}

// appendUTF8 appends s as a JSON string that any reader takes: bytes that are no
// UTF-8 become the replacement character. For what our own programs read.
func appendUTF8(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return appendText(dst, s)
	}
	return appendText(dst, string([]rune(s)))
}
