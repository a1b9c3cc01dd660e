package chunks

import (
	"fmt"
	"unicode/utf8"

	"testudo/internal/jsonescape"
)

// maxDepth is how deeply values may be nested that are only passed over.
const maxDepth = 64

// SyntaxError says where a text is not the JSON it should be.
type SyntaxError struct {
	Want   string
	Offset int // in bytes
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Expecting %s: char %d", e.Want, e.Offset)
}

// scanner reads JSON without building anything: chunks make up nearly all of a
// string, and they are passed on as they are.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) wrong(want string) error { return &SyntaxError{Want: want, Offset: s.pos} }

// peek is the next byte that is no blank, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\r', '\t':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte, want string) error {
	if s.peek() != c {
		return s.wrong(want)
	}
	s.pos++
	return nil
}

// end wants nothing but blanks to be left.
func (s *scanner) end() error {
	s.peek()
	if s.pos < len(s.data) {
		return s.wrong("the end")
	}
	return nil
}

// object calls member for each key, with the scanner before the value, which
// member must take. The key is valid until then.
func (s *scanner) object(member func(key []byte) error) error {
	return s.members(s.text, member)
}

func (s *scanner) members(name func() ([]byte, error), member func(key []byte) error) error {
	if err := s.take('{', "an object"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		key, err := name()
		if err != nil {
			return err
		}
		if err := s.take(':', "':'"); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if more, err := s.next('}'); !more {
			return err
		}
	}
}

// list calls element before each element, which it must take.
func (s *scanner) list(element func(i int) error) error {
	if err := s.take('[', "a list"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		if more, err := s.next(']'); !more {
			return err
		}
	}
}

// next takes a comma, after which there is more, or the closing bracket.
func (s *scanner) next(closing byte) (more bool, err error) {
	switch s.peek() {
	case ',':
		s.pos++
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.wrong("',' or '" + string(rune(closing)) + "'")
}

// raw passes over any value and returns its text.
func (s *scanner) raw() ([]byte, error) {
	s.peek()
	from := s.pos
	err := s.skip(0)
	return s.data[from:s.pos], err
}

func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.wrong(fmt.Sprintf("at most %d levels", maxDepth))
	}
	switch c := s.peek(); c {
	case '{':
		return s.members(s.skipName, func([]byte) error { return s.skip(depth + 1) })
	case '[':
		return s.list(func(int) error { return s.skip(depth + 1) })
	case '"':
		return s.skipText()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) word(w string) error {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.wrong("a value")
	}
	s.pos += len(w)
	return nil
}

// number passes over what can be a number; whoever uses it parses it.
func (s *scanner) number() error {
	from := s.pos
	digits := false
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c >= '0' && c <= '9':
			digits = true
		case c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E':
		default:
			if !digits {
				s.pos = from
				return s.wrong("a value")
			}
			return nil
		}
	}
	if !digits {
		s.pos = from
		return s.wrong("a value")
	}
	return nil
}

func (s *scanner) skipName() ([]byte, error) { return nil, s.skipText() }

// skipText passes over a text without changing it.
func (s *scanner) skipText() error {
	if err := s.take('"', "a text"); err != nil {
		return err
	}
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			s.pos++ // whatever it is, it ends no text
		case c < ' ':
			return s.wrong("no control character")
		}
	}
	s.pos = len(s.data)
	return s.wrong("the end of a text")
}

// text takes a text and returns what it says, which is written over the text
// itself: that is never shorter.
func (s *scanner) text() ([]byte, error) {
	if err := s.take('"', "a text"); err != nil {
		return nil, err
	}
	d, at := s.data, s.pos
	from, to := at, at
	for at < len(d) {
		switch c := d[at]; {
		case c == '"':
			s.pos = at + 1
			return d[from:to:to], nil
		case c < ' ':
			s.pos = at
			return nil, s.wrong("no control character")
		case c != '\\':
			d[to] = c
			to, at = to+1, at+1
		case at+1 < len(d) && d[at+1] == '"': // nearly all there are
			d[to] = '"'
			to, at = to+1, at+2
		default:
			s.pos = at
			n, err := s.escape(d[to:to])
			if err != nil {
				return nil, err
			}
			to, at = to+n, s.pos
		}
	}
	s.pos = len(d)
	return nil, s.wrong("the end of a text")
}

// escape takes what begins with a backslash, writes what it stands for to dst,
// which is never more, and returns how much that is.
func (s *scanner) escape(dst []byte) (int, error) {
	if s.pos+1 >= len(s.data) {
		return 0, s.wrong("the end of a text")
	}
	c := s.data[s.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(dst)
	default:
		return 0, s.wrong("an escape")
	}
	s.pos += 2
	return len(append(dst, c)), nil
}

// unicode takes \uXXXX, and a second one that makes a pair with it. Half a pair
// becomes U+FFFD.
func (s *scanner) unicode(dst []byte) (int, error) {
	r, size := jsonescape.Rune(s.data[s.pos:])
	if size == 0 {
		return 0, s.wrong("four hexadecimal digits")
	}
	s.pos += size
	return len(utf8.AppendRune(dst, r)), nil
}
