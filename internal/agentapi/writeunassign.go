package agentapi

import (
	"context"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

type removeArgs struct {
	Groups list `json:"group_list"`
	Agents list `json:"agent_list"`
}

// mayLeave tells whether an agent that has the groups can leave one. Nobody
// leaves the default group for nothing.
func mayLeave(has []string, group string) (fault.Code, bool) {
	switch {
	case !slices.Contains(has, group):
		return fault.NotInGroup, false
	case group == agent.DefaultGroup && len(has) == 1:
		return fault.OnlyDefaultGroup, false
	}
	return 0, true
}

// without gives the groups of an agent that has left one, as the database
// changes them: whoever has none left is in the default group.
func without(has []string, group string) []string {
	left := slices.DeleteFunc(slices.Clone(has), func(g string) bool { return g == group })
	if len(left) == 0 {
		left = []string{agent.DefaultGroup}
	}
	return left
}

// removeFromGroup takes one agent out of one group. What hinders it is the
// error of the whole request.
func (x *Changes) removeFromGroup(ctx context.Context, c *dapi.Call, a removeArgs) (result.Result, error) {
	const function = "remove_agent_from_group"
	group, err := groupToChange(c, function, a.Groups)
	if err != nil {
		return nil, err
	}
	id, err := a.Agents.one(function, "agent_list")
	if err != nil {
		return nil, err
	}
	s, err := x.movable(ctx, c, group, a.Agents)
	if err != nil {
		return nil, err
	}
	w, err := x.soleMembership(ctx, s)
	if err != nil {
		return nil, err
	}
	defer w.done()
	if len(w.ids) == 0 { // not refused, as the user named nobody: he asks for all nodes
		return nil, fault.New(fault.UnknownAgent, nil)
	}
	if !x.isGroup(group) {
		return nil, fault.New(fault.GroupAbsent, nil)
	}
	has := w.groups[w.ids[0]]
	if code, ok := mayLeave(has, group); !ok {
		return nil, fault.New(code, nil)
	}
	r := &result.Affected{}
	if err := w.leave(ctx, r, []agentdb.AgentGroups{{ID: w.ids[0], Groups: []string{group}}}); err != nil {
		return nil, err
	}
	if err := firstFailure(r); err != nil {
		return nil, err
	}
	text := "Agent '" + id + "' removed from '" + group + "'."
	if len(has) == 1 {
		text += " Agent reassigned to group default."
	}
	return message(text)
}

// soleMembership is the membership of the one agent of a request; what hinders it
// is the error of the whole request.
func (x *Changes) soleMembership(ctx context.Context, s *scope) (*membership, error) {
	r := &result.Affected{}
	w, err := x.membership(ctx, s, r)
	if err != nil {
		return nil, err
	}
	if err := firstFailure(r); err != nil {
		w.done()
		return nil, err
	}
	return w, nil
}

// firstFailure makes the error of an item that of the request.
func firstFailure(r *result.Affected) error {
	if len(r.Failed) > 0 {
		return r.Failed[0].Err
	}
	return nil
}

// leave takes agents out of the groups given with them, all of which they have.
func (w *membership) leave(ctx context.Context, r *result.Affected, data []agentdb.AgentGroups) error {
	// A group can have been deleted meanwhile: then nobody is in it.
	return w.set(ctx, r, agentdb.GroupsRemove, data, fault.NotInGroup, func(now []string) bool {
		return !slices.Contains(now, data[0].Groups[0]) || data[0].Groups[0] == agent.DefaultGroup
	})
}

// removeFromGroups takes one agent out of several groups, or out of all.
func (x *Changes) removeFromGroups(ctx context.Context, c *dapi.Call, a removeArgs) (result.Result, error) {
	if _, err := a.Agents.one("remove_agent_from_groups", "agent_list"); err != nil {
		return nil, err
	}
	if err := onMaster(c); err != nil {
		return nil, err
	}
	agents, err := x.scope(ctx, c, modifyGroup, agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	s, err := x.scope(ctx, c, modifyMember, groupID, a.Groups)
	if err != nil {
		return nil, err
	}
	w, err := x.soleMembership(ctx, agents)
	if err != nil {
		return nil, err
	}
	defer w.done()
	r := &result.Affected{
		AllMsg:  "Specified agent was removed from returned groups",
		SomeMsg: "Specified agent was not removed from some groups",
		NoneMsg: "Specified agent was not removed from any group",
	}
	if len(w.ids) == 0 {
		return r, nil
	}
	leaves := x.leaves(w.groups[w.ids[0]], s.ids, r)
	if len(leaves) > 0 {
		if err := w.leave(ctx, &result.Affected{}, []agentdb.AgentGroups{{ID: w.ids[0], Groups: leaves}}); err != nil {
			return nil, err
		}
	}
	slices.Sort(leaves)
	for _, group := range leaves {
		if err := r.Add(group); err != nil {
			return nil, err
		}
	}
	s.finish(r, fault.GroupAbsent, fault.NotInGroup, fault.OnlyDefaultGroup)
	return r, nil
}

// leaves parts groups into those that an agent leaves, in the order in which it
// does, and those that fail. The default group comes last: the others may have
// been what let the agent leave it.
func (x *Changes) leaves(has, asked []string, r *result.Affected) (leaves []string) {
	asked = slices.Clone(asked)
	if i := slices.Index(asked, agent.DefaultGroup); i >= 0 {
		asked = append(slices.Delete(asked, i, i+1), agent.DefaultGroup)
	}
	for _, group := range asked {
		if !x.isGroup(group) {
			fail(r, fault.GroupAbsent, group)
			continue
		}
		if code, ok := mayLeave(has, group); !ok {
			fail(r, code, group)
			continue
		}
		leaves = append(leaves, group)
		has = without(has, group)
	}
	return leaves
}

// removeAgents takes several agents, or all, out of one group.
func (x *Changes) removeAgents(ctx context.Context, c *dapi.Call, a removeArgs) (result.Result, error) {
	group, err := groupToChange(c, "remove_agents_from_group", a.Groups)
	if err != nil {
		return nil, err
	}
	s, err := x.movable(ctx, c, group, a.Agents)
	if err != nil {
		return nil, err
	}
	if !x.isGroup(group) {
		return nil, fault.New(fault.GroupAbsent, nil)
	}
	r := &result.Affected{
		AllMsg:  "All selected agents were removed from group " + group,
		SomeMsg: "Some agents were not removed from group " + group,
		NoneMsg: "No agent was removed from group " + group,
	}
	w, err := x.membership(ctx, s, r)
	if err != nil {
		return nil, err
	}
	defer w.done()
	var data []agentdb.AgentGroups
	for _, id := range w.ids {
		if code, ok := mayLeave(w.groups[id], group); ok {
			data = append(data, agentdb.AgentGroups{ID: id, Groups: []string{group}})
		} else {
			fail(r, code, id.String())
		}
	}
	if err := w.leave(ctx, r, data); err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent, fault.NotInGroup)
	return r, nil
}
