package functions

import (
	"context"
	"encoding/json"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/nodeinfo"
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
	r := &result.Affected{
		AllMsg:  "All selected nodes information was returned",
		SomeMsg: "Some nodes information was not returned",
		NoneMsg: "No information was returned",
	}
	if a.Nodes == nil && c.Permissions.AllowsAll(readsCluster, nodeID) {
		return r, f.list(ctx, r, nil, a)
	}
	verdict, err := f.readable(ctx, c, a.Nodes)
	if err != nil {
		return nil, err
	}
	defer refuse(r, verdict)
	names := append([]string{}, verdict.Allowed...)
	if a.Nodes != nil {
		known := c.Nodes
		if len(known) == 0 {
			if known, err = f.d.Nodes.Names(ctx); err != nil {
				return nil, err
			}
		}
		absent := func(name string) bool { return !slices.Contains(known, name) }
		for _, name := range names {
			if absent(name) {
				r.Fail(fault.New(fault.NodeAbsent, nil), fault.TextID(name))
			}
		}
		names = slices.DeleteFunc(names, absent)
	}
	return r, f.list(ctx, r, names, a)
}

// list adds the nodes of the names, of all for nil, that the other arguments want.
// With a query
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
	if r.Items, r.Total, err = f.d.Nodes.List(ctx, filter); err == nil && a.Q != "" {
		r.Items, r.Total, err = query.Items(&wanted, r.Items, query.Rules{})
	}
	return err
}

// filter is the argument of get_nodes.
func (a *nodesArgs) filter(names []string) (nodeinfo.NodeFilter, error) {
	var given result.Object
	for _, m := range []result.Member{
		{Name: "offset", Value: a.Offset}, {Name: "limit", Value: a.Limit}, {Name: "sort", Value: a.Sort},
		{Name: "search", Value: a.Search}, {Name: "select", Value: a.Select},
	} {
		if m.Value != nil {
			given = append(given, m)
		}
	}
	if a.Type != nil {
		given = append(given, result.Member{Name: "filter_type", Value: text(*a.Type)})
	}
	filter := nodeinfo.NodeFilter{Limit: clusterLimit}
	if len(given) > 0 {
		var err error
		if filter, err = nodeinfo.ParseNodeFilter(given.JSON()); err != nil {
			return filter, err
		}
	}
	filter.Names, filter.Distinct = names, a.Distinct
	return filter, nil
}
