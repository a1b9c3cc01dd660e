package rulesetapi

import (
	"bytes"
	"strings"

	"testudo/internal/fault"
	"testudo/internal/ossecxml"
)

// parseXML reads a file of rules or decoders.
func parseXML(text []byte) ([]*ossecxml.Element, error) {
	return ossecxml.Parse(bytes.NewReader(text), ossecxml.Limits{})
}

// appendText writes s as a JSON string; what is no UTF-8 is replaced.
func appendText(dst []byte, s string) []byte {
	return fault.AppendText(dst, strings.ToValidUTF8(s, "\uFFFD"))
}

// document writes elements as one JSON object, as files are shown that are not
// asked for raw (docs/rulesetfunctions.md §5).
func document(elements []*ossecxml.Element) []byte { return appendContent(nil, nil, elements, "") }

// appendContent writes what an element holds: attributes first, each with "@"
// before its name, then its elements by name, those of one name as a list, then
// its text as "#text".
func appendContent(dst []byte, attrs []ossecxml.Attr, children []*ossecxml.Element, text string) []byte {
	dst = append(dst, '{')
	first := true
	name := func(n string) {
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		dst = append(appendText(dst, n), ": "...)
	}
	for _, a := range attrs {
		name("@" + a.Name)
		dst = appendText(dst, a.Value)
	}
	for _, same := range byName(children) {
		name(same[0].Name)
		if len(same) == 1 {
			dst = appendElement(dst, same[0])
			continue
		}
		dst = append(dst, '[')
		for i, e := range same {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendElement(dst, e)
		}
		dst = append(dst, ']')
	}
	if text != "" {
		name("#text")
		dst = appendText(dst, text)
	}
	return append(dst, '}')
}

// appendElement writes an element: null when there is nothing in it, its text
// when there is nothing else, else an object.
func appendElement(dst []byte, e *ossecxml.Element) []byte {
	text := strings.TrimSpace(e.Text)
	switch {
	case len(e.Attrs) > 0 || len(e.Children) > 0:
		return appendContent(dst, e.Attrs, e.Children, text)
	case text == "":
		return append(dst, "null"...)
	}
	return appendText(dst, text)
}

// byName groups elements by name, in the order of the first of each.
func byName(elements []*ossecxml.Element) (groups [][]*ossecxml.Element) {
	at := map[string]int{}
	for _, e := range elements {
		i, ok := at[e.Name]
		if !ok {
			i = len(groups)
			at[e.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}
