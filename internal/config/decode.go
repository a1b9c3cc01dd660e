package config

import (
	"fmt"
	"strings"
)

// decoder takes a file's values over into a Config, by a table of fields.
type decoder struct {
	*report
	config         *Config
	fields         map[string]*field
	sections       map[string]bool          // paths that have fields below them
	special        map[string]func(n *node) // paths that are no plain fields
	numericSeconds bool                     // how durations are written; see field.set
}

func newDecoder(r *report, c *Config, fields []field, numericSeconds bool) *decoder {
	d := &decoder{
		report: r, config: c, fields: map[string]*field{}, sections: map[string]bool{},
		special: map[string]func(*node){}, numericSeconds: numericSeconds,
	}
	for i := range fields {
		path := fields[i].path
		d.fields[path] = &fields[i]
		for {
			dot := strings.LastIndexByte(path, '.')
			if dot < 0 {
				break
			}
			path = path[:dot]
			d.sections[path] = true
		}
	}
	return d
}

// object takes over an object at path ("" for the whole file).
func (d *decoder) object(n *node, path string) {
	switch {
	case n.kind == kindNull && path != "":
		return // a section whose settings are all commented out
	case n.kind != kindObject:
		d.errorf(n.line, path, "must be an object, not %s", n.describe())
		return
	}
	for _, m := range n.members {
		at := m.key
		if path != "" {
			at = path + "." + m.key
		}
		switch {
		case d.fields[at] != nil:
			d.field(d.fields[at], m.value)
		case d.special[at] != nil:
			d.special[at](m.value)
		case d.sections[at]:
			d.object(m.value, at)
		default:
			d.errorf(m.line, printable(at), "unknown key%s", d.suggest(path, at))
		}
	}
}

func (d *decoder) field(f *field, n *node) {
	if err := f.set(d.config, n, d.numericSeconds); err != nil {
		d.errorf(n.line, f.path, "%s", err)
		return
	}
	d.config.sources[f.path] = fmt.Sprintf("%s:%d", d.file, n.line)
}

// suggest names the known key beside an unknown one that looks most like it.
func (d *decoder) suggest(parent, unknown string) string {
	best, bestDistance := "", 4
	try := func(path string) {
		if parentOf(path) != parent {
			return
		}
		if n := distance(path, unknown); n < bestDistance || n == bestDistance && path < best {
			best, bestDistance = path, n
		}
	}
	for path := range d.fields {
		try(path)
	}
	for path := range d.sections {
		try(path)
	}
	for path := range d.special {
		try(path)
	}
	if best == "" {
		return ""
	}
	return "; is " + best + " meant?"
}

func parentOf(path string) string {
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		return path[:dot]
	}
	return ""
}

// distance is the number of letters to insert, remove or exchange on the way
// from a to b; more than 3 is all the same and given as 4.
func distance(a, b string) int {
	const far = 4
	if len(a)-len(b) >= far || len(b)-len(a) >= far {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return min(row[len(b)], far)
}

// printable makes a key of a file fit for a line of text.
func printable(key string) string {
	for _, r := range key {
		if r < ' ' || r > '~' {
			return fmt.Sprintf("%.80q", key)
		}
	}
	if len(key) > 80 {
		return key[:80] + "..."
	}
	return key
}
