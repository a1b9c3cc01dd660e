package query

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// Rules says what may be done with items.
type Rules struct {
	Sort   []string // fields that they may be sorted by; nil: all
	Select []string // fields that may be selected; nil: all, "a.b" is looked up by its first part
	Always []string // fields that a selection has in any case, unless only distinct items are wanted

	// Decoded gives an item as encoding/json decodes it into an any, with
	// json.Number for numbers, for whoever keeps items so; nil: they are decoded
	// for each request. What it gives is not changed.
	Decoded func(item json.RawMessage) (any, error)
}

// Items gives those items that the request wants, and how many they would be
// without offset and limit. Items are JSON values, mostly objects; what is not
// selected, sorted or compared is not looked at. Errors: fault.BadSortField,
// BadSelect, and those of Parse.
func Items(r *Request, items []json.RawMessage, rules Rules) (page []json.RawMessage, total int, err error) {
	if err := rules.check(r); err != nil {
		return nil, 0, err
	}
	items, err = rules.arranged(r, items)
	if err != nil {
		return nil, 0, err
	}
	if r.Distinct {
		if items, err = selected(items, r.Select, nil); err != nil {
			return nil, 0, err
		}
		items = distinct(items)
		page, total = r.cut(items)
		return page, total, nil
	}
	page, total = r.cut(items)
	page, err = selected(page, r.Select, rules.Always)
	return page, total, err
}

// cut takes the page that is wanted out of all items.
func (r *Request) cut(items []json.RawMessage) (page []json.RawMessage, total int) {
	page = items[min(r.Offset, len(items)):]
	if r.Limit > 0 {
		page = page[:min(r.Limit, len(page))]
	}
	return page, len(items)
}

func (rules Rules) check(r *Request) error {
	outside := func(names, allowed []string, part bool) (wrong []string) {
		for _, name := range names {
			first := name
			if part {
				first, _, _ = strings.Cut(name, ".")
			}
			if allowed != nil && !slices.Contains(allowed, name) && !slices.Contains(allowed, first) {
				wrong = append(wrong, name)
			}
		}
		return wrong
	}
	if r.Sort != nil {
		if wrong := outside(r.Sort.Fields, rules.Sort, false); wrong != nil {
			e := fault.New(fault.BadSortField, nil)
			e.Remedy = "Allowed sort fields: " + strings.Join(rules.Sort, ", ") + ". Wrong fields: " + clip(strings.Join(wrong, ", "))
			return e
		}
	}
	if wrong := outside(r.Select, rules.Select, true); wrong != nil {
		e := fault.New(fault.BadSelect, clip(strings.Join(wrong, ", ")))
		e.Remedy = strings.Join(rules.Select, ", ")
		return e
	}
	return nil
}

// arranged sorts the items and leaves out those that are not searched for. The
// list given stays as it is.
func (rules *Rules) arranged(r *Request, items []json.RawMessage) ([]json.RawMessage, error) {
	var keep func(any) bool
	if r.Q != "" {
		var err error
		if keep, err = matcher(r.Q); err != nil {
			return nil, err
		}
	}
	if r.Sort == nil && r.Search == nil && keep == nil {
		return items, nil
	}
	type item struct {
		raw   json.RawMessage
		value any
	}
	value := rules.Decoded
	if value == nil {
		value = decode
	}
	list := make([]item, len(items))
	for i, raw := range items {
		v, err := value(raw)
		if err != nil {
			return nil, err
		}
		list[i] = item{raw, v}
	}
	if r.Sort != nil {
		keys := make([][]any, len(list))
		for i := range list {
			keys[i] = sortKey(list[i].value, r.Sort.Fields)
		}
		order := sorted(keys, r.Sort.descending())
		moved := make([]item, len(list))
		for i, from := range order {
			moved[i] = list[from]
		}
		list = moved
	}
	var kept []json.RawMessage
	lower := ""
	if r.Search != nil {
		lower = strings.ToLower(r.Search.Value)
	}
	for _, it := range list {
		if r.Search != nil && r.Search.found(it.value, lower) == r.Search.Negated {
			continue
		}
		if keep == nil || keep(it.value) {
			kept = append(kept, it.raw)
		}
	}
	return kept, nil
}

// decode reads a value with numbers as they are written.
func decode(raw json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fault.Wrap(fault.NotJSON, nil, err)
	}
	return v, nil
}

// found tells whether one of an item's values contains the text.
func (s *Search) found(item any, lower string) bool {
	if object, ok := item.(map[string]any); ok && s.In != nil {
		return slices.ContainsFunc(s.In, func(name string) bool { return leafContains(object[name], lower) })
	}
	return leafContains(item, lower)
}

func leafContains(v any, lower string) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if leafContains(inner, lower) {
				return true
			}
		}
		return false
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return leafContains(inner, lower) })
	case nil:
		return false
	}
	return strings.Contains(strings.ToLower(leafText(v)), lower)
}

func leafText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// selected makes items of the wanted members only, in the order of the names;
// nil names leave them as they are.
func selected(items []json.RawMessage, names, always []string) ([]json.RawMessage, error) {
	if names == nil {
		return items, nil
	}
	names = slices.Clone(names)
	for _, name := range always {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	made := make([]json.RawMessage, 0, len(items))
	for _, raw := range items {
		object, err := result.ReadObject(raw, result.Limits{})
		if err != nil {
			made = append(made, raw) // a bare value has no members
			continue
		}
		var out result.Object
		for _, name := range names {
			if err := pick(&out, object, name); err != nil {
				return nil, err
			}
		}
		made = append(made, out.JSON())
	}
	return made, nil
}

// pick takes over a member; of "a.b" the member b of the object a.
func pick(out *result.Object, from result.Object, name string) error {
	if from.Has(name) {
		return out.Set(name, from.Get(name))
	}
	first, rest, nested := strings.Cut(name, ".")
	if !nested || !from.Has(first) {
		return nil
	}
	inner, err := result.ReadObject(from.Get(first), result.Limits{})
	if err != nil {
		return nil //nolint:nilerr // it is no object: there is no such member
	}
	var part result.Object
	if out.Has(first) {
		if part, err = result.ReadObject(out.Get(first), result.Limits{}); err != nil {
			return err
		}
	}
	if err := pick(&part, inner, rest); err != nil || len(part) == 0 {
		return err
	}
	return out.Set(first, part)
}

func distinct(items []json.RawMessage) []json.RawMessage {
	seen := make(map[string]bool, len(items))
	var first []json.RawMessage
	for _, raw := range items {
		if !seen[string(raw)] {
			seen[string(raw)] = true
			first = append(first, raw)
		}
	}
	return first
}
