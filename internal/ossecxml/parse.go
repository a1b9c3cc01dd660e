package ossecxml

import (
	"fmt"
	"io"
	"strings"
)

// Parse reads a document and returns its roots in the order written. The error
// is a *SyntaxError when the document is at fault, else the reader's own.
func Parse(r io.Reader, limits Limits) ([]*Element, error) {
	limits = limits.withDefaults()
	src, err := readSource(r, limits.Bytes)
	if err != nil {
		return nil, err
	}
	p := parser{source: src, limits: limits}
	if err := p.document(); err != nil {
		return nil, err
	}
	return p.roots, nil
}

// open is an element whose end tag has not come yet.
type open struct {
	element *Element
	written string // the name with its case
	text    strings.Builder
	from    int // position behind the start tag
}

type parser struct {
	*source
	limits   Limits
	roots    []*Element
	stack    []*open
	elements int
}

func (p *parser) document() error {
	for !p.done() {
		if err := p.step(); err != nil {
			return err
		}
	}
	if n := len(p.stack); n > 0 {
		top := p.stack[n-1]
		return &SyntaxError{Line: top.element.Line, Text: fmt.Sprintf("element <%s> is never closed", top.written)}
	}
	return nil
}

// step reads one comment, one tag, one entity or one run of plain text.
func (p *parser) step() error {
	switch p.text[p.pos] {
	case '<':
		if strings.HasPrefix(p.rest(), "<!--") {
			return p.comment()
		}
		if p.atTag() {
			return p.tag()
		}
		p.characters("<", 1)
	case '&':
		p.characters(p.entity())
	case ']':
		if strings.HasPrefix(p.rest(), "]]>") {
			return p.errorf("\"]]>\" in a text (CDATA sections are not known here)")
		}
		p.characters("]", 1)
	default:
		n := strings.IndexAny(p.rest(), "<&]")
		if n < 0 {
			n = len(p.rest())
		}
		p.characters(p.rest()[:n], n)
	}
	return nil
}

// characters adds to the text of the innermost element, unless that has a child
// already, and moves length bytes on.
func (p *parser) characters(text string, length int) {
	if n := len(p.stack); n > 0 && len(p.stack[n-1].element.Children) == 0 {
		p.stack[n-1].text.WriteString(text)
	}
	p.advance(length)
}

func (p *parser) comment() error {
	const opener, closer = "<!--", "-->"
	n := strings.Index(p.rest()[len(opener):], closer)
	if n < 0 {
		return p.errorf("comment is never closed")
	}
	p.advance(len(opener) + n + len(closer))
	return nil
}

func (p *parser) tag() error {
	line := p.line
	p.advance(1)
	if p.accept("/") {
		return p.endTag()
	}
	name := p.name()
	if name == "" {
		return p.errorf("'<' is not followed by a name")
	}
	element := &Element{Name: strings.ToLower(name), Line: line}
	empty, err := p.attributes(element, name)
	if err != nil {
		return err
	}
	if p.elements++; p.elements > p.limits.Elements {
		return &SyntaxError{Line: line, Text: fmt.Sprintf("more than %d elements", p.limits.Elements), Err: ErrLimit}
	}
	if n := len(p.stack); n > 0 {
		parent := p.stack[n-1].element
		parent.Children = append(parent.Children, element)
	} else {
		p.roots = append(p.roots, element)
	}
	if empty {
		return nil
	}
	if len(p.stack) >= p.limits.Depth {
		return &SyntaxError{Line: line, Text: fmt.Sprintf("elements nested deeper than %d", p.limits.Depth), Err: ErrLimit}
	}
	p.stack = append(p.stack, &open{element: element, written: name, from: p.pos})
	return nil
}

func (p *parser) endTag() error {
	end := p.pos - len("</")
	name := p.name()
	p.skipSpace()
	if !p.accept(">") {
		return p.errorf("closing tag </%s has no '>'", name)
	}
	n := len(p.stack)
	if n == 0 {
		return p.errorf("closing tag </%s> closes nothing", name)
	}
	top := p.stack[n-1]
	if top.written != name {
		return p.errorf("closing tag </%s> does not fit <%s> of line %d", name, top.written, top.element.Line)
	}
	top.element.Text, top.element.Inner = top.text.String(), p.text[top.from:end]
	p.stack = p.stack[:n-1]
	return nil
}

// attributes reads the rest of a start tag; empty is true for "<name/>".
func (p *parser) attributes(e *Element, written string) (empty bool, err error) {
	for {
		blank := p.skipSpace()
		switch {
		case p.accept(">"):
			return false, nil
		case p.accept("/>"):
			return true, nil
		}
		name := p.name()
		if name == "" || !blank {
			return false, p.errorf("tag <%s> is not well-formed", written)
		}
		if _, twice := e.Attr(name); twice {
			return false, p.errorf("tag <%s> has attribute %s twice", written, name)
		}
		if len(e.Attrs) >= p.limits.Attrs {
			return false, &SyntaxError{Line: p.line, Text: fmt.Sprintf("more than %d attributes", p.limits.Attrs), Err: ErrLimit}
		}
		p.skipSpace()
		if !p.accept("=") {
			return false, p.errorf("attribute %s of <%s> has no value", name, written)
		}
		p.skipSpace()
		value, err := p.quoted(name)
		if err != nil {
			return false, err
		}
		e.Attrs = append(e.Attrs, Attr{Name: name, Value: value})
	}
}

// quoted reads an attribute's value. Line breaks and tabs in it become blanks.
func (p *parser) quoted(attribute string) (string, error) {
	var quote byte
	if !p.done() {
		quote = p.text[p.pos]
	}
	if quote != '"' && quote != '\'' {
		return "", p.errorf("value of attribute %s is not in quotes", attribute)
	}
	opened := p.line
	p.advance(1)
	var value strings.Builder
	for !p.done() {
		switch c := p.text[p.pos]; {
		case c == quote:
			p.advance(1)
			return value.String(), nil
		case c == '&':
			meant, n := p.entity()
			value.WriteString(meant)
			p.advance(n)
		case c == '<' && (p.atTag() || strings.HasPrefix(p.rest(), "<!--")):
			return "", p.errorf("value of attribute %s holds a tag or comment", attribute)
		case c == '\n' || c == '\t':
			value.WriteByte(' ')
			p.advance(1)
		default:
			value.WriteByte(c)
			p.advance(1)
		}
	}
	return "", &SyntaxError{Line: opened, Text: fmt.Sprintf("value of attribute %s is never closed", attribute)}
}
