package result

import (
	"encoding/json"
	"strconv"

	"testudo/internal/fault"
)

// Decode reads the answer to a request: the wire form of a result or an error.
// What it returns refers to data, which must not be changed afterwards.
//
// The error is number 3036 for what is no JSON, else 1000: not a result, a
// class that does not exist, a missing key, more than the limits allow.
func Decode(data []byte, l Limits) (Outcome, error) {
	if err := l.check(data); err != nil {
		return Outcome{}, err
	}
	d := decoder{l.orDefault()}
	outer, err := members(data)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case outer.Has("__wazuh_result__"):
		r, err := d.result(outer.Get("__wazuh_result__"))
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Result: r}, nil
	case outer.Has("__wazuh_exception__"):
		e, ok := fault.ParseBare(outer.Get("__wazuh_exception__"), d.IDs)
		if !ok {
			return Outcome{}, undecodable("an error of unknown form")
		}
		return Outcome{Err: e}, nil
	}
	return Outcome{}, undecodable("neither a result nor an error")
}

// decoder reads values that are known to be valid JSON and not too deep.
type decoder struct{ Limits }

func (d decoder) result(data json.RawMessage) (Result, error) {
	envelope, err := members(data)
	if err != nil {
		return nil, err
	}
	class, err := text(envelope.Get("__class__"))
	if err != nil {
		return nil, err
	}
	object, err := members(envelope.Get("__object__"))
	if err != nil {
		return nil, err
	}
	switch class {
	case classPlain:
		return d.plain(object)
	case classAffected:
		return d.affected(object)
	}
	return nil, undecodable("class %.80q does not exist", class)
}

func (d decoder) plain(o Object) (*Plain, error) {
	priority, err := d.texts(o, "str_priority")
	if err != nil {
		return nil, err
	}
	body := o.Get("result")
	if len(body) == 0 || body[0] != '{' {
		return nil, undecodable("result: no object")
	}
	return &Plain{StrPriority: priority, Body: body}, nil
}

func (d decoder) affected(o Object) (*Affected, error) {
	a := &Affected{}
	for _, step := range []func(*Affected, Object) error{d.items, d.sorting, d.numbers, d.messages, d.failures} {
		if err := step(a, o); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (d decoder) items(a *Affected, o Object) (err error) {
	a.Items, err = elements(o.Get("affected_items"), d.Items, "affected_items")
	return err
}

func (d decoder) sorting(a *Affected, o Object) (err error) {
	if a.SortFields, err = d.texts(o, "sort_fields"); err != nil {
		return err
	}
	if a.SortCasting, err = d.texts(o, "sort_casting"); err != nil {
		return err
	}
	directions, err := elements(o.Get("sort_ascending"), maxSort, "sort_ascending")
	a.SortAscending = make([]bool, len(directions))
	for i, v := range directions {
		a.SortAscending[i] = isTrue(v)
	}
	return err
}

// maxSort bounds the fields by which items are sorted.
const maxSort = 64

func (d decoder) numbers(a *Affected, o Object) error {
	raw := o.Get("total_affected_items")
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return undecodable("total_affected_items: %.40q", raw)
	}
	a.Total = int(n)
	a.Extra, err = members(o.Get("dikt"))
	return err
}

func (d decoder) messages(a *Affected, o Object) (err error) {
	if a.AllMsg, err = text(o.Get("all_msg")); err != nil {
		return err
	}
	if a.SomeMsg, err = text(o.Get("some_msg")); err != nil {
		return err
	}
	a.NoneMsg, err = text(o.Get("none_msg"))
	return err
}

func (d decoder) failures(a *Affected, o Object) error {
	keys, err := elements(o.Get("failed_items_keys"), d.Failures, "failed_items_keys")
	if err != nil {
		return err
	}
	values, err := elements(o.Get("failed_items_values"), d.Failures, "failed_items_values")
	if err != nil {
		return err
	}
	if len(keys) != len(values) {
		return undecodable("failed items: %d errors, %d lists of ids", len(keys), len(values))
	}
	left, united := d.IDs, newFailures()
	for i, key := range keys {
		e, ok := fault.ParseBare(key, d.IDs)
		if !ok {
			return undecodable("failed items: an error of unknown form")
		}
		ids, err := readIDs(values[i], left)
		if err != nil {
			return err
		}
		left -= len(ids)
		united.add(Failure{Err: e, IDs: ids})
	}
	a.Failed = united.distinct()
	return nil
}

func readIDs(data json.RawMessage, limit int) ([]ID, error) {
	list, err := elements(data, limit, "failed_items_values")
	if err != nil {
		return nil, err
	}
	ids := make([]ID, len(list))
	for i, v := range list {
		if err := ids[i].UnmarshalJSON(v); err != nil {
			return nil, undecodable("failed_items_values: %v", err)
		}
	}
	return ids, nil
}

// texts reads a list of texts, which may be null: nil.
func (d decoder) texts(o Object, name string) ([]string, error) {
	raw := o.Get(name)
	if string(raw) == "null" {
		return nil, nil
	}
	list, err := elements(raw, maxSort, name)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], err = text(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isTrue takes a direction as the original does: a text that is not empty and
// a number that is not 0 count as true.
func isTrue(v json.RawMessage) bool {
	switch string(v) {
	case "false", "null", `""`, "[]", "{}":
		return false
	}
	n, err := strconv.ParseFloat(string(v), 64)
	return err != nil || n != 0
}
