package agentapi

import (
	"context"
	"errors"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// toSend marks agents whose groups have to be sent to the workers.
const toSend = "syncreq"

type assignArgs struct {
	Groups      list `json:"group_list" required:"true"`
	Agents      list `json:"agent_list"`
	Replace     bool `json:"replace"`
	ReplaceList list `json:"replace_list"` // groups that may be taken from agents
}

// assignAgents puts agents into a group, with Replace into that group only.
func (x *Changes) assignAgents(ctx context.Context, c *dapi.Call, a assignArgs) (result.Result, error) {
	group, err := groupToChange(c, "assign_agents_to_group", a.Groups)
	if err != nil {
		return nil, err
	}
	leavable := &scope{}
	if a.Replace {
		if leavable, err = x.scope(ctx, c, modifyMember, groupID, a.ReplaceList); err != nil {
			return nil, err
		}
	}
	s, err := x.movable(ctx, c, group, a.Agents)
	if err != nil {
		return nil, err
	}
	if !x.isGroup(group) {
		return nil, fault.New(fault.GroupAbsent, nil)
	}
	r := assigned(group, a.Replace)
	w, err := x.membership(ctx, s, r)
	if err != nil {
		return nil, err
	}
	defer w.done()
	mode := agentdb.GroupsAppend
	if a.Replace {
		mode = agentdb.GroupsOverride
	}
	var data []agentdb.AgentGroups
	for _, id := range w.ids {
		if code, ok := mayJoin(w.groups[id], group, a.Replace, leavable.ids); !ok {
			fail(r, code, id.String())
			continue
		}
		data = append(data, agentdb.AgentGroups{ID: id, Groups: []string{group}})
	}
	x.ensureRow(ctx, w.db, group)
	in := func(now []string) bool { return slices.Contains(now, group) && (!a.Replace || len(now) == 1) }
	if err := w.set(ctx, r, mode, data, fault.TooManyGroups, in); err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent, fault.AlreadyInGroup, fault.SingleGroup)
	return r, nil
}

// groupToChange is the one group that a function is about. Only a master changes
// any.
func groupToChange(c *dapi.Call, function string, named list) (string, error) {
	group, err := named.one(function, "group_list")
	if err == nil {
		err = onMaster(c)
	}
	return group, err
}

// movable says which agents the user may put into a group or take out of it.
func (x *Changes) movable(ctx context.Context, c *dapi.Call, group string, agents list) (*scope, error) {
	if !c.Permissions.Allows(modifyMember, groupID+":"+group) {
		return nil, rbac.Denied(groupID, group)
	}
	return x.scope(ctx, c, modifyGroup, agentID, agents)
}

func assigned(group string, replace bool) *result.Affected {
	r := &result.Affected{
		AllMsg:  "All selected agents were assigned to " + group,
		SomeMsg: "Some agents were not assigned to " + group,
		NoneMsg: "No agents were assigned to " + group,
	}
	if replace {
		r.AllMsg += " and removed from the other groups"
		r.SomeMsg += " and removed from the other groups"
	}
	return r
}

// mayJoin tells whether an agent that has the groups can get one more, or have
// it in place of them all.
func mayJoin(has []string, group string, replace bool, leavable []string) (fault.Code, bool) {
	if replace {
		for _, g := range has {
			if !slices.Contains(leavable, g) {
				return fault.SingleGroup, false
			}
		}
		return 0, true
	}
	switch {
	case slices.Contains(has, group):
		return fault.AlreadyInGroup, false
	case len(has) >= agent.MaxGroups:
		return fault.TooManyGroups, false
	}
	return 0, true
}

// membership is a change of the groups of agents. Nobody else makes one until
// done is called.
type membership struct {
	db     Memberships
	ids    []agent.ID // that the database has
	groups map[agent.ID][]string
	done   func()
}

// membership looks up the agents of a scope. Those that there are not fail.
func (x *Changes) membership(ctx context.Context, s *scope, r *result.Affected) (*membership, error) {
	db, err := x.memberships()
	if err != nil {
		return nil, err
	}
	enrolled, err := x.enrolled(s.ids, r)
	if err != nil {
		return nil, err
	}
	w := &membership{db: db}
	if w.done, err = x.turn(ctx); err != nil {
		return nil, err
	}
	if w.groups, err = db.GroupsOf(ctx, enrolled); err != nil {
		w.done()
		return nil, refused(err)
	}
	for _, id := range enrolled {
		if _, ok := w.groups[id]; ok {
			w.ids = append(w.ids, id)
		} else {
			fail(r, fault.UnknownAgent, id.String())
		}
	}
	return w, nil
}

// set makes the change and tells of each agent whether it has come about, which
// is the case when its groups are as they should be. Who has gone meanwhile is
// unknown; anybody else for whom the database did not do it fails with the code
// given.
func (w *membership) set(ctx context.Context, r *result.Affected, mode string, data []agentdb.AgentGroups, otherwise fault.Code, asWanted func(now []string) bool) error {
	if len(data) == 0 {
		return nil
	}
	ids := make([]agent.ID, len(data))
	for i, d := range data {
		ids[i] = d.ID
	}
	err := w.db.SetGroups(ctx, agentdb.GroupChange{Mode: mode, Sync: toSend, Data: data})
	if err == nil {
		return affect(r, ids)
	}
	if !errors.Is(err, agentdb.ErrSetGroups) {
		return refused(err)
	}
	now, err := w.db.GroupsOf(ctx, ids)
	if err != nil {
		return refused(err)
	}
	ids = slices.DeleteFunc(ids, func(id agent.ID) bool {
		has, ok := now[id]
		switch {
		case !ok:
			fail(r, fault.UnknownAgent, id.String())
		case !asWanted(has):
			fail(r, otherwise, id.String())
		default:
			return false
		}
		return true
	})
	return affect(r, ids)
}
