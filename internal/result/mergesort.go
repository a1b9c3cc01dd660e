package result

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// ordering compares affected items as the lists of a result say.
type ordering struct {
	fields []sortField
	whole  bool // the item itself is compared, not its members
}

type sortField struct {
	path      []string
	casting   string
	ascending bool
}

// newOrdering reads the lists of a; the shortest counts.
func newOrdering(a *Affected) ordering {
	names := a.SortFields
	o := ordering{whole: names == nil}
	if o.whole {
		names = []string{""}
	}
	casting, ascending := a.casting(), a.ascending()
	for i := range min(len(names), len(casting), len(ascending)) {
		o.fields = append(o.fields, sortField{strings.Split(names[i], "."), casting[i], ascending[i]})
	}
	return o
}

// merge joins two lists that are each sorted. Of equal items that of a comes
// first. The error is that of an item that cannot be compared.
func (o ordering) merge(a, b []json.RawMessage) ([]json.RawMessage, error) {
	merged := make([]json.RawMessage, 0, len(a)+len(b))
	left, right := head{list: a}, head{list: b}
	for len(left.list) > 0 && len(right.list) > 0 {
		keysLeft, err := left.keysBy(o)
		if err != nil {
			return nil, err
		}
		keysRight, err := right.keysBy(o)
		if err != nil {
			return nil, err
		}
		if o.compare(keysLeft, keysRight) <= 0 {
			merged = append(merged, left.take())
		} else {
			merged = append(merged, right.take())
		}
	}
	return append(append(merged, left.list...), right.list...), nil
}

// head is a list of which the first item's keys are kept.
type head struct {
	list []json.RawMessage
	keys []sortKey
}

func (h *head) keysBy(o ordering) (keys []sortKey, err error) {
	if h.keys == nil {
		h.keys, err = o.keys(h.list[0])
	}
	return h.keys, err
}

func (h *head) take() json.RawMessage {
	first := h.list[0]
	h.list, h.keys = h.list[1:], nil
	return first
}

// sortKey is one value to compare by: nothing, a number or a text.
type sortKey struct {
	null   bool
	number *big.Float
	text   string
}

func (o ordering) keys(item json.RawMessage) ([]sortKey, error) {
	keys := make([]sortKey, len(o.fields))
	for i, f := range o.fields {
		value := item
		if !o.whole {
			value = lookUp(item, f.path)
		}
		var err error
		if keys[i], err = f.cast(value); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// lookUp follows a path into objects; what is not there is null.
func lookUp(item json.RawMessage, path []string) json.RawMessage {
	for _, name := range path {
		if kind(item) != '{' {
			return nil
		}
		object, err := members(item)
		if err != nil {
			return nil
		}
		item = object.Get(name)
	}
	return item
}

// cast takes a value as the type that is compared. The original takes the name
// of any of its types; here it is one of three.
func (f sortField) cast(v json.RawMessage) (sortKey, error) {
	k := kind(v)
	switch {
	case k == 'n':
		return sortKey{null: true}, nil
	case f.casting == "str" && k == '"':
		s, err := text(v)
		return sortKey{text: s}, err
	case f.casting == "str":
		return sortKey{text: compact(v)}, nil
	case f.casting != "int" && f.casting != "float":
		return sortKey{}, undecodable("sort_casting %.40q does not exist", f.casting)
	}
	n, ok := number(v, k, f.casting == "int")
	if !ok {
		return sortKey{}, undecodable("%.40q cannot be compared as %s", v, f.casting)
	}
	return sortKey{number: n}, nil
}

// compact is JSON text without spaces.
func compact(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// number takes a number, a truth value or a text of a number.
func number(v json.RawMessage, k byte, whole bool) (*big.Float, bool) {
	switch k {
	case 't':
		return big.NewFloat(1), true
	case 'f':
		return new(big.Float), true
	case '0':
		return parseNumber(string(v), whole, false)
	case '"':
		if s, err := text(v); err == nil {
			return parseNumber(strings.TrimSpace(s), whole, true)
		}
	}
	return nil, false
}

// parseNumber reads a number of at most maxNumber bytes. As a whole one, a
// number loses its fraction, a text must not have one.
func parseNumber(s string, whole, isText bool) (*big.Float, bool) {
	if whole {
		if n, ok := wholeNumber(s); ok || isText {
			return n, ok
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return nil, false
	}
	n := big.NewFloat(f)
	if whole {
		cut, _ := n.Int(nil)
		n.SetInt(cut)
	}
	return n, true
}

// maxNumber bounds the digits of a whole number that is compared.
const maxNumber = 4300

func wholeNumber(s string) (*big.Float, bool) {
	if len(s) > maxNumber {
		return nil, false
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, false
	}
	return new(big.Float).SetInt(n), true
}

func (o ordering) compare(a, b []sortKey) int {
	for i, f := range o.fields {
		if c := f.compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// compare puts null first in either direction.
func (f sortField) compare(a, b sortKey) int {
	switch {
	case a.null && b.null:
		return 0
	case a.null:
		return -1
	case b.null:
		return 1
	}
	var c int
	if a.number != nil {
		c = a.number.Cmp(b.number)
	} else {
		c = cmp.Compare(a.text, b.text)
	}
	if !f.ascending {
		c = -c
	}
	return c
}
