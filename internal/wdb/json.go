package wdb

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"testudo/internal/jsonescape"
)

// errJSON is returned for a text that is not the JSON of docs/agentdb.md §5.
var errJSON = errors.New("not JSON")

// maxDepth is how deep lists and objects may be nested.
const maxDepth = 1000

type kind uint8

const (
	kindNull kind = iota
	kindFalse
	kindTrue
	kindNumber
	kindString
	kindList
	kindObject
)

// bytesPerNode is how short the values of a document are, on average, for which
// there is room at once. Assignments of agents to groups have 7.6 bytes a value.
const bytesPerNode = 7

// document is a decoded argument: its values in the order of the text, which
// makes a few allocations of any document. The first is the root.
type document struct {
	nodes []node
	most  int // values that there can be
}

type node struct {
	kind   kind
	next   int32 // index of the value after it in its list or object; 0 for none
	child  int32 // index of the first member; 0 for none
	number float64
	key    string
	text   string
}

// value is a node in its document. The zero value is absent.
type value struct {
	d *document
	n int32
}

// newDocument has room for the values of a text, as many as its punctuation lets
// expect. Where these would be shorter than values are, there may well be fewer:
// then more room is made as they come.
func newDocument(text string) *document {
	// No value is without one of these before it, save the first.
	most := 1 + strings.Count(text, ",") + strings.Count(text, "[") + strings.Count(text, "{")
	return &document{nodes: make([]node, 0, min(most, 16+len(text)/bytesPerNode)), most: most}
}

// decode reads a whole text. It is tolerant where the original is: numbers with
// leading zeros, control characters and bytes that are no UTF-8 in strings, any
// control character as white space (docs/agentdb.md §5).
func decode(text string) (value, error) {
	v, rest, err := decodePrefix(text)
	if err == nil && strings.TrimLeftFunc(rest, isBlank) != "" {
		return value{}, errJSON
	}
	return v, err
}

// decodePrefix reads a value and returns the text behind it.
func decodePrefix(text string) (value, string, error) {
	d := newDocument(text)
	p := parser{document: d, text: strings.TrimPrefix(text, "\ufeff")}
	p.blanks()
	if _, err := p.value(0); err != nil {
		return value{}, "", err
	}
	return value{d, 0}, p.text[p.at:], nil
}

func isBlank(r rune) bool { return r <= ' ' }

func (v value) node() *node { return &v.d.nodes[v.n] }

func (v value) is(k kind) bool { return v.d != nil && v.node().kind == k }

// get is the first member of an object whose name is equal, upper and lower case
// of the letters A to Z being the same.
func (v value) get(name string) value {
	if !v.is(kindObject) {
		return value{}
	}
	for member := range v.each {
		if equalFold(member.node().key, name) {
			return member
		}
	}
	return value{}
}

// each walks the members of a list or an object.
func (v value) each(yield func(value) bool) {
	if v.d == nil {
		return
	}
	for n := v.node().child; n != 0; n = v.d.nodes[n].next {
		if !yield(value{v.d, n}) {
			return
		}
	}
}

// text is the value of a string.
func (v value) text() (string, bool) {
	if !v.is(kindString) {
		return "", false
	}
	return v.node().text, true
}

// optional is the value of a string, nil for all else.
func (v value) optional() *string {
	if s, ok := v.text(); ok {
		return &s
	}
	return nil
}

// int is the value of a number, cut to 32 bits.
func (v value) int() (int32, bool) {
	if !v.is(kindNumber) {
		return 0, false
	}
	switch f := v.node().number; {
	case f >= math.MaxInt32:
		return math.MaxInt32, true
	case f <= math.MinInt32:
		return math.MinInt32, true
	default:
		return int32(f), true
	}
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

type parser struct {
	*document
	text string
	at   int
}

func (p *parser) blanks() {
	for p.at < len(p.text) && p.text[p.at] <= ' ' {
		p.at++
	}
}

// take skips c, if it is next.
func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) add(k kind) int32 {
	if n := len(p.nodes); n == cap(p.nodes) {
		p.nodes = append(make([]node, 0, max(min(2*n, p.most), n+1)), p.nodes...)
	}
	p.nodes = append(p.nodes, node{kind: k})
	return int32(len(p.nodes) - 1)
}

