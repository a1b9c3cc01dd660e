package agentapi

import (
	"context"
	"errors"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// errNoDatabase is the answer of functions about agents on a node that has no
// way to them.
var errNoDatabase = fault.New(fault.Unspecified, "this node has no agent database to ask")

// permit is which agents a user may read of.
type permit struct {
	all    bool       // all there are; ids is then empty
	ids    []agent.ID // else these, which exist
	but    []agent.ID // if agents were not named: all others; meant only where it is the shorter list
	absent []string   // were named and do not exist
	denied []string   // were named and are refused
}

// readable says which agents a user may read of: of those named, or of all for
// nil. The error is that of one who may read of none that he named.
func (a *API) readable(ctx context.Context, c *dapi.Call, named []string) (permit, error) {
	if a.cfg.Database == nil {
		return permit{}, errNoDatabase
	}
	if named == nil && c.Permissions.AllowsAll(agentRead, agentID) {
		return permit{all: true}, nil
	}
	var all []agent.ID
	verdict, err := c.Permissions.Filter(rbac.Ask{
		Action: agentRead, Type: agentID, Named: named,
		All: func() (ids []string, err error) {
			err = a.cfg.Database.EachNode(ctx, nil, func(id agent.ID, _ string) {
				all, ids = append(all, id), append(ids, id.String())
			})
			return ids, err
		},
		Members: func(group string) ([]string, error) { return a.members(ctx, group) },
	})
	if err != nil {
		return permit{}, err
	}
	if verdict.Refused() {
		return permit{}, rbac.Denied(agentID, verdict.Denied...)
	}
	p := permit{denied: verdict.Denied}
	if named != nil {
		return p, a.sort(ctx, &p, verdict.Allowed)
	}
	// Allowed is in the order of all.
	for _, id := range all {
		if len(p.ids) < len(verdict.Allowed) && verdict.Allowed[len(p.ids)] == id.String() {
			p.ids = append(p.ids, id)
		} else {
			p.but = append(p.but, id)
		}
	}
	return p, nil
}

// none tells whether there is no agent to read of.
func (p *permit) none() bool { return !p.all && len(p.ids) == 0 }

// narrow adds to a condition that an agent is permitted.
func (p *permit) narrow(w *query.Where) error {
	switch {
	case p.all:
		return nil
	case p.but != nil && len(p.but) < len(p.ids):
		return w.NotIn("id", numbers(p.but))
	}
	return w.In("id", numbers(p.ids))
}

// sort parts the allowed ids into those that exist and the others.
func (a *API) sort(ctx context.Context, p *permit, allowed []string) error {
	ids := make([]agent.ID, 0, len(allowed))
	for _, text := range allowed {
		if id, err := agent.ParseID(text); err == nil && id.String() == text {
			ids = append(ids, id)
		}
	}
	known := make(map[string]bool, len(ids))
	if len(ids) > 0 {
		err := a.cfg.Database.EachNode(ctx, ids, func(id agent.ID, _ string) {
			known[id.String()] = true
			p.ids = append(p.ids, id)
		})
		if err != nil {
			return err
		}
	}
	for _, text := range allowed {
		if !known[text] {
			p.absent = append(p.absent, text)
		}
	}
	return nil
}

// members lists the agents of a group, of any group for "*".
func (a *API) members(ctx context.Context, group string) (ids []string, err error) {
	s := query.Statement{SQL: "SELECT DISTINCT id_agent FROM belongs ORDER BY 1", Columns: 1}
	if group != "*" {
		s.SQL = "SELECT id_agent FROM belongs JOIN `group` ON `group`.id = id_group WHERE `group`.name = ? ORDER BY 1"
		s.Args = []any{group}
	}
	err = a.cfg.Database.Rows(ctx, s, func(r Row) error {
		ids = append(ids, agent.ID(r.Int64(0)).String())
		return nil
	})
	return ids, refused(err)
}

// fail takes down what was named and cannot be told: what was refused last, as
// everywhere (docs/dapi.md §4).
func (p *permit) fail(r *result.Affected) {
	if len(p.absent) > 0 {
		r.Fail(fault.New(fault.UnknownAgent, nil), fault.TextIDs(p.absent...)...)
	}
	if len(p.denied) > 0 {
		r.Fail(rbac.Denied(agentID, p.denied...), fault.TextIDs(p.denied...)...)
	}
}

// numbers are ids as the database has them.
func numbers(ids []agent.ID) []int64 {
	list := make([]int64, len(ids))
	for i, id := range ids {
		list[i] = int64(id)
	}
	return list
}

// refused makes what the database says of a statement an answer of the request.
func refused(err error) error {
	var numbered *fault.Error
	if err == nil || errors.As(err, &numbered) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(fault.DatabaseRefused, nil, err)
}
