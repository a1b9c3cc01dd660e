package functions

import (
	"context"
	"encoding/json"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

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

// list adds the nodes of the names that the other arguments want.
func (f *clusterFunctions) list(ctx context.Context, r *result.Affected, names []string, a nodesArgs) error {
	var filter result.Object
	set := func(name string, value json.RawMessage) {
		if value != nil {
			filter = append(filter, result.Member{Name: name, Value: value})
		}
	}
	if err := filter.Set("filter_node", append([]string{}, names...)); err != nil {
		return err
	}
	set("offset", a.Offset)
	set("limit", a.Limit)
	set("sort", a.Sort)
	set("search", a.Search)
	set("select", a.Select)
	if a.Type != nil {
		set("filter_type", text(*a.Type))
	}
	if err := filter.Set("distinct", a.Distinct); err != nil {
		return err
	}
	answer, err := f.d.Nodes.GetNodes(ctx, filter.JSON())
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
	r.Items, r.Total = nodes.Items, nodes.Total
	return nil
}
