package agentapi

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/groups"
)

// moduleResponse is where the function is that has agents run commands.
const moduleResponse = "wazuh.active_response"

// Permissions that changes ask for.
const (
	nodeID     = "node:id"
	noResource = "*:*"

	modifyGroup  = "agent:modify_group"
	modifyMember = "group:modify_assignments"
)

// Memberships is the groups in a node's agent database: agentdb.Store, or
// wdb.External where another program has it.
type Memberships interface {
	GroupsOf(ctx context.Context, ids []agent.ID) (map[agent.ID][]string, error)
	GroupNames(ctx context.Context) ([]string, error)
	SetGroups(ctx context.Context, change agentdb.GroupChange) error
	InsertGroup(ctx context.Context, name string) error
	DeleteGroup(ctx context.Context, name string) error
}

// States tells how agents are, wdb.External.
type States interface {
	// EachState calls f with those of the agents that exist.
	EachState(ctx context.Context, ids []agent.ID, f func(id agent.ID, status agent.Status, version string)) error
}

// ChangeConfig is what changes need of the node.
type ChangeConfig struct {
	Home   *os.Root
	Dir    string        // the path of the home, for sockets
	Reader *API          // over the same home
	Groups Memberships   // nil: what needs them is error 2005
	States States        // nil: the Reader's database is asked
	Owner  groups.Owner  // of what is written
	Send   time.Duration // for all messages of one request to go to the listener; 5 s unless set
	Talk   time.Duration // for one exchange with a daemon; 30 s unless set
	Log    *slog.Logger  // nil: nothing is logged
}

// Changes is the functions that change groups and agents, or have agents do
// something (docs/agentfunctions.md).
type Changes struct {
	cfg   ChangeConfig
	keys  keyFile
	turns chan struct{} // held by whoever changes groups: one at a time
}

// NewChanges returns the functions of a node.
func NewChanges(cfg ChangeConfig) *Changes {
	if cfg.Send <= 0 {
		cfg.Send = 5 * time.Second
	}
	if cfg.Talk <= 0 {
		cfg.Talk = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Changes{cfg: cfg, turns: make(chan struct{}, 1)}
}

// Functions lists the functions.
func (x *Changes) Functions() []dapi.Function {
	return slices.Concat(x.groupFunctions(), x.agentFunctions(), x.scanFunctions())
}

func (x *Changes) groupFunctions() []dapi.Function {
	f := func(name string, needs ...dapi.Permission) dapi.Function {
		return dapi.Function{Module: moduleAgent, Name: name, Type: dapi.LocalMaster, Needs: needs}
	}
	member, modify := dapi.Permission{Action: modifyMember, Resource: groupID}, dapi.Permission{Action: modifyGroup, Resource: agentID}
	return []dapi.Function{
		dapi.Typed(f("create_group", dapi.Permission{Action: "group:create", Resource: noResource}), x.createGroup),
		dapi.Typed(f("delete_groups", dapi.Permission{Action: "group:delete", Resource: groupID}), x.deleteGroups),
		dapi.Typed(f("upload_group_file", dapi.Permission{Action: "group:update_config", Resource: groupID}), x.uploadGroupFile),
		dapi.Typed(f("assign_agents_to_group", member, modify), x.assignAgents),
		dapi.Typed(f("remove_agent_from_group", member, modify), x.removeFromGroup),
		dapi.Typed(f("remove_agent_from_groups", modify, member), x.removeFromGroups),
		dapi.Typed(f("remove_agents_from_group", member, modify), x.removeAgents),
	}
}

func (x *Changes) agentFunctions() []dapi.Function {
	f := func(module, name string, kind dapi.RequestType, needs ...dapi.Permission) dapi.Function {
		return dapi.Function{Module: module, Name: name, Type: kind, Needs: needs}
	}
	restart := dapi.Permission{Action: "agent:restart", Resource: agentID}
	upgrade := dapi.Permission{Action: "agent:upgrade", Resource: agentID}
	own := dapi.Permission{Action: "cluster:read", Resource: nodeID}
	return []dapi.Function{
		dapi.Typed(f(moduleAgent, "restart_agents", dapi.DistributedMaster, restart), x.restart),
		dapi.Typed(f(moduleAgent, "restart_agents_by_group", dapi.DistributedMaster, restart), x.restartByGroup),
		dapi.Typed(f(moduleAgent, "restart_agents_by_node", dapi.DistributedMaster, own, restart), x.restartByNode),
		dapi.Typed(f(moduleAgent, "reconnect_agents", dapi.DistributedMaster,
			dapi.Permission{Action: "agent:reconnect", Resource: agentID}), x.reconnect),
		dapi.Typed(f(moduleResponse, "run_command", dapi.DistributedMaster,
			dapi.Permission{Action: "active-response:command", Resource: agentID}), x.runCommand),
		dapi.Typed(f(moduleAgent, "add_agent", dapi.LocalMaster,
			dapi.Permission{Action: "agent:create", Resource: noResource}), x.addAgent),
		dapi.Typed(f(moduleAgent, "delete_agents", dapi.LocalMaster,
			dapi.Permission{Action: "agent:delete", Resource: agentID}), x.deleteAgents),
		dapi.Typed(f(moduleAgent, "upgrade_agents", dapi.DistributedMaster, upgrade), x.upgrade),
		dapi.Typed(f(moduleAgent, "get_upgrade_result", dapi.LocalMaster, upgrade), x.upgradeResult),
	}
}

// memberships is the groups in the agent database, or an error where this
// process does not have it.
func (x *Changes) memberships() (Memberships, error) {
	if x.cfg.Groups == nil {
		return nil, fault.New(fault.DatabaseUnreachable, nil)
	}
	return x.cfg.Groups, nil
}

// turn waits until nobody else changes groups. What follows looks first and
// writes then, and nobody may come between.
func (x *Changes) turn(ctx context.Context) (done func(), err error) {
	select {
	case x.turns <- struct{}{}:
		return func() { <-x.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// onMaster refuses what a worker must not do: its groups are the master's, and
// what it changed would be undone by the next synchronisation.
func onMaster(c *dapi.Call) error {
	if !c.Master {
		return fault.New(fault.Unspecified, "groups and agents are changed on the master, and "+c.Node+" is a worker")
	}
	return nil
}
