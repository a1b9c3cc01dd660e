package result

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
)

// values merges the values of two objects, member by member.
type values struct {
	// priority is the order in which texts win over each other.
	priority []string
}

// older is the member whose text is not joined: the time span that was asked
// for, which is the same for all nodes.
const older = "older_than"

// objects gives a with the members of b: missing ones are taken, the others
// merged.
func (v values) objects(a, b Object) (Object, error) {
	merged := slices.Clone(a)
	places := make(map[string]int, len(a))
	for i, m := range a {
		places[m.Name] = i
	}
	for _, m := range b {
		i, there := places[m.Name]
		if !there {
			places[m.Name] = len(merged)
			merged = append(merged, m)
			continue
		}
		value, err := v.two(m.Name, merged[i].Value, m.Value)
		if err != nil {
			return nil, err
		}
		merged[i].Value = value
	}
	return merged, nil
}

// kind is what a JSON value is, told by its first byte.
func kind(v json.RawMessage) byte {
	v = bytes.TrimLeft(v, " \t\r\n")
	if len(v) == 0 {
		return 'n'
	}
	if c := v[0]; c == '-' || '0' <= c && c <= '9' {
		return '0'
	}
	return v[0]
}

// two merges the values that two objects have under one name. Where the values
// are of different kinds, or can only be one, a's stays; null gives way.
func (v values) two(name string, a, b json.RawMessage) (json.RawMessage, error) {
	ka, kb := kind(a), kind(b)
	switch {
	case ka == 'n':
		return b, nil
	case ka != kb:
		return a, nil
	case ka == '{':
		return v.twoObjects(a, b)
	case ka == '[':
		return twoLists(a, b)
	case ka == '0':
		return add(a, b), nil
	case ka == '"' && name != older:
		return v.twoTexts(a, b)
	}
	return a, nil
}

func (v values) twoObjects(a, b json.RawMessage) (json.RawMessage, error) {
	left, err := members(a)
	if err != nil {
		return nil, err
	}
	right, err := members(b)
	if err != nil {
		return nil, err
	}
	merged, err := v.objects(left, right)
	return merged.append(nil), err
}

// twoTexts gives the text that wins by priority, else both with a bar between.
func (v values) twoTexts(a, b json.RawMessage) (json.RawMessage, error) {
	left, err := text(a)
	if err != nil {
		return nil, err
	}
	right, err := text(b)
	if err != nil {
		return nil, err
	}
	if left == right {
		return a, nil
	}
	for _, first := range v.priority {
		if left == first {
			return a, nil
		}
		if right == first {
			return b, nil
		}
	}
	return appendText(nil, left+"|"+right), nil
}

// twoLists appends the elements of b that a does not have.
func twoLists(a, b json.RawMessage) (json.RawMessage, error) {
	limit := len(a) + len(b)
	left, err := elements(a, limit, "list")
	if err != nil {
		return nil, err
	}
	right, err := elements(b, limit, "list")
	if err != nil {
		return nil, err
	}
	seen := make(map[string]struct{}, len(left)+len(right))
	merged := make([]json.RawMessage, 0, len(left)+len(right))
	for _, element := range slices.Concat(left, right) {
		key := canonical(element)
		if _, twice := seen[key]; twice {
			continue
		}
		seen[key] = struct{}{}
		merged = append(merged, element)
	}
	return appendList(nil, merged, func(dst []byte, e json.RawMessage) []byte { return append(dst, e...) }), nil
}

// canonical is equal for values that are equal as JSON, whatever their spaces,
// escapes and order of members.
func canonical(v json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	var decoded any
	if dec.Decode(&decoded) != nil {
		return string(v)
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		return string(v)
	}
	return string(text)
}

// maxDigits bounds the whole numbers that are added exactly.
const maxDigits = 64

// add adds two JSON numbers: whole ones exactly, others as floating point. A
// sum that has no form in JSON stays at a.
func add(a, b json.RawMessage) json.RawMessage {
	if len(a) <= maxDigits && len(b) <= maxDigits {
		x, wholeA := new(big.Int).SetString(string(a), 10)
		y, wholeB := new(big.Int).SetString(string(b), 10)
		if wholeA && wholeB {
			return json.RawMessage(x.Add(x, y).String())
		}
	}
	x, errA := strconv.ParseFloat(string(a), 64)
	y, errB := strconv.ParseFloat(string(b), 64)
	text, err := json.Marshal(x + y)
	if errA != nil || errB != nil || err != nil {
		return a
	}
	return text
}
