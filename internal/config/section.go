package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// JSON is the section as local programs ask for it (docs/local.md §2): a number
// for the port, true or false for disabled, texts for all else, the key in clear,
// and whatever else stands in the section.
func (c *Cluster) JSON() ([]byte, error) {
	type member struct {
		name  string
		value any
	}
	members := []member{
		{"name", c.Name}, {"node_name", c.NodeName}, {"node_type", string(c.Role)}, {"key", c.Key.Reveal()},
		{"port", c.Port}, {"bind_addr", c.BindAddr}, {"nodes", c.Nodes}, {"hidden", c.Hidden}, {"disabled", c.Disabled},
	}
	extra := make([]member, 0, len(c.Extra))
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		extra = append(extra, member{name, c.Extra[name]})
	}
	var b bytes.Buffer
	before := "{"
	for _, m := range slices.Concat(members, extra) {
		b.WriteString(before)
		before = ", "
		if err := writeJSON(&b, m.name); err != nil {
			return nil, err
		}
		b.WriteString(": ")
		if err := writeJSON(&b, m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// writeJSON writes a value as the original does: a blank behind each comma.
func writeJSON(b *bytes.Buffer, value any) error {
	list, ok := value.([]string)
	if !ok {
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(value); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the encoder ends lines
		return nil
	}
	before := ""
	b.WriteByte('[')
	for _, text := range list {
		b.WriteString(before)
		before = ", "
		if err := writeJSON(b, text); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}
