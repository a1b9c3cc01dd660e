package manifest

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"testudo/internal/jsonescape"
)

// text reads a string of at most limit bytes (as UTF-8). The bytes are valid until
// the next token. A string that is no Unicode text comes as nil; an empty one
// does not.
func (s *scanner) text(limit int) ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	s.scratch = s.scratch[:0]
	alone, first, ascii := false, true, true
	for {
		if s.pos == s.end && !s.fill() {
			return nil, s.broken()
		}
		n, plain := plainRun(s.buf[s.pos:s.end])
		ascii = ascii && plain
		run := s.buf[s.pos : s.pos+n]
		s.pos += n
		if len(s.scratch)+n > limit {
			return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, limit)
		}
		if s.pos < s.end && s.buf[s.pos] == '"' {
			s.pos++
			if !first {
				s.scratch = append(s.scratch, run...)
				run = s.scratch
			}
			if !ascii && !utf8.Valid(run) {
				return nil, s.syntax("invalid UTF-8 in a string before")
			}
			if alone {
				return nil, nil
			}
			return run, nil
		}
		first = false
		s.scratch = append(s.scratch, run...)
		if s.pos == s.end {
			continue
		}
		if s.buf[s.pos] != '\\' {
			return nil, s.syntax("control character in a string")
		}
		s.pos++
		half, err := s.escape()
		if err != nil {
			return nil, err
		}
		alone = alone || half
	}
}

// escape reads what follows a backslash, appends it to scratch, and tells
// whether it was half of a surrogate pair alone.
func (s *scanner) escape() (alone bool, err error) {
	c, err := s.next()
	if err != nil {
		return false, err
	}
	switch c {
	case '"', '\\', '/':
		s.scratch = append(s.scratch, c)
	case 'b':
		s.scratch = append(s.scratch, '\b')
	case 'f':
		s.scratch = append(s.scratch, '\f')
	case 'n':
		s.scratch = append(s.scratch, '\n')
	case 'r':
		s.scratch = append(s.scratch, '\r')
	case 't':
		s.scratch = append(s.scratch, '\t')
	case 'u':
		return s.unicodeEscape()
	default:
		return false, s.syntax("unknown escape")
	}
	return false, nil
}

func (s *scanner) unicodeEscape() (alone bool, err error) {
	unit, err := s.unit()
	if err != nil {
		return false, err
	}
	for utf16.IsSurrogate(unit) {
		// Only \u directly behind can make it a pair. Both characters are
		// taken one at a time, since the buffer may end between them.
		if s.pos == s.end && !s.fill() {
			return false, s.broken()
		}
		if s.buf[s.pos] != '\\' {
			return true, nil
		}
		s.pos++
		c, err := s.next()
		if err != nil {
			return false, err
		}
		if c != 'u' {
			s.unread()
			_, err := s.escape()
			return true, err
		}
		second, err := s.unit()
		if err != nil {
			return false, err
		}
		if r := utf16.DecodeRune(unit, second); r != utf8.RuneError {
			s.scratch = utf8.AppendRune(s.scratch, r)
			return alone, nil
		}
		alone, unit = true, second
	}
	s.scratch = utf8.AppendRune(s.scratch, unit)
	return alone, nil
}

// unread gives back the byte that next just returned: it is still in buf.
func (s *scanner) unread() { s.pos-- }

func (s *scanner) next() (byte, error) {
	if s.pos == s.end && !s.fill() {
		return 0, s.broken()
	}
	s.pos++
	return s.buf[s.pos-1], nil
}

func (s *scanner) unit() (rune, error) {
	var r rune
	for range 4 {
		c, err := s.next()
		if err != nil {
			return 0, err
		}
		n, ok := jsonescape.Digit(c)
		if !ok {
			return 0, s.syntax("expected four hexadecimal characters")
		}
		r = r<<4 | n
	}
	return r, nil
}
