package agentapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/groups"
	"testudo/internal/query"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// list is an argument that names agents or groups. "*" is as good as nothing:
// all that there are.
type list struct {
	given bool
	names []string
}

// UnmarshalJSON reads a list of texts, or "*".
func (l *list) UnmarshalJSON(data []byte) error {
	if string(data) == `"*"` {
		return nil
	}
	if err := json.Unmarshal(data, &l.names); err != nil {
		return err
	}
	l.given = true
	return nil
}

// one is the only name, for functions that are about one group or agent.
func (l *list) one(function, argument string) (string, error) {
	if len(l.names) != 1 {
		return "", &dapi.ArgumentError{Function: function, Reason: fmt.Sprintf("argument %q must have one element", argument)}
	}
	return l.names[0], nil
}

// scope is what a request is about, as far as the user may.
type scope struct {
	kind   string
	ids    []string
	denied []string
	named  bool // by the user: what fails of it is told to him
}

// scope parts what an argument names. The error is 4000 when nothing is left of
// what the user named.
func (x *Changes) scope(ctx context.Context, c *dapi.Call, action, kind string, asked list) (*scope, error) {
	ask := rbac.Ask{Action: action, Type: kind}
	if asked.given {
		ask.Named = append([]string{}, asked.names...)
	}
	switch kind {
	case agentID:
		ask.All = x.allAgents
		ask.Members = func(group string) ([]string, error) {
			if x.cfg.Reader.cfg.Database == nil {
				return nil, errNoDatabase
			}
			return x.cfg.Reader.members(ctx, group)
		}
	case groupID:
		ask.All = func() ([]string, error) { return groups.List(x.cfg.Home) }
	}
	v, err := c.Permissions.Filter(ask)
	if err != nil {
		return nil, err
	}
	s := &scope{kind: kind, ids: v.Allowed, denied: v.Denied, named: asked.given && !c.Broadcasting}
	if s.named && v.Refused() {
		return nil, rbac.Denied(kind, v.Denied...)
	}
	return s, nil
}

// finish adds what was refused, or takes away what nobody named: of agents that
// the user did not name these errors are not told.
func (s *scope) finish(r *result.Affected, hidden ...fault.Code) {
	if !s.named {
		r.Failed = slices.DeleteFunc(r.Failed, func(f result.Failure) bool { return slices.Contains(hidden, f.Err.Code) })
		return
	}
	if len(s.denied) > 0 {
		r.Fail(rbac.Denied(s.kind, s.denied...), fault.TextIDs(s.denied...)...)
	}
}

// fail adds a failed item. There may be very many, so that equal errors are told
// by their number alone.
func fail(r *result.Affected, code fault.Code, id string) {
	for i := range r.Failed {
		if f := &r.Failed[i]; f.Err.Code == code && f.Err.Extra == nil {
			f.IDs = append(f.IDs, fault.TextID(id))
			return
		}
	}
	r.Fail(fault.New(code, nil), fault.TextID(id))
}

// affect makes texts the items, agents in the order of their numbers.
func affect(r *result.Affected, ids []agent.ID) error {
	slices.Sort(ids)
	for _, id := range ids {
		if err := r.Add(id.String()); err != nil {
			return err
		}
	}
	return nil
}

// state is what the node's database says of an agent.
type state struct {
	id      agent.ID
	status  agent.Status
	version string
}

// states gives those of the agents that the database has, by id.
func (x *Changes) states(ctx context.Context, ids []agent.ID) (found []state, err error) {
	if x.cfg.States != nil {
		err = x.cfg.States.EachState(ctx, ids, func(id agent.ID, status agent.Status, version string) {
			found = append(found, state{id, status, version})
		})
	} else {
		found, err = x.readStates(ctx, ids)
	}
	slices.SortFunc(found, func(a, b state) int { return cmp.Compare(a.id, b.id) })
	return found, refused(err)
}

func (x *Changes) readStates(ctx context.Context, ids []agent.ID) (found []state, err error) {
	db := x.cfg.Reader.cfg.Database
	if db == nil {
		return nil, errNoDatabase
	}
	wanted, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	err = db.Rows(ctx, query.Statement{
		SQL:  "SELECT id, connection_status, version FROM agent WHERE id IN (SELECT value FROM json_each(?))",
		Args: []any{string(wanted)}, Columns: 3,
	}, func(row Row) error {
		found = append(found, state{agent.ID(row.Int64(0)), agent.Status(row.AppendText(nil, 1)), string(row.AppendText(nil, 2))})
		return nil
	})
	return found, err
}
