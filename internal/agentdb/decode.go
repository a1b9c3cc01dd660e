package agentdb

import (
	"math"
	"strconv"
	"strings"

	"testudo/internal/jsonescape"
)

// maxDepth bounds how deep arrays and objects of a report are nested.
const maxDepth = 64

// scanner reads JSON from a string. Its methods return false at the first thing
// that is not JSON; the position is then of no meaning. It accepts what
// encoding/json accepts, and takes bytes that are no UTF-8 as they are.
type scanner struct {
	text  string
	at    int
	sound bool // the text has been scanned before: strings need no check
}

// space skips blanks.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek skips blanks and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// take skips blanks and then the byte c, if it is there.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// skip passes over one value.
func (s *scanner) skip(depth int) bool {
	switch c := s.peek(); c {
	case '{':
		return s.object(depth, func(string) bool { return s.skip(depth - 1) })
	case '[':
		return s.array(depth, func() bool { return s.skip(depth - 1) })
	case '"':
		_, _, ok := s.rawString()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, ok := s.rawNumber()
		return ok
	}
}

func (s *scanner) word(w string) bool {
	if !strings.HasPrefix(s.text[s.at:], w) {
		return false
	}
	s.at += len(w)
	return true
}

// array calls element at the beginning of each element; it must consume it.
func (s *scanner) array(depth int, element func() bool) bool {
	if depth <= 0 || !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// object calls member at the beginning of each member's value.
func (s *scanner) object(depth int, member func(name string) bool) bool {
	if depth <= 0 || !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		if s.peek() != '"' {
			return false
		}
		name, ok := s.string()
		if !ok || !s.take(':') || !member(name) {
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// rawString passes over a string that begins here and returns what is between
// the quotes.
func (s *scanner) rawString() (raw string, escaped, ok bool) {
	s.at++
	start := s.at
	if s.sound {
		end := strings.IndexByte(s.text[start:], '"')
		if strings.IndexByte(s.text[start:start+end], '\\') < 0 {
			s.at = start + end + 1
			return s.text[start : start+end], false, true
		}
	}
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			raw = s.text[start:s.at]
			s.at++
			return raw, escaped, true
		case c < 0x20:
			return "", false, false
		case c == '\\':
			escaped = true
			if !s.escape() {
				return "", false, false
			}
		}
	}
	return "", false, false
}

// escape passes over an escape but for its last byte.
func (s *scanner) escape() bool {
	s.at++
	if s.at >= len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if _, ok := jsonescape.Unit(s.text[s.at-1:]); !ok {
			return false
		}
		s.at += 4
		return true
	default:
		return false
	}
}

// string reads a string that begins here.
func (s *scanner) string() (string, bool) {
	raw, escaped, ok := s.rawString()
	if escaped {
		raw = unescape(raw)
	}
	return raw, ok
}

// unescape resolves the escapes of a string that rawString has accepted.
func unescape(raw string) string {
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := strings.IndexByte(raw, '\\')
		if i < 0 {
			b.WriteString(raw)
			return b.String()
		}
		b.WriteString(raw[:i])
		c, size := raw[i+1], 2
		switch c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			var r rune
			r, size = jsonescape.Rune(raw[i:])
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
		raw = raw[i+size:]
	}
}

// rawNumber passes over a number and returns its text.
func (s *scanner) rawNumber() (string, bool) {
	start := s.at
	if s.next() == '-' {
		s.at++
	}
	if s.next() == '0' {
		s.at++
	} else if !s.digits() {
		return "", false
	}
	if s.next() == '.' {
		s.at++
		if !s.digits() {
			return "", false
		}
	}
	if c := s.next(); c == 'e' || c == 'E' {
		s.at++
		if c := s.next(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return "", false
		}
	}
	return s.text[start:s.at], true
}

// next is the byte here, 0 at the end.
func (s *scanner) next() byte {
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// kind says what a value is.
type kind uint8

const (
	absent kind = iota // not there, null, or nothing that a column takes
	number
	text
)

// value is a number or a text of a report.
type value struct {
	kind   kind
	number int32  // saturated, without fraction (docs/agentdb.md §5)
	text   string // up to its first NUL
}

// value reads one value; arrays and objects, true and false count as absent.
func (s *scanner) value(v *value, depth int) bool {
	switch c := s.peek(); {
	case c == '"':
		t, ok := s.string()
		if i := strings.IndexByte(t, 0); i >= 0 {
			t = t[:i]
		}
		*v = value{kind: text, text: t}
		return ok
	case c == '-' || c >= '0' && c <= '9':
		raw, ok := s.rawNumber()
		*v = value{kind: number, number: saturate(raw)}
		return ok
	default:
		*v = value{}
		return s.skip(depth)
	}
}

// saturate reads a number that rawNumber has accepted.
func saturate(raw string) int32 {
	if n, err := strconv.ParseInt(raw, 10, 32); err == nil {
		return int32(n)
	}
	f, _ := strconv.ParseFloat(raw, 64) // out of range is infinite
	switch {
	case f >= math.MaxInt32:
		return math.MaxInt32
	case f <= math.MinInt32:
		return math.MinInt32
	default:
		return int32(f)
	}
}