func (p *parser) value(depth int) (int32, error) {
	if p.at == len(p.text) {
		return 0, errJSON
	}
	switch c := p.text[p.at]; {
	case c == '"':
		n := p.add(kindString)
		s, err := p.string()
		p.nodes[n].text = s
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		n := p.add(kindNumber)
		f, err := p.number()
		p.nodes[n].number = f
		return n, err
	case c == '[' || c == '{':
		if depth == maxDepth {
			return 0, errJSON
		}
		return p.members(depth + 1)
	}
	for i, word := range [...]string{"null", "false", "true"} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return p.add(kindNull + kind(i)), nil
		}
	}
	return 0, errJSON
}

// members reads a list or an object.
func (p *parser) members(depth int) (int32, error) {
	object, end := p.text[p.at] == '{', byte(']')
	n := p.add(kindList)
	if object {
		p.nodes[n].kind, end = kindObject, '}'
	}
	p.at++
	p.blanks()
	if p.take(end) {
		return n, nil
	}
	for last := int32(0); ; {
		m, err := p.member(object, depth)
		if err != nil {
			return 0, err
		}
		if last == 0 {
			p.nodes[n].child = m
		} else {
			p.nodes[last].next = m
		}
		last = m
		p.blanks()
		if p.take(end) {
			return n, nil
		}
		if !p.take(',') {
			return 0, errJSON
		}
		p.blanks()
	}
}

func (p *parser) member(object bool, depth int) (int32, error) {
	if !object {
		return p.value(depth)
	}
	if p.at == len(p.text) || p.text[p.at] != '"' {
		return 0, errJSON
	}
	key, err := p.string()
	if err != nil {
		return 0, err
	}
	p.blanks()
	if !p.take(':') {
		return 0, errJSON
	}
	p.blanks()
	n, err := p.value(depth)
	if err == nil {
		p.nodes[n].key = key
	}
	return n, err
}

// number reads as much as makes sense as one.
func (p *parser) number() (float64, error) {
	digits := func(i int) int {
		for i < len(p.text) && p.text[i] >= '0' && p.text[i] <= '9' {
			i++
		}
		return i
	}
	start := p.at
	i := start
	if p.text[i] == '-' {
		i++
	}
	whole := digits(i)
	count := whole - i
	i = whole
	if i < len(p.text) && p.text[i] == '.' {
		fraction := digits(i + 1)
		count += fraction - i - 1
		i = fraction
	}
	if count == 0 {
		return 0, errJSON
	}
	if i < len(p.text) && lower(p.text[i]) == 'e' {
		e := i + 1
		if e < len(p.text) && (p.text[e] == '+' || p.text[e] == '-') {
			e++
		}
		if last := digits(e); last > e {
			i = last
		}
	}
	p.at = i
	f, err := strconv.ParseFloat(p.text[start:i], 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, errJSON
	}
	return f, nil
}

// string reads a string, which ends at a character 0 in it.
func (p *parser) string() (string, error) {
	p.at++
	start := p.at
	for ; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '"':
			p.at++
			return p.text[start : p.at-1], nil
		case '\\':
			return p.escaped(start)
		}
	}
	return "", errJSON
}

// escaped goes on with a string that began at start and has an escape here.
func (p *parser) escaped(start int) (string, error) {
	out := append(make([]byte, 0, 2*(p.at-start)+16), p.text[start:p.at]...)
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			s, _, _ := strings.Cut(string(out), "\x00")
			return s, nil
		case '\\':
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
		default:
			out = append(out, c)
			p.at++
		}
	}
	return "", errJSON
}

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.at+1 == len(p.text) {
		return nil, errJSON
	}
	c := p.text[p.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		p.at += 2
		return append(out, "\"\\/\b\f\n\r\t"[i]), nil
	}
	r, ok := jsonescape.Unit(p.text[p.at:])
	if !ok {
		return nil, errJSON
	}
	p.at += jsonescape.Size
	if utf16.IsSurrogate(r) {
		low, ok := jsonescape.Unit(p.text[p.at:])
		if !ok {
			return nil, errJSON
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return nil, errJSON
		}
		p.at += jsonescape.Size
	}
	return utf8.AppendRune(out, r), nil
}
