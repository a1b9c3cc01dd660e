package rulesetapi

import (
	"bytes"
	"encoding/json"
	"sync"
)

// valuesBytes bounds the JSON of the items that are kept decoded, which takes
// some eight times as much memory.
const valuesBytes = 8 << 20

// values keeps items decoded, from the first request on that compares them. An
// item is known by where it stands in memory: items are shared and do not
// change.
type values struct {
	mu   sync.Mutex
	room int
	kept map[*byte]any
}

func newValues() *values { return &values{room: valuesBytes, kept: map[*byte]any{}} }

// of decodes an item, with numbers as they are written.
func (v *values) of(item json.RawMessage) (any, error) {
	v.mu.Lock()
	known, ok := v.kept[&item[0]]
	v.mu.Unlock()
	if ok {
		return known, nil
	}
	d := json.NewDecoder(bytes.NewReader(item))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.room >= len(item) {
		v.room -= len(item)
		v.kept[&item[0]] = value
	}
	return value, nil
}
