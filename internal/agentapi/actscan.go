package agentapi

import (
	"context"
	"slices"

	"testudo/internal/agent"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

const (
	moduleSyscheck  = "wazuh.syscheck"
	moduleRootcheck = "wazuh.rootcheck"
)

// scanText is the message that has an agent look through its files. One scan
// does both kinds of checks.
func scanText(a state) (string, error) {
	return toAgent + "N!S " + a.id.String() + " syscheck restart", nil
}

func (x *Changes) scanFunctions() []dapi.Function {
	run := func(module, action string) dapi.Function {
		return dapi.Function{Module: module, Name: "run", Type: dapi.DistributedMaster,
			Needs: []dapi.Permission{{Action: action, Resource: agentID}}}
	}
	return []dapi.Function{
		dapi.Typed(run(moduleSyscheck, "syscheck:run"), x.scan("syscheck:run", result.Affected{
			AllMsg:  "Syscheck scan was restarted on returned agents",
			SomeMsg: "Syscheck scan was not restarted on some agents",
			NoneMsg: "No syscheck scan was restarted",
		})),
		dapi.Typed(run(moduleRootcheck, "rootcheck:run"), x.scan("rootcheck:run", result.Affected{
			AllMsg:  "Rootcheck scan was restarted on returned agents",
			SomeMsg: "Rootcheck scan was not restarted on some agents",
			NoneMsg: "No rootcheck scan was restarted",
		})),
	}
}

// scan has agents start a scan. An agent with a key that this node's database
// does not have is told as well, and so is the manager: as the original does,
// only those fail of which the node knows that they are not connected.
func (x *Changes) scan(action string, words result.Affected) func(context.Context, *dapi.Call, reachArgs) (result.Result, error) {
	return func(ctx context.Context, c *dapi.Call, a reachArgs) (result.Result, error) {
		r := words
		s, err := x.scope(ctx, c, action, agentID, a.Agents)
		if err != nil {
			return nil, err
		}
		ids, err := x.enrolled(s.ids, &r)
		if err != nil {
			return nil, err
		}
		if slices.Contains(s.ids, agent.Manager.String()) {
			r.Failed = slices.DeleteFunc(r.Failed, func(f result.Failure) bool { return f.Err.Code == fault.ManagerAgent })
			ids = append(ids, agent.Manager)
		}
		found, err := x.states(ctx, ids)
		if err != nil {
			return nil, err
		}
		slices.Sort(ids)
		to := make([]state, 0, len(ids))
		for _, id := range ids {
			one := state{id: id, status: agent.Active}
			if len(found) > 0 && found[0].id == id {
				one, found = found[0], found[1:]
			}
			if id == agent.Manager {
				one.status = agent.Active // it is this node
			}
			to = append(to, one)
		}
		if err := x.tell(ctx, &r, active(&r, to), scanText); err != nil {
			return nil, err
		}
		s.finish(&r, fault.UnknownAgent, fault.AgentInactive)
		return &r, nil
	}
}
