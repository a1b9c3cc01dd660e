package query

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// sortKey gives the values that an item is sorted by, nil when one is missing.
func sortKey(item any, fields []string) []any {
	if len(fields) == 0 {
		return []any{item}
	}
	key := make([]any, len(fields))
	for i, name := range fields {
		value := item
		for part := range strings.SplitSeq(name, ".") {
			object, ok := value.(map[string]any)
			if !ok || object[part] == nil {
				return nil
			}
			value = object[part]
		}
		key[i] = value
	}
	return key
}

// sorted gives the order of the keys. Where some cannot be compared, because a
// value is missing or of another kind, items that have all come behind the
// others, or before them when the order is descending.
func sorted(keys [][]any, descending bool) []int {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	if !alike(keys) {
		slices.SortStableFunc(order, func(a, b int) int {
			c := cmp.Compare(presence(keys[a]), presence(keys[b]))
			if descending {
				return -c
			}
			return c
		})
		return order
	}
	for _, key := range keys {
		for i, v := range key {
			key[i] = inOrder(v)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		for i := range keys[a] {
			c := compareLeaves(keys[a][i], keys[b][i])
			if descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return order
}

func presence(key []any) int {
	if key == nil {
		return 0
	}
	return 1
}

// alike tells whether all keys are there and each field is of one kind.
func alike(keys [][]any) bool {
	for _, key := range keys {
		if key == nil {
			return false
		}
		for j := range key {
			if kindOf(key[j]) == kindOther || kindOf(key[j]) != kindOf(keys[0][j]) {
				return false
			}
		}
	}
	return true
}

const (
	kindOther = iota
	kindText
	kindNumber
	kindBool
)

func kindOf(v any) int {
	switch v.(type) {
	case string:
		return kindText
	case json.Number:
		return kindNumber
	case bool:
		return kindBool
	}
	return kindOther
}

// inOrder is a value as compareLeaves takes it: a number as a float64, all else
// as a text in small letters.
func inOrder(v any) any {
	if n, ok := v.(json.Number); ok {
		f, _ := n.Float64() // a JSON number; beyond all floats it is infinite
		return f
	}
	return strings.ToLower(leafText(v))
}

// compareLeaves compares two values that inOrder gave for one kind.
func compareLeaves(a, b any) int {
	if x, ok := a.(float64); ok {
		y, _ := b.(float64)
		return cmp.Compare(x, y)
	}
	x, _ := a.(string)
	y, _ := b.(string)
	return cmp.Compare(x, y)
}
