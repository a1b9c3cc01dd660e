package manifest

import (
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	hexDigits = "0123456789abcdef"
	// flushAt is how much text is gathered before it is written.
	flushAt = 32 << 10
)

// WriteJSON writes the manifest as files_metadata.json of a worker: one object
// of path to entry, in the very bytes that the original would write (ASCII
// only, a space after each colon and comma).
func (m *Manifest) WriteJSON(w io.Writer) error {
	a := appender{w: w, buf: make([]byte, 0, flushAt+4096)}
	a.object(m.entries)
	return a.flush()
}

// WriteJSON writes the difference as files_metadata.json of a master: an object
// with the keys missing, extra and shared, in this order.
func (d Difference) WriteJSON(w io.Writer) error {
	a := appender{w: w, buf: make([]byte, 0, flushAt+4096)}
	a.buf = append(a.buf, `{"missing": `...)
	a.object(d.Missing)
	a.buf = append(a.buf, `, "extra": `...)
	a.object(d.Extra)
	a.buf = append(a.buf, `, "shared": `...)
	a.object(d.Shared)
	a.buf = append(a.buf, '}')
	return a.flush()
}

// appender gathers text and writes it in large pieces. After the first error
// it writes nothing more; flush returns it.
type appender struct {
	w   io.Writer
	buf []byte
	err error
}

func (a *appender) flush() error {
	if a.err == nil {
		_, a.err = a.w.Write(a.buf)
	}
	a.buf = a.buf[:0]
	return a.err
}

func (a *appender) object(entries []Entry) {
	a.buf = append(a.buf, '{')
	for i := range entries {
		if i > 0 {
			a.buf = append(a.buf, ", "...)
		}
		a.buf = appendEntry(a.buf, &entries[i])
		if len(a.buf) >= flushAt && a.flush() != nil {
			return
		}
	}
	a.buf = append(a.buf, '}')
}

// appendEntry appends one member of the object. Merged is always false: the
// original can do nothing useful with true (docs/integrity.md §3).
func appendEntry(b []byte, e *Entry) []byte {
	b = appendString(b, e.Path)
	b = append(b, `: {"mod_time": `...)
	b = appendFloat(b, e.ModTime)
	b = append(b, `, "cluster_item_key": `...)
	b = appendString(b, e.ItemKey)
	b = append(b, `, "merged": false, "hash": "`...)
	b = e.Digest.appendHex(b)
	return append(b, `"}`...)
}

// appendFloat appends the shortest text that reads back as f, with a decimal
// point as the original's language has it. What JSON cannot say becomes 0.0.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	for _, c := range b[start:] {
		if c == '.' {
			return b
		}
	}
	return append(b, ".0"...)
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		n, ascii := plainRun(s)
		if !ascii {
			n = strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= utf8.RuneSelf })
		}
		b = append(b, s[:n]...)
		if s = s[n:]; s == "" {
			return append(b, '"')
		}
		r, size := utf8.DecodeRuneInString(s)
		b = appendEscaped(b, r)
		s = s[size:]
	}
}

func appendEscaped(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	}
	if r > 0xffff {
		r -= 0x10000
		b = appendUnit(b, 0xd800+r>>10)
		return appendUnit(b, 0xdc00+r&0x3ff)
	}
	return appendUnit(b, r)
}

func appendUnit(b []byte, u rune) []byte {
	return append(b, '\\', 'u', hexDigits[u>>12&0xf], hexDigits[u>>8&0xf], hexDigits[u>>4&0xf], hexDigits[u&0xf])
}
