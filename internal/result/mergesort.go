package result

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
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
	number *big.Float // nil for a number that small holds exactly
	small  float64
	text   string
}

// float is the number.
func (k sortKey) float() *big.Float {
	if k.number == nil {
		return big.NewFloat(k.small)
	}
	return k.number
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
	key, ok := number(v, k, f.casting == "int")
	if !ok {
		return sortKey{}, undecodable("%.40q cannot be compared as %s", v, f.casting)
	}
	return key, nil
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
func number(v json.RawMessage, k byte, whole bool) (key sortKey, ok bool) {
	switch k {
	case 't':
		return sortKey{small: 1}, true
	case 'f':
		return sortKey{}, true
	case '0':
		return parseNumber(string(v), whole, false)
	case '"':
		if s, err := text(v); err == nil {
			return parseNumber(strings.TrimSpace(s), whole, true)
		}
	}
	return sortKey{}, false
}

// parseNumber reads a number. As a whole one, a number loses its fraction, a
// text must not have one.
func parseNumber(s string, whole, isText bool) (key sortKey, ok bool) {
	if whole {
		if key, ok = wholeNumber(s); ok || isText {
			return key, ok
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) {
		return sortKey{}, false
	}
	if whole {
		f = math.Trunc(f)
	}
	return sortKey{small: f}, true
}

// maxNumber bounds the digits of a whole number that is compared, maxSmall
// those of one that a float64 holds exactly.
const (
	maxNumber = 4300
	maxSmall  = 15
)

func wholeNumber(s string) (key sortKey, ok bool) {
	if len(s) <= maxSmall {
		n, err := strconv.ParseInt(s, 10, 64)
		return sortKey{small: float64(n)}, err == nil
	}
	if len(s) > maxNumber {
		return sortKey{}, false
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return sortKey{}, false
	}
	return sortKey{number: new(big.Float).SetInt(n)}, true
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
	c := cmp.Compare(a.text, b.text)
	switch {
	case a.number != nil || b.number != nil:
		c = a.float().Cmp(b.float())
	case f.casting != "str":
		c = cmp.Compare(a.small, b.small)
	}
	if !f.ascending {
		c = -c
	}
	return c
}
