package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// parseJSON reads a whole JSON document. Errors are *lineError.
func parseJSON(data []byte) (*node, error) {
	p := jsonParser{data: data, line: 1}
	if !utf8.Valid(data) {
		return nil, &lineError{1, "not UTF-8"}
	}
	p.dec = json.NewDecoder(bytes.NewReader(data))
	p.dec.UseNumber()
	root, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.token(); !errors.Is(err, io.EOF) {
		return nil, &lineError{p.line, "something follows the document"}
	}
	return root, nil
}

type jsonParser struct {
	data    []byte
	dec     *json.Decoder
	line    int // of the last token
	counted int // bytes whose line breaks are in line
}

// token reads on and brings line up to the token. A token holds no line break,
// so the line of its end is that of its start.
func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	end := int(p.dec.InputOffset())
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		end = max(p.counted, min(int(syntax.Offset), len(p.data)))
	}
	p.line += bytes.Count(p.data[p.counted:end], []byte("\n"))
	p.counted = end
	return t, err
}

func (p *jsonParser) value(depth int) (*node, error) {
	t, err := p.token()
	if err != nil {
		return nil, p.fault(err)
	}
	if depth > maxDepth {
		return nil, &lineError{p.line, fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	n := &node{line: p.line}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			n.kind = kindObject
			return n, p.object(n, depth)
		}
		n.kind = kindList
		return n, p.list(n, depth)
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(t)
	}
	return n, nil
}

func (p *jsonParser) object(n *node, depth int) error {
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return p.fault(err)
		}
		key, ok := t.(string)
		if !ok {
			return &lineError{p.line, "a key is no text"}
		}
		line := p.line
		value, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		if err := n.addMember(key, line, value); err != nil {
			return err
		}
	}
	_, err := p.token()
	return p.fault(err)
}

func (p *jsonParser) list(n *node, depth int) error {
	for p.dec.More() {
		value, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.list = append(n.list, value)
	}
	_, err := p.token()
	return p.fault(err)
}

// fault gives the decoder's error the line of the last token read.
func (p *jsonParser) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &lineError{p.line, "the document ends too early"}
	}
	return &lineError{p.line, err.Error()}
}
