package nodeinfo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/fault"
)

// columns are what is shown of a node, in this order unless asked otherwise.
var columns = []string{"name", "type", "version", "ip"}

const (
	defaultLimit = 500
	highestLimit = 100_000
	// maxArgument bounds what is decoded of an argument.
	maxArgument = 1 << 20
)

// NodeFilter says which nodes are wanted, in which order and what of them. Its
// zero value wants everything.
type NodeFilter struct {
	Names  []string // nil: all; one that is not known is an error
	Type   string   // "master", "worker"; "" and "all": both
	Search string   // a text that any of the values contains, whatever the case
	Not    bool     // that none of them contains

	Select   []string // columns; nil: all
	Distinct bool     // of equal ones only the first

	Sort       []string // columns; nil: master first, then workers by their connection
	Descending bool

	Offset int
	Limit  int // 0: none
}

// ParseNodeFilter reads the argument of get_nodes (docs/nodeinfo.md §1). The
// error is a *fault.Error.
func ParseNodeFilter(argument []byte) (NodeFilter, error) {
	f := NodeFilter{Limit: defaultLimit}
	if len(argument) > maxArgument {
		return f, bad("get_nodes: the argument has more than %d bytes", maxArgument)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(argument, &members); err != nil || members == nil {
		return f, bad("get_nodes: the argument is no JSON object")
	}
	for key, value := range members {
		read, known := filterKeys[key]
		if !known {
			return f, bad("get_nodes: there is no argument '%.64s'", key)
		}
		if err := read(&f, value); err != nil {
			return f, err
		}
	}
	return f, f.check()
}

func bad(format string, args ...any) error {
	return fault.New(fault.Unspecified, fmt.Sprintf(format, args...))
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// filterKeys are the members of the argument.
var filterKeys = map[string]func(f *NodeFilter, value json.RawMessage) error{
	"filter_node": func(f *NodeFilter, value json.RawMessage) error {
		var text string
		if json.Unmarshal(value, &text) == nil && !isNull(value) {
			f.Names = []string{text}
			return nil
		}
		return decodeTexts("filter_node", value, &f.Names)
	},
	"filter_type": func(f *NodeFilter, value json.RawMessage) error {
		if json.Unmarshal(value, &f.Type) != nil || f.Type == "" {
			return fault.New(fault.BadNodeType, nil)
		}
		return nil
	},
	"offset":   func(f *NodeFilter, value json.RawMessage) error { return decode("offset", value, &f.Offset, false) },
	"limit":    readLimit,
	"sort":     readSort,
	"search":   readSearch,
	"select":   func(f *NodeFilter, value json.RawMessage) error { return decodeTexts("select", value, &f.Select) },
	"distinct": func(f *NodeFilter, value json.RawMessage) error { return decode("distinct", value, &f.Distinct, true) },
}

// decode reads a value; null leaves what is there, where it is allowed.
func decode(key string, value json.RawMessage, into any, orNull bool) error {
	if err := json.Unmarshal(value, into); err != nil || isNull(value) && !orNull {
		return bad("get_nodes: '%s' has a wrong type", key)
	}
	return nil
}

// decodeTexts reads null or a list of texts; a list without any is not null.
func decodeTexts(key string, value json.RawMessage, into *[]string) error {
	if err := decode(key, value, into, true); err != nil {
		return err
	}
	if *into == nil && !isNull(value) {
		*into = []string{}
	}
	return nil
}

func readLimit(f *NodeFilter, value json.RawMessage) error {
	f.Limit = 0
	if isNull(value) {
		return nil
	}
	n, err := strconv.Atoi(string(value))
	if errors.Is(err, strconv.ErrRange) {
		n, err = highestLimit+1, nil
		if value[0] == '-' {
			n = -1
		}
	}
	switch {
	case err != nil:
		return bad("get_nodes: 'limit' is no whole number")
	case n > highestLimit:
		return fault.New(fault.LimitTooHigh, string(value))
	case n == 0:
		return fault.New(fault.LimitZero, nil)
	case n < 0:
		return fault.New(fault.BadLimit, nil)
	}
	f.Limit = n
	return nil
}

func readSort(f *NodeFilter, value json.RawMessage) error {
	var sort map[string]json.RawMessage
	if err := decode("sort", value, &sort, true); err != nil || isNull(value) {
		return err
	}
	var order string
	if err := decode("sort.order", sort["order"], &order, false); err != nil {
		return err
	}
	f.Descending = order == "desc"
	return decode("sort.fields", sort["fields"], &f.Sort, true)
}

func readSearch(f *NodeFilter, value json.RawMessage) error {
	var search map[string]json.RawMessage
	if err := decode("search", value, &search, true); err != nil || isNull(value) {
		return err
	}
	if err := decode("search.negation", search["negation"], &f.Not, false); err != nil {
		return err
	}
	return decode("search.value", search["value"], &f.Search, true)
}

// check finds what no node could make right.
func (f *NodeFilter) check() error {
	if wrong := strange(f.Select); len(wrong) > 0 {
		e := fault.New(fault.BadSelect, strings.Join(wrong, ", "))
		e.Remedy = strings.Join(columns, ", ")
		return e
	}
	switch f.Type {
	case "", "all", typeMaster, typeWorker:
	default:
		return fault.New(fault.BadNodeType, nil)
	}
	if wrong := strange(f.Sort); len(wrong) > 0 {
		e := fault.New(fault.BadSortField, nil)
		e.Remedy = "Allowed sort fields: " + strings.Join(columns, ", ") + ". Wrong fields: " + strings.Join(wrong, ", ")
		return e
	}
	if f.Offset < 0 {
		return fault.New(fault.BadOffset, nil)
	}
	return nil
}

// strange gives the names that are no columns, each once.
func strange(names []string) (wrong []string) {
	for _, name := range names {
		if !slices.Contains(columns, name) && !slices.Contains(wrong, name) {
			wrong = append(wrong, name)
		}
	}
	return wrong
}

// JSON is the filter as get_nodes takes it.
func (f NodeFilter) JSON() ([]byte, error) {
	type sort struct {
		Fields []string `json:"fields"`
		Order  string   `json:"order"`
	}
	type search struct {
		Value    string `json:"value"`
		Negation bool   `json:"negation"`
	}
	a := struct {
		Names    []string `json:"filter_node"`
		Offset   int      `json:"offset"`
		Limit    *int     `json:"limit"`
		Sort     *sort    `json:"sort"`
		Search   *search  `json:"search"`
		Select   []string `json:"select"`
		Type     string   `json:"filter_type"`
		Distinct bool     `json:"distinct"`
	}{Names: f.Names, Offset: f.Offset, Select: f.Select, Type: f.Type, Distinct: f.Distinct}
	if f.Type == "" {
		a.Type = "all"
	}
	if f.Limit != 0 {
		a.Limit = &f.Limit
	}
	if f.Sort != nil {
		a.Sort = &sort{f.Sort, "asc"}
		if f.Descending {
			a.Sort.Order = "desc"
		}
	}
	if f.Search != "" {
		a.Search = &search{f.Search, f.Not}
	}
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(a)
	return bytes.TrimSpace(b.Bytes()), err
}
