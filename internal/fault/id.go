package fault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
)

// ID names one resource that an error concerns: a text such as an agent's
// "001" or a node's name, or a whole number, as rules and users have. On the
// wire it is a JSON text or number. IDs can be compared with ==.
type ID struct {
	text   string
	number bool
}

// TextID is the id that is sent as a text.
func TextID(text string) ID { return ID{text: text} }

// TextIDs makes a text id of each of texts.
func TextIDs(texts ...string) []ID {
	ids := make([]ID, len(texts))
	for i, text := range texts {
		ids[i] = TextID(text)
	}
	return ids
}

// NumberID is the id that is sent as a number.
func NumberID(n int64) ID { return ID{text: strconv.FormatInt(n, 10), number: true} }

// String is the id for people, without a sign of its kind.
func (id ID) String() string { return id.text }

// IsNumber tells whether the id is sent as a number.
func (id ID) IsNumber() bool { return id.number }

// Compare orders ids: numbers by value, then texts.
func (id ID) Compare(other ID) int {
	switch {
	case id.number && other.number:
		a, _ := strconv.ParseInt(id.text, 10, 64)
		b, _ := strconv.ParseInt(other.text, 10, 64)
		return cmp.Compare(a, b)
	case id.number:
		return -1
	case other.number:
		return 1
	}
	return cmp.Compare(id.text, other.text)
}

// MarshalJSON is the JSON text or number.
func (id ID) MarshalJSON() ([]byte, error) { return id.append(nil), nil }

func (id ID) append(dst []byte) []byte {
	if id.number {
		return append(dst, id.text...)
	}
	return appendString(dst, id.text)
}

// UnmarshalJSON takes a JSON text or number. A number that is not a whole one
// of 64 bits is refused.
func (id *ID) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("read id: %w", err)
	}
	got, ok := toID(v)
	if !ok {
		return fmt.Errorf("read id: %.40q is neither a text nor a whole number", data)
	}
	*id = got
	return nil
}

// toID takes a decoded text or whole number.
func toID(v any) (id ID, ok bool) {
	switch v := v.(type) {
	case string:
		return TextID(v), true
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return NumberID(n), err == nil
	}
	return ID{}, false
}
