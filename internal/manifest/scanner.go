package manifest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	scanBuffer = 64 << 10
	// maxText bounds strings that are skipped or that no narrower limit holds.
	maxText = 64 << 10
	// maxNumber bounds the characters of a number.
	maxNumber = 512
	// maxDepth bounds the nesting of values that are skipped.
	maxDepth = 32
)

// scanner reads JSON token by token from a stream, by RFC 8259 and no laxer. It
// keeps one buffer, whatever the length of the stream.
type scanner struct {
	r       io.Reader
	buf     []byte
	pos     int // next byte of buf
	end     int // bytes in buf
	before  int64
	limit   int64  // bytes of the stream that may be read
	scratch []byte // a token that did not fit the buffer, or held escapes
	err     error  // the reader's error, at the end of buf
}

func newScanner(r io.Reader, limit int64) *scanner {
	return &scanner{r: r, buf: make([]byte, scanBuffer), scratch: make([]byte, 0, maxNumber), limit: limit}
}

// fill replaces the used-up buffer by the next bytes. At the end of the stream
// or after an error it returns false and s.err says why.
func (s *scanner) fill() bool {
	s.before += int64(s.end)
	s.pos, s.end = 0, 0
	for range 100 {
		if s.err != nil {
			return false
		}
		var n int
		n, s.err = s.r.Read(s.buf)
		if s.before+int64(n) > s.limit {
			s.err = fmt.Errorf("%w: more than %d bytes", ErrLimit, s.limit)
			return false
		}
		if n > 0 {
			s.end = n
			return true
		}
	}
	s.err = io.ErrNoProgress
	return false
}

func (s *scanner) syntax(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMetadata, what, s.before+int64(s.pos))
}

// broken returns the error for a stream that ends in the middle of something.
func (s *scanner) broken() error {
	if errors.Is(s.err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrMetadata, io.ErrUnexpectedEOF)
	}
	return s.err
}

// peek returns the next byte that is no white space, without taking it.
func (s *scanner) peek() (byte, error) {
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
				s.pos++
			default:
				return c, nil
			}
		}
		if !s.fill() {
			return 0, s.broken()
		}
	}
}

// expect takes the next byte that is no white space, which must be c.
func (s *scanner) expect(c byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != c {
		return s.syntax("expected " + strconv.QuoteRune(rune(c)))
	}
	s.pos++
	return nil
}

// atEnd checks that only white space is left in the stream.
func (s *scanner) atEnd() error {
	switch _, err := s.peek(); {
	case err == nil:
		return s.syntax("something after the end")
	case errors.Is(s.err, io.EOF):
		return nil
	default:
		return err
	}
}

// object reads an object. For each member it calls member with the key, whose
// bytes are valid until the next token; member reads the value. Keys longer
// than maxKey are ErrLimit. A key that is no Unicode text (half of a surrogate
// pair stands in it) comes as nil.
func (s *scanner) object(maxKey int, member func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == '}' {
		s.pos++
		return err
	}
	for {
		key, err := s.text(maxKey)
		if err != nil {
			return err
		}
		if key != nil && (s.pos == s.end || s.buf[s.pos] != ':') {
			key = append(s.scratch[:0], key...) // looking for the colon may replace buf
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if done, err := s.commaOr('}'); done || err != nil {
			return err
		}
	}
}

// commaOr takes a comma or the closing byte and tells whether it was the latter.
func (s *scanner) commaOr(closing byte) (bool, error) {
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	if c != ',' && c != closing {
		return false, s.syntax("expected a comma or the end")
	}
	s.pos++
	return c == closing, nil
}

// boolean reads true or false.
func (s *scanner) boolean() (bool, error) {
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	if c == 't' {
		return true, s.literal("true")
	}
	return false, s.literal("false")
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.pos == s.end && !s.fill() {
			return s.broken()
		}
		if s.buf[s.pos] != word[i] {
			return s.syntax("expected " + word)
		}
		s.pos++
	}
	return nil
}

// skip reads any value and forgets it.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.syntax("nested too deep")
	}
	c, err := s.peek()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return s.object(maxText, func([]byte) error { return s.skip(depth + 1) })
	case '[':
		return s.skipArray(depth)
	case '"':
		_, err = s.text(maxText)
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, err = s.digits()
	return err
}

func (s *scanner) skipArray(depth int) error {
	s.pos++ // the bracket that skip has seen
	if c, err := s.peek(); err != nil || c == ']' {
		s.pos++
		return err
	}
	for {
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if done, err := s.commaOr(']'); done || err != nil {
			return err
		}
	}
}

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
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, s.syntax("expected four hexadecimal characters")
		}
		r = r<<4 | rune(c)
	}
	return r, nil
}
