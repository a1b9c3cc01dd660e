package ossecxml

import (
	"errors"
	"fmt"
)

// ErrLimit is returned (inside a *SyntaxError) when a document is larger,
// deeper or holds more elements or attributes than the limits allow.
var ErrLimit = errors.New("limit exceeded")

// SyntaxError says why a document cannot be read, and where.
type SyntaxError struct {
	Line int    // from 1
	Text string // what is wrong, for people; never holds control characters
	Err  error  // ErrLimit, or nil
}

// Error gives the text followed by the line.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s: line %d", e.Text, e.Line) }

// Unwrap gives ErrLimit when a limit was the reason, else nil.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Attr is one attribute as written, its value decoded.
type Attr struct {
	Name  string // case kept
	Value string
}

// Element is one element of a document.
type Element struct {
	Name     string     // lower case
	Text     string     // decoded text before the first child element, not trimmed
	Inner    string     // everything between the tags, as written
	Attrs    []Attr     // in the order written, names unique
	Line     int        // line of the opening '<', from 1
	Children []*Element // in the order written
}

// Attr returns the value of the attribute called name (case matters).
func (e *Element) Attr(name string) (string, bool) {
	for _, a := range e.Attrs {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// Child returns the last child called name (lower case), nil when there is
// none. The last one counts, as everywhere in this format.
func (e *Element) Child(name string) *Element {
	for i := len(e.Children) - 1; i >= 0; i-- {
		if e.Children[i].Name == name {
			return e.Children[i]
		}
	}
	return nil
}

// Limits bounds what Parse takes in. A zero field means its default.
type Limits struct {
	Bytes    int64 // size of the document; default 16 MiB
	Depth    int   // nesting of elements; default 64
	Elements int   // number of elements; default 200,000
	Attrs    int   // attributes of one element; default 256
}

// Defaults of Limits.
const (
	DefaultBytes    = 16 << 20
	DefaultDepth    = 64
	DefaultElements = 200_000
	DefaultAttrs    = 256
)

// withDefaults fills in what the caller left at zero.
func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	if l.Elements <= 0 {
		l.Elements = DefaultElements
	}
	if l.Attrs <= 0 {
		l.Attrs = DefaultAttrs
	}
	return l
}
