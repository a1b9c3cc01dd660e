package agentapi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"testudo/internal/query"
)

// lastMoment is the last second of the year 9999: what lies behind it has no
// date.
const lastMoment = 253402300799

// rowWriter writes rows as JSON objects.
type rowWriter struct {
	members []rowMember
	missing bool // what has no value is written as "unknown"
	times   calendar
	scratch []byte
}

// rowMember is a column and where its value goes.
type rowMember struct {
	query.Field
	label  string // the quoted name and a colon
	nested bool   // in the object "os"
}

func newRowWriter(fields []*query.Field) *rowWriter {
	w := new(rowWriter)
	for _, f := range fields {
		m := rowMember{Field: *f}
		name, nested := strings.CutPrefix(f.Name, "os.")
		m.nested, m.label = nested, `"`+name+`":`
		w.members = append(w.members, m)
	}
	return w
}

// unknown makes it write "unknown" for what has no value.
func (w *rowWriter) unknown() *rowWriter {
	w.missing = true
	return w
}

// append appends a row; columns without a value are left out.
func (w *rowWriter) append(dst []byte, r Row) []byte {
	dst = append(dst, '{')
	nested, first := false, true
	for i := range w.members {
		m := &w.members[i]
		if nested && !m.nested {
			dst, nested, first = append(dst, '}'), false, false
		}
		before := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		if m.nested && !nested {
			dst = append(dst, `"os":{`...)
		}
		dst = append(dst, m.label...)
		value := len(dst)
		if dst = w.value(dst, m, r, i); len(dst) == value {
			dst = dst[:before]
			continue
		}
		nested, first = m.nested, false
	}
	if nested {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// value appends the value of a column, nothing for one that has none.
func (w *rowWriter) value(dst []byte, m *rowMember, r Row, column int) []byte {
	if m.Kind == query.Text {
		start := len(dst) + 1
		dst = r.AppendText(append(dst, '"'), column)
		switch {
		case len(dst) == start && r.Null(column): // to ask each text first would take longer
			return w.none(dst[:start-1])
		case plain(dst[start:]):
			return append(dst, '"')
		}
		w.scratch = append(w.scratch[:0], dst[start:]...)
		return appendText(dst[:start-1], w.scratch)
	}
	if r.Null(column) {
		return w.none(dst)
	}
	switch {
	case m.Name == "id":
		return append(appendID(append(dst, '"'), r.Int64(column)), '"')
	case m.Kind == query.Number:
		return strconv.AppendInt(dst, r.Int64(column), 10)
	case m.Kind == query.Names:
		w.scratch = r.AppendText(w.scratch[:0], column)
		return appendNames(dst, w.scratch)
	}
	at := r.Int64(column)
	if at < 0 || at > lastMoment || at == 0 && m.Name == "disconnection_time" {
		return dst
	}
	return w.times.append(dst, at)
}

// appendID appends an agent's id as agent.ID's String is.
func appendID(dst []byte, id int64) []byte {
	if id >= 0 && id < 100 {
		return twoDigits(append(dst, '0'), id)
	}
	return strconv.AppendInt(dst, id, 10)
}

// none is what stands for no value.
func (w *rowWriter) none(dst []byte) []byte {
	if w.missing {
		return append(dst, `"unknown"`...)
	}
	return dst
}

// plain tells whether a text stands in JSON as it is.
func plain(text []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	rest := text
	for ; len(rest) >= 8; rest = rest[8:] {
		w := binary.LittleEndian.Uint64(rest)
		quote, slash := w^'"'*each, w^'\\'*each
		if (w|(w-' '*each)|(quote-each)|(slash-each))&high != 0 { // something else than letters and the like
			break
		}
	}
	ascii := true
	for _, c := range rest {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(rest)
}

// appendText appends a text in quotes.
func appendText(dst, text []byte) []byte {
	if plain(text) {
		return append(append(append(dst, '"'), text...), '"')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(text)); err != nil {
		return append(dst, `""`...) // cannot be: any text can be encoded
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// appendNames appends a list of the names in a text.
func appendNames(dst, text []byte) []byte {
	dst = append(dst, '[')
	for i := 0; len(text) > 0; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var name []byte
		name, text, _ = bytes.Cut(text, []byte(","))
		dst = appendText(dst, name)
	}
	return append(dst, ']')
}
