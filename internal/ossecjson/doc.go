// Package ossecjson makes JSON of ossec.conf and agent.conf as users of the API
// see them (docs/nodefunctions.md §2). Texts stay texts; which options are lists
// and which sections are there more than once a table says.
package ossecjson

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"testudo/internal/fault"
	"testudo/internal/ossecxml"
	"testudo/internal/result"
)

// Names of the roots.
const (
	mainRoot  = "ossec_config"
	agentRoot = "agent_config"
	module    = "wodle" // a section that its attribute name names
)

// Main converts ossec.conf: its sections, in the order in which they first come.
// The error is fault.UnknownComponent, of a file that cannot be converted.
func Main(roots []*ossecxml.Element) (result.Object, error) {
	sections, left := new(object), budget(mostParts)
	for _, root := range roots {
		if root.Name != mainRoot {
			continue
		}
		if err := convert(&left, sections, root); err != nil {
			return nil, err
		}
	}
	return sections.members()
}

// Agent converts agent.conf: one {"filters": {...}, "config": {...}} for each
// set of attributes that its roots have. The error is fault.UnknownComponent.
func Agent(roots []*ossecxml.Element) ([]json.RawMessage, error) {
	type block struct{ filters, config *object }
	var blocks []block
	places, left := map[string]int{}, budget(mostParts)
	for _, root := range roots {
		if root.Name != agentRoot {
			continue
		}
		key := filterKey(root)
		at, again := places[key]
		if !again {
			at = len(blocks)
			places[key] = at
			blocks = append(blocks, block{attributes(root), new(object)})
		}
		if err := convert(&left, blocks[at].config, root); err != nil {
			return nil, err
		}
	}
	items := make([]json.RawMessage, 0, len(blocks))
	for _, b := range blocks {
		o := new(object)
		o.set("filters", b.filters)
		o.set("config", b.config)
		item, err := encode(o)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// filterKey is equal for roots with the same attributes.
func filterKey(root *ossecxml.Element) string {
	parts := make([]string, 0, len(root.Attrs))
	for _, a := range root.Attrs {
		parts = append(parts, a.Name+"\x00"+a.Value)
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x01")
}

// convert adds the sections of a root to what there is.
func convert(left *budget, sections *object, root *ossecxml.Element) error {
	for _, e := range root.Children {
		name := e.Name
		if name == module {
			var named bool
			if name, named = e.Attr("name"); !named {
				return fault.New(fault.UnknownComponent, "a <wodle> has no name")
			}
		}
		if rule, known := sectionRules[name]; known {
			addSection(left, sections, name, rule, e)
		}
		if *left < 0 {
			return fault.New(fault.UnknownComponent, fmt.Sprintf("lists of more than %d parts", mostParts))
		}
	}
	return nil
}

func addSection(left *budget, sections *object, name string, rule sectionRule, e *ossecxml.Element) {
	there := sections.get(name)
	into := new(object)
	if merged, ok := there.(*object); ok && rule.kind == merges {
		into = merged
	}
	for _, option := range e.Children {
		addOption(left, into, name, rule, option)
	}
	switch rule.kind {
	case repeats:
		list, _ := there.([]any)
		sections.set(name, append(list, into))
	default:
		sections.set(name, into)
	}
}

// addOption adds an option to its section. Of one that is there already the last
// counts, unless it is a list; an empty one counts as absent.
func addOption(left *budget, into *object, section string, rule sectionRule, option *ossecxml.Element) {
	if read := specials[section+"/"+option.Name]; read != nil {
		read(left, into, option)
		return
	}
	value := valueOf(option, "")
	switch {
	case value == nil:
	case slices.Contains(rule.lists, option.Name):
		into.add(option.Name, value)
	default:
		into.set(option.Name, value)
	}
}

// valueOf is the value of an element: its text, nil where there is none, or an
// object of its attributes and children. Children called list are a list.
func valueOf(e *ossecxml.Element, list string) any {
	if len(e.Attrs) == 0 && len(e.Children) == 0 {
		return textOf(e)
	}
	o := attributes(e)
	if len(e.Children) == 0 {
		o.set("item", textOf(e))
	}
	for _, child := range e.Children {
		value := valueOf(child, "")
		if child.Name == list {
			o.add(child.Name, value)
		} else {
			o.set(child.Name, value)
		}
	}
	return o
}

func textOf(e *ossecxml.Element) any {
	if e.Text == "" {
		return nil
	}
	return e.Text
}

func attributes(e *ossecxml.Element) *object {
	o := new(object)
	for _, a := range e.Attrs {
		o.set(a.Name, a.Value)
	}
	return o
}
