package nodeinfo

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"testudo/internal/fault"
)

// apply picks those of all nodes that the filter wants. total counts them
// before offset and limit. Columns that are not selected are empty.
func (f *NodeFilter) apply(all []Node) (nodes []Node, total int, err error) {
	if err := f.check(); err != nil {
		return nil, 0, err
	}
	if nodes, err = f.named(all); err != nil {
		return nil, 0, err
	}
	if f.Search != "" {
		text := strings.ToLower(f.Search)
		nodes = slices.DeleteFunc(nodes, func(n Node) bool { return n.contains(text) == f.Not })
	}
	if len(f.Select) > 0 {
		for i, n := range nodes {
			nodes[i] = Node{}
			for _, column := range f.Select {
				*nodes[i].value(column) = *n.value(column)
			}
		}
	}
	if f.Distinct {
		nodes = unique(nodes)
	}
	f.sort(nodes)
	total = len(nodes)
	nodes = nodes[min(f.Offset, total):]
	if f.Limit > 0 {
		nodes = nodes[:min(f.Limit, len(nodes))]
	}
	return nodes, total, nil
}

// named gives the nodes of the names and the type wanted, in a list that is the
// caller's.
func (f *NodeFilter) named(all []Node) ([]Node, error) {
	var known map[string]bool
	if len(f.Names) > 0 {
		known = make(map[string]bool, len(all))
		for i := range all {
			known[all[i].Name] = true
		}
		for _, name := range f.Names {
			if !known[name] {
				return nil, fault.New(fault.NodeAbsent, nil)
			}
		}
	}
	byType := f.Type == typeMaster || f.Type == typeWorker
	nodes := make([]Node, 0, len(all))
	wanted := contains(f.Names)
	for _, n := range all {
		if (f.Names == nil || wanted(n.Name)) && (!byType || n.Type == f.Type) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// contains gives a quick test for being in a list.
func contains(list []string) func(string) bool {
	if len(list) <= 8 {
		return func(s string) bool { return slices.Contains(list, s) }
	}
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return func(s string) bool { return set[s] }
}

func (n *Node) value(column string) *string {
	switch column {
	case "name":
		return &n.Name
	case "type":
		return &n.Type
	case "version":
		return &n.Version
	default:
		return &n.Address
	}
}

func (n *Node) contains(lower string) bool {
	for _, column := range columns {
		if strings.Contains(strings.ToLower(*n.value(column)), lower) {
			return true
		}
	}
	return false
}

func unique(nodes []Node) []Node {
	seen := make(map[Node]bool, len(nodes))
	return slices.DeleteFunc(nodes, func(n Node) bool {
		twice := seen[n]
		seen[n] = true
		return twice
	})
}

// sort orders the nodes by the columns wanted, whatever the case; equal ones
// stay as they were.
func (f *NodeFilter) sort(nodes []Node) {
	if len(f.Sort) == 0 {
		return
	}
	slices.SortStableFunc(nodes, func(a, b Node) int {
		for _, column := range f.Sort {
			c := cmp.Compare(strings.ToLower(*a.value(column)), strings.ToLower(*b.value(column)))
			if f.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// shown are the columns of an answer, in its order.
func (f *NodeFilter) shown() []string {
	if len(f.Select) == 0 {
		return columns
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(f.Select), func(c string) bool { twice := seen[c]; seen[c] = true; return twice })
}

// appendNodes writes the answer of get_nodes.
func (f *NodeFilter) appendNodes(dst []byte, nodes []Node, total int) []byte {
	show := f.shown()
	dst = append(dst, `{"items": [`...)
	for i := range nodes {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = nodes[i].append(dst, show)
	}
	dst = append(dst, `], "totalItems": `...)
	return append(appendInt(dst, total), '}')
}

// items are the nodes as they stand in the answer.
func (f *NodeFilter) items(nodes []Node) []json.RawMessage {
	show := f.shown()
	list := make([]json.RawMessage, len(nodes))
	text := make([]byte, 0, nodeBytes*len(nodes))
	for i := range nodes {
		start := len(text)
		text = nodes[i].append(text, show)
		list[i] = text[start:len(text):len(text)]
	}
	return list
}

// nodeBytes is how long most nodes are in an answer, at most.
const nodeBytes = 96

// append writes columns of a node.
func (n *Node) append(dst []byte, show []string) []byte {
	dst = append(dst, '{')
	for k, column := range show {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(append(append(dst, '"'), column...), `": `...)
		dst = appendText(dst, *n.value(column))
	}
	return append(dst, '}')
}
