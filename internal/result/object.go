package result

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Object is a JSON object whose members keep their order.
type Object []Member

// Member is one member of an Object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Get is the value of the member, nil when there is none of the name.
func (o Object) Get(name string) json.RawMessage {
	for _, m := range o {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Has tells whether there is a member of the name.
func (o Object) Has(name string) bool {
	return slices.ContainsFunc(o, func(m Member) bool { return m.Name == name })
}

// Set encodes v as the value of the member, in place or at the end.
func (o *Object) Set(name string, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	for i := range *o {
		if (*o)[i].Name == name {
			(*o)[i].Value = text
			return nil
		}
	}
	*o = append(*o, Member{name, text})
	return nil
}

// JSON writes the members in their order.
func (o Object) JSON() json.RawMessage { return o.append(nil) }

// MarshalJSON is JSON.
func (o Object) MarshalJSON() ([]byte, error) { return o.append(nil), nil }

func (o Object) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendText(dst, m.Name)
		dst = append(dst, ": "...)
		dst = append(dst, m.Value...)
	}
	return append(dst, '}')
}

// UnmarshalJSON reads an object within the default limits.
func (o *Object) UnmarshalJSON(data []byte) error {
	got, err := ReadObject(bytes.Clone(data), Limits{}) // the decoder's, who goes on to use it
	if err != nil {
		return err
	}
	*o = got
	return nil
}

// ReadObject reads one JSON object. When a name comes more than once the last
// value counts, at the place of the first. The values are parts of data, which
// must not be changed afterwards.
func ReadObject(data []byte, l Limits) (Object, error) {
	if err := l.check(data); err != nil {
		return nil, err
	}
	return members(data)
}

// SplitObject is ReadObject for what is known to be JSON within the limits: a
// part of what was read before.
func SplitObject(data []byte) (Object, error) { return members(data) }
