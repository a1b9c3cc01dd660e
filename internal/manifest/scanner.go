package manifest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
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
