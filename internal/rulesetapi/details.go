package rulesetapi

import (
	"slices"
	"strings"

	"testudo/internal/ossecxml"
)

// details is what a rule or decoder says beside its own fields: text, pattern
// or list by name, in the order of the first of each name.
type details struct {
	names  []string
	values map[string]*detail
}

// detail is one of them.
type detail struct {
	pattern bool            // values are parts of one pattern
	texts   []string        // of each element
	attrs   []ossecxml.Attr // of a pattern
	objects [][]ossecxml.Attr
}

func (d *details) get(name string) *detail {
	if d.values == nil {
		d.values = map[string]*detail{}
	}
	v := d.values[name]
	if v == nil {
		v = &detail{}
		d.values[name] = v
		d.names = append(d.names, name)
	}
	return v
}

// addText adds the text of an element.
func (d *details) addText(name, text string) {
	v := d.get(name)
	v.texts = append(v.texts, text)
}

// addPattern adds to a pattern: several elements of one name make one, as where
// events are analysed.
func (d *details) addPattern(name, text string, attrs []ossecxml.Attr) {
	v := d.get(name)
	v.pattern = true
	v.texts = append(v.texts, text)
	for _, a := range attrs {
		v.attrs = slices.DeleteFunc(v.attrs, func(b ossecxml.Attr) bool { return b.Name == a.Name })
		v.attrs = append(v.attrs, a)
	}
}

// addNamed adds an object of a name and attributes.
func (d *details) addNamed(name, text string, attrs []ossecxml.Attr) {
	v := d.get(name)
	v.objects = append(v.objects, append([]ossecxml.Attr{{Name: "name", Value: text}}, attrs...))
}

func (d *details) has(name string) bool { return d.values[name] != nil }

// append writes the details as a JSON object.
func (d *details) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range d.names {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(appendText(dst, name), ": "...)
		dst = d.values[name].append(dst)
	}
	return append(dst, '}')
}

func (v *detail) append(dst []byte) []byte {
	if v.pattern {
		return appendAttrs(dst, append([]ossecxml.Attr{{Name: "pattern", Value: strings.Join(v.texts, "")}}, v.attrs...))
	}
	n := len(v.texts) + len(v.objects)
	if n > 1 {
		dst = append(dst, '[')
	}
	for i, t := range v.texts {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendText(dst, t)
	}
	for i, o := range v.objects {
		if i+len(v.texts) > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendAttrs(dst, o)
	}
	if n > 1 {
		dst = append(dst, ']')
	}
	return dst
}

func appendAttrs(dst []byte, attrs []ossecxml.Attr) []byte {
	dst = append(dst, '{')
	for i, a := range attrs {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(appendText(dst, a.Name), ": "...)
		dst = appendText(dst, a.Value)
	}
	return append(dst, '}')
}

// appendTexts writes a list of texts.
func appendTexts(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendText(dst, s)
	}
	return append(dst, ']')
}
