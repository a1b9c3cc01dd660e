package ossecxml

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source is a document in memory with a reading position. Lines are counted as
// the position moves forward; it never moves back over a newline.
type source struct {
	text string
	pos  int
	line int // line of pos, from 1

	// The last '>' of the line that ends at lineEnd; -1 when it has none.
	// Looked up once a line, so that one long line stays linear.
	lineEnd, lastClose int
}

// readSource reads the whole of r, brings line ends to "\n" and refuses what no
// XML parser takes: bytes that are not UTF-8 and control characters.
func readSource(r io.Reader, limit int64) (*source, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, &SyntaxError{Line: 1, Text: fmt.Sprintf("document larger than %d bytes", limit), Err: ErrLimit}
	}
	text := string(raw)
	if strings.Contains(text, "\r") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	if err := checkCharacters(text); err != nil {
		return nil, err
	}
	return &source{text: text, line: 1, lineEnd: -1}, nil
}

func checkCharacters(text string) error {
	line := 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &SyntaxError{Line: line, Text: fmt.Sprintf("byte 0x%02x is not UTF-8", text[i])}
		case r == '\n':
			line++
		case r < ' ' && r != '\t', r == 0xFFFE, r == 0xFFFF:
			return &SyntaxError{Line: line, Text: fmt.Sprintf("character U+%04X is not allowed", r)}
		}
		i += size
	}
	return nil
}

func (s *source) errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Line: s.line, Text: fmt.Sprintf(format, args...)}
}

func (s *source) done() bool   { return s.pos >= len(s.text) }
func (s *source) rest() string { return s.text[s.pos:] }

// advance moves n bytes on.
func (s *source) advance(n int) {
	s.line += strings.Count(s.text[s.pos:s.pos+n], "\n")
	s.pos += n
}

// accept moves over prefix when it stands at the position.
func (s *source) accept(prefix string) bool {
	if !strings.HasPrefix(s.rest(), prefix) {
		return false
	}
	s.advance(len(prefix))
	return true
}

// skipSpace moves over blanks and says whether there were any.
func (s *source) skipSpace() bool {
	n := len(s.rest()) - len(strings.TrimLeft(s.rest(), " \t\n"))
	s.advance(n)
	return n > 0
}

// closesOnLine says whether a '>' stands at or after from on from's own line.
func (s *source) closesOnLine(from int) bool {
	if from > s.lineEnd {
		s.lineEnd = len(s.text)
		if n := strings.IndexByte(s.text[from:], '\n'); n >= 0 {
			s.lineEnd = from + n
		}
		s.lastClose = from + strings.LastIndexByte(s.text[from:s.lineEnd], '>')
		if s.lastClose < from {
			s.lastClose = -1
		}
	}
	return s.lastClose >= from
}

// atTag says whether the '<' at the position opens a start or an end tag.
// See the package comment for the rule.
func (s *source) atTag() bool {
	at := s.pos + 1
	if at < len(s.text) && s.text[at] == '/' {
		at++
	}
	r, size := utf8.DecodeRuneInString(s.text[at:])
	if size == 0 || !isWord(r) {
		return false
	}
	// One more character must stand before the '>', on the same line.
	at += size
	_, size = utf8.DecodeRuneInString(s.text[at:])
	if size == 0 || s.text[at] == '\n' {
		return false
	}
	return s.closesOnLine(at + size)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// name reads an XML name; empty when none stands at the position.
func (s *source) name() string {
	rest := s.rest()
	for i, r := range rest {
		if isNameStart(r) || i > 0 && (r == '-' || r == '.' || unicode.IsDigit(r)) {
			continue
		}
		rest = rest[:i]
		break
	}
	s.advance(len(rest))
	return rest
}

func isNameStart(r rune) bool { return r == '_' || r == ':' || unicode.IsLetter(r) }

// entities that are decoded. "&lt;" and "&gt;" are known but stay as written.
var entities = [...]struct{ written, meant string }{
	{"&amp;", "&"}, {"&apos;", "'"}, {"&quot;", `"`}, {"&backslash;", `\`},
}

// entity decodes the '&' at the position: it gives what to put into the text
// and how many bytes it takes the place of.
func (s *source) entity() (meant string, length int) {
	for _, e := range entities {
		if strings.HasPrefix(s.rest(), e.written) {
			return e.meant, len(e.written)
		}
	}
	return "&", 1
}
