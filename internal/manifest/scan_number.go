package manifest

import (
	"errors"
	"io"
	"strconv"
)

// number reads a number that a float64 can hold.
func (s *scanner) number() (float64, error) {
	if _, err := s.peek(); err != nil {
		return 0, err
	}
	text, err := s.digits()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, s.syntax("number out of range")
	}
	return f, nil
}

// digits reads the characters of a number and checks its grammar.
func (s *scanner) digits() ([]byte, error) {
	s.scratch = s.scratch[:0]
	for s.pos < s.end || s.fill() {
		c := s.buf[s.pos]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		if len(s.scratch) == maxNumber {
			return nil, s.syntax("number too long")
		}
		s.scratch = append(s.scratch, c)
		s.pos++
	}
	if s.err != nil && s.pos == s.end && !errors.Is(s.err, io.EOF) {
		return nil, s.err
	}
	if !isNumber(s.scratch) {
		return nil, s.syntax("expected a value")
	}
	return s.scratch, nil
}

// isNumber checks the grammar of RFC 8259 §6.
func isNumber(b []byte) bool {
	run := func() bool {
		n := 0
		for n < len(b) && '0' <= b[n] && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 0 && b[0] == '0' {
		b = b[1:]
	} else if !run() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
		if !run() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
			b = b[1:]
		}
		if !run() {
			return false
		}
	}
	return len(b) == 0
}
