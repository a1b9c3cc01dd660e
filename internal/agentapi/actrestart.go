package agentapi

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// What agents are sent (docs/agentfunctions.md §3).
const (
	toAgent     = "(msg_to_agent) [] "
	restartNew  = `{"version": 1, "origin": {"module": "framework"}, "command": "restart-wazuh0", "parameters": {"extra_args": [], "alert": {}}}`
	restartOld  = "restart-ossec0" // before version 4.2.0
	restartTail = " - null (from_the_server) (no_rule_id)"
)

// jsonSince is the first version of agents that understand commands in JSON.
var jsonSince = [3]int{4, 2, 0}

// restartText is the message that restarts an agent.
func restartText(a state) (string, error) {
	command := restartNew
	if before(a.version, jsonSince) {
		command = restartOld
	}
	return toAgent + "NNS " + a.id.String() + " " + command + restartTail, nil
}

// reconnectText is the message that has an agent connect anew.
func reconnectText(a state) (string, error) {
	return toAgent + "N!S " + a.id.String() + " force_reconnect", nil
}

// before tells whether a version, such as "Wazuh v4.7.5", is an earlier one. What
// is no version is not.
func before(version string, than [3]int) bool {
	_, numbers, ok := strings.Cut(version, "v")
	if !ok {
		return false
	}
	var have [3]int
	for i, part := range strings.SplitN(numbers, ".", 3) {
		n, err := strconv.Atoi(strings.TrimRight(part, "-+abcdefghijklmnopqrstuvwxyz"))
		if err != nil {
			return false
		}
		have[i] = n
	}
	return slices.Compare(have[:], than[:]) < 0
}

type reachArgs struct {
	Agents list `json:"agent_list"`
}

func restarted() *result.Affected {
	return &result.Affected{
		AllMsg:  "Restart command was sent to all agents",
		SomeMsg: "Restart command was not sent to some agents",
		NoneMsg: "Restart command was not sent to any agent",
	}
}

// restart restarts agents. Those that have a key but are not in this node's
// database are passed over: the node that they report to has them.
func (x *Changes) restart(ctx context.Context, c *dapi.Call, a reachArgs) (result.Result, error) {
	r := restarted()
	s, err := x.scope(ctx, c, "agent:restart", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	if err := x.restartAll(ctx, r, s); err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent, fault.AgentInactive)
	return r, nil
}

func (x *Changes) restartAll(ctx context.Context, r *result.Affected, s *scope) error {
	ids, err := x.enrolled(s.ids, r)
	if err != nil || len(ids) == 0 {
		return err
	}
	found, err := x.states(ctx, ids)
	if err != nil {
		return err
	}
	return x.tell(ctx, r, active(r, found), restartText)
}

// restartByNode restarts the agents that report to this node. The list of them
// is made where the request is routed.
func (x *Changes) restartByNode(ctx context.Context, c *dapi.Call, a reachArgs) (result.Result, error) {
	if !c.Permissions.Allows("cluster:read", nodeID+":"+c.Node) {
		return nil, rbac.Denied(nodeID, c.Node)
	}
	return x.restartByGroup(ctx, c, a)
}

// restartByGroup restarts the agents of a group, who are listed by the asker.
// Nobody has named them, so those that cannot be restarted are not told.
func (x *Changes) restartByGroup(ctx context.Context, c *dapi.Call, a reachArgs) (result.Result, error) {
	if !a.Agents.given { // nobody means all agents here
		return nil, &dapi.ArgumentError{Function: "restart_agents_by_group", Reason: "argument \"agent_list\" is missing"}
	}
	// Of the manager nobody asks whether it may be restarted.
	a.Agents.names = slices.DeleteFunc(a.Agents.names, func(id string) bool { return id == agent.Manager.String() })
	r := restarted()
	s, err := x.scope(ctx, c, "agent:restart", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	if err := x.restartAll(ctx, r, s); err != nil {
		return nil, err
	}
	hidden := []fault.Code{fault.UnknownAgent, fault.ManagerAgent, fault.AgentInactive}
	r.Failed = slices.DeleteFunc(r.Failed, func(f result.Failure) bool { return slices.Contains(hidden, f.Err.Code) })
	s.finish(r, hidden...)
	return r, nil
}

// reconnect has agents connect anew. Those that are not in this node's database
// are unknown.
func (x *Changes) reconnect(ctx context.Context, c *dapi.Call, a reachArgs) (result.Result, error) {
	r := &result.Affected{
		AllMsg:  "Force reconnect command was sent to all agents",
		SomeMsg: "Force reconnect command was not sent to some agents",
		NoneMsg: "Force reconnect command was not sent to any agent",
	}
	s, err := x.scope(ctx, c, "agent:reconnect", agentID, a.Agents)
	if err != nil {
		return nil, err
	}
	found, err := x.reportingHere(ctx, r, s)
	if err != nil {
		return nil, err
	}
	if err := x.tell(ctx, r, active(r, found), reconnectText); err != nil {
		return nil, err
	}
	s.finish(r, fault.UnknownAgent, fault.ManagerAgent, fault.AgentInactive)
	return r, nil
}

// reportingHere gives the agents of a scope that this node's database has. All
// others fail.
func (x *Changes) reportingHere(ctx context.Context, r *result.Affected, s *scope) ([]state, error) {
	ids, err := x.enrolled(s.ids, r)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	found, err := x.states(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	rest := found // both are by id
	for _, id := range ids {
		if len(rest) > 0 && rest[0].id == id {
			rest = rest[1:]
			continue
		}
		fail(r, fault.UnknownAgent, id.String())
	}
	return found, nil
}
