// Package managerapi has the functions of the distributed API about the node
// that runs them (docs/nodefunctions.md): its daemons, its configuration, its
// logs and statistics, and those of its daemons; and what its listener asks of
// agents.
//
// Daemons are asked over their sockets, each time anew; agents are looked up over
// the socket of the agent database, whoever serves it. Arguments and answers are
// never logged: configurations hold secrets.
package managerapi

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const (
	moduleManager = "wazuh.manager"
	moduleStats   = "wazuh.stats"
	moduleAgent   = "wazuh.agent"

	nodeID  = "node:id"
	agentID = "agent:id"
	nothing = "*:*" // the resource of actions that have none
)

// Config is what the functions need of the node.
type Config struct {
	Dir      string   // the home
	Home     *os.Root // the same
	Version  string   // of the node, where no installation says another: "4.7.5"
	Alone    bool     // the cluster is off: answers speak of the manager
	Embedded []string // daemons whose work this process does

	UID, GID int // owner of a configuration that is written; below 0 it stays

	// Talk bounds the time of one exchange with a daemon; 30 s unless set.
	Talk time.Duration
	Now  func() time.Time // nil: time.Now
}

// API is the functions of a node about itself.
type API struct {
	cfg     Config
	daemons Daemons

	// writing holds a token while the configuration is changed and tried out.
	writing chan struct{}
}

// New returns the functions of a node.
func New(cfg Config) *API {
	cfg.Talk = cmp.Or(cfg.Talk, 30*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &API{cfg: cfg, daemons: Daemons{Dir: cfg.Dir, Embedded: cfg.Embedded}, writing: make(chan struct{}, 1)}
}

// Functions lists the functions.
func (a *API) Functions() []dapi.Function {
	return append(a.managerFunctions(), a.statsFunctions()...)
}

func (a *API) managerFunctions() []dapi.Function {
	f := func(name, act string) dapi.Function {
		return dapi.Function{Module: moduleManager, Name: name, Type: dapi.DistributedMaster, Needs: needs(act)}
	}
	return []dapi.Function{
		dapi.Typed(f("get_status", "read"), a.status),
		dapi.Typed(f("get_basic_info", "read"), a.info),
		dapi.Typed(f("ossec_log", "read"), a.logs),
		dapi.Typed(f("ossec_log_summary", "read"), a.logSummary),
		dapi.Typed(f("read_ossec_conf", "read"), a.readConf),
		dapi.Typed(f("update_ossec_conf", "update_config"), a.updateConf),
		dapi.Typed(f("get_config", "read"), a.activeConf),
		dapi.Typed(f("get_api_config", "read_api_config"), a.apiConf),
		dapi.Typed(f("validation", "read"), a.validation),
		dapi.Typed(f("restart", "restart"), a.restart),
	}
}

func (a *API) statsFunctions() []dapi.Function {
	f := func(name string) dapi.Function {
		return dapi.Function{Module: moduleStats, Name: name, Type: dapi.DistributedMaster, Needs: needs("read")}
	}
	agents := func(module, name string) dapi.Function {
		return dapi.Function{
			Module: module, Name: name, Type: dapi.DistributedMaster,
			Needs: []dapi.Permission{{Action: agentRead, Resource: agentID}},
		}
	}
	return []dapi.Function{
		dapi.Typed(f("totals"), a.totals),
		dapi.Typed(f("hourly"), a.hourly),
		dapi.Typed(f("weekly"), a.weekly),
		dapi.Typed(f("get_daemons_stats"), a.daemonStats),
		dapi.Typed(f("deprecated_get_daemons_stats"), a.daemonState),
		dapi.Typed(agents(moduleStats, "get_daemons_stats_agents"), a.daemonStatsOfAgents),
		dapi.Typed(agents(moduleStats, "get_agents_component_stats_json"), a.componentStats),
		dapi.Typed(agents(moduleAgent, "get_agent_config"), a.agentConfig),
	}
}

// needs are the permissions that count with the cluster on, and off.
func needs(act string) []dapi.Permission {
	return []dapi.Permission{{Action: "cluster:" + act, Resource: nodeID}, {Action: "manager:" + act, Resource: nothing}}
}

type none struct{}

// about runs a function about this node for who may have it done. Others get an
// error or, where all nodes were asked, nothing.
func (a *API) about(c *dapi.Call, act string, r *result.Affected, run func() error) (result.Result, error) {
	action, resource, denied := "cluster:"+act, nodeID+":"+c.Node, rbac.Denied(nodeID, c.Node)
	if a.cfg.Alone {
		action, resource, denied = "manager:"+act, "*:*:*", rbac.Denied(nothing)
	}
	switch {
	case c.Permissions.Allows(action, resource):
		if err := run(); err != nil {
			return nil, err
		}
	case !c.Broadcasting:
		return nil, denied
	}
	return r, nil
}

// name is what answers call this node.
func (a *API) name(c *dapi.Call) string {
	if a.cfg.Alone {
		return "manager"
	}
	return c.Node
}

// specified are the messages of functions that are asked of one node.
func (a *API) specified(done, some, failed string) *result.Affected {
	where := " in specified node"
	if a.cfg.Alone {
		where = ""
	}
	return &result.Affected{AllMsg: done + where, SomeMsg: some + " in some nodes", NoneMsg: failed + where}
}

// failHere makes an error of the user's an item of this node. Any other error
// stays the answer.
func (a *API) failHere(c *dapi.Call, r *result.Affected, err error) error {
	if f := fault.From(err); f != nil && f.HasIDs() {
		r.Fail(f, fault.TextID(a.name(c)))
		return nil
	}
	return err
}

// path is where a file of the home is.
func (a *API) path(name string) string { return filepath.Join(a.cfg.Dir, filepath.FromSlash(name)) }

// stopped is why ctx has ended, or nil.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
