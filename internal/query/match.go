package query

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// matcher gives the test of a query over items in memory. Here parentheses only
// go around a clause's ends and mean nothing: "," parts alternatives, ";" what
// must hold together.
func matcher(text string) (func(item any) bool, error) {
	n, err := Parse(text)
	if err != nil {
		return nil, err
	}
	alternatives := flat(n)
	return func(item any) bool {
		return slices.ContainsFunc(alternatives, func(row []*Clause) bool {
			return !slices.ContainsFunc(row, func(c *Clause) bool { return !matches(item, c.Field, c) })
		})
	}, nil
}

// flat reads the clauses from left to right as if there were no parentheses.
func flat(n Node) (alternatives [][]*Clause) {
	if n.Clause != nil {
		return [][]*Clause{{n.Clause}}
	}
	for _, p := range n.Parts {
		inner := flat(p)
		if n.Or || len(alternatives) == 0 {
			alternatives = append(alternatives, inner...)
			continue
		}
		last := len(alternatives) - 1
		alternatives[last] = append(alternatives[last], inner[0]...)
		alternatives = append(alternatives, inner[1:]...)
	}
	return alternatives
}

// matches follows the path of a clause into an item. Of a list one element that
// fits is enough, also for "!=".
func matches(v any, path string, c *Clause) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return matches(inner, path, c) })
	case map[string]any:
		if inner, ok := v[path]; ok && path != "" {
			return matches(inner, "", c)
		}
		first, rest, _ := strings.Cut(path, ".")
		inner, ok := v[first]
		return ok && matches(inner, rest, c)
	case nil:
		return false
	}
	return path == "" && holds(v, c)
}

// holds compares a single value.
func holds(v any, c *Clause) bool {
	text := leafText(v)
	if c.Op == Contains {
		return strings.Contains(text, c.Value)
	}
	if n, ok := v.(json.Number); ok {
		own, err1 := n.Float64()
		wanted, err2 := strconv.ParseFloat(c.Value, 64)
		if err1 != nil || err2 != nil {
			return false
		}
		return c.Op.says(cmp.Compare(own, wanted))
	}
	if wanted, ok := date(c.Value); ok {
		if own, ok := date(text); ok {
			return c.Op.says(own.Compare(wanted))
		}
	}
	return c.Op.says(cmp.Compare(text, c.Value))
}

// says tells whether the operator accepts the outcome of a comparison.
func (o Op) says(c int) bool {
	switch o {
	case Equal:
		return c == 0
	case Unequal:
		return c != 0
	case Less:
		return c < 0
	default:
		return c > 0
	}
}
