package functions

import (
	"context"
	"encoding/json"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

// clusterLimit is how many nodes a list has unless the user says.
const clusterLimit = 500

type nodesArgs struct {
	Nodes    []string        `json:"filter_node"`
	Offset   json.RawMessage `json:"offset"`
	Limit    json.RawMessage `json:"limit"`
	Sort     json.RawMessage `json:"sort"`
	Search   json.RawMessage `json:"search"`
	Select   json.RawMessage `json:"select"`
	Type     *string         `json:"filter_type"`
	Distinct bool            `json:"distinct"`
	Q        string          `json:"q"`
}

func (f *clusterFunctions) nodes(ctx context.Context, c *dapi.Call, a nodesArgs) (result.Result, error) {
	verdict, err := f.readable(ctx, c, a.Nodes)
	if err != nil {
		return nil, err
	}
	r := &result.Affected{
		AllMsg:  "All selected nodes information was returned",
		SomeMsg: "Some nodes information was not returned",
		NoneMsg: "No information was returned",
	}
	refuse(r, verdict)
	names := verdict.Allowed
	if a.Nodes != nil {
		known := c.Nodes
		if len(known) == 0 {
			if known, err = f.connected(ctx); err != nil {
				return nil, err
			}
		}
		absent := func(name string) bool { return !slices.Contains(known, name) }
		for _, name := range names {
			if absent(name) {
				r.Fail(fault.New(fault.NodeAbsent, nil), fault.TextID(name))
			}
		}
		names = slices.DeleteFunc(slices.Clone(names), absent)
	}
	return r, f.list(ctx, r, names, a)
}

// list adds the nodes of the names that the other arguments want. With a query
// the first clusterLimit nodes are looked at.
func (f *clusterFunctions) list(ctx context.Context, r *result.Affected, names []string, a nodesArgs) error {
	var wanted query.Request
	if a.Q != "" {
		page := query.Args{Q: a.Q}
		for _, m := range []struct {
			from json.RawMessage
			into **json.Number
		}{{a.Offset, &page.Offset}, {a.Limit, &page.Limit}} {
			if m.from == nil {
				continue
			}
			if err := json.Unmarshal(m.from, m.into); err != nil {
				return fault.Wrap(fault.BadOffset, nil, err)
			}
		}
		var err error
		if wanted, err = page.Request(clusterLimit); err != nil {
			return err
		}
		a.Offset, a.Limit = nil, nil
	}
	filter, err := a.filter(names)
	if err != nil {
		return err
	}
	answer, err := f.d.Nodes.GetNodes(ctx, filter)
	if err != nil {
		return err
	}
	var nodes struct {
		Items []json.RawMessage `json:"items"`
		Total int               `json:"totalItems"`
	}
	if err := json.Unmarshal(answer, &nodes); err != nil {
		return fault.Wrap(fault.NotJSON, nil, err)
	}
	if r.Items, r.Total = nodes.Items, nodes.Total; a.Q != "" {
		r.Items, r.Total, err = query.Items(&wanted, nodes.Items, query.Rules{})
	}
	return err
}

// filter is the argument of get_nodes.
func (a *nodesArgs) filter(names []string) ([]byte, error) {
	var filter result.Object
	if err := filter.Set("filter_node", append([]string{}, names...)); err != nil {
		return nil, err
	}
	for _, m := range []result.Member{
		{Name: "offset", Value: a.Offset}, {Name: "limit", Value: a.Limit}, {Name: "sort", Value: a.Sort},
		{Name: "search", Value: a.Search}, {Name: "select", Value: a.Select},
	} {
		if m.Value != nil {
			filter = append(filter, m)
		}
	}
	if a.Type != nil {
		filter = append(filter, result.Member{Name: "filter_type", Value: text(*a.Type)})
	}
	if err := filter.Set("distinct", a.Distinct); err != nil {
		return nil, err
	}
	return filter.JSON(), nil
}
