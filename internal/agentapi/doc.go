// Package agentapi has the functions of the distributed API about agents and
// their groups (docs/functions.md): what the node's agent database, the
// directories of the groups and client.keys say.
package agentapi

import (
	"context"
	"os"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/query"
	"testudo/internal/sqlitedb"
)

// Names of what requests are about.
const (
	moduleAgent = "wazuh.agent"
	moduleCore  = "wazuh.core.agent"

	agentID   = "agent:id"
	groupID   = "group:id"
	agentRead = "agent:read"
	groupRead = "group:read"
)

// Database is a node's agent database.
type Database interface {
	// EachNode calls f with the agents of ids that exist, or with all for nil, the
	// manager among them.
	EachNode(ctx context.Context, ids []agent.ID, f func(id agent.ID, node string)) error
	// Rows calls each with the rows of a statement that reads.
	Rows(ctx context.Context, s query.Statement, each func(Row) error) error
}

// sized is a Database that knows how many agents it has.
type sized interface{ Size() int }

// Row is one row of an answer; it is valid during the call only.
type Row interface {
	Null(column int) bool
	Int64(column int) int64
	AppendText(dst []byte, column int) []byte
}

// Embedded is the database of this process.
type Embedded struct{ *agentdb.Store }

// Rows implements Database.
func (e Embedded) Rows(ctx context.Context, s query.Statement, each func(Row) error) error {
	r := new(storedRow)
	return e.Query(ctx, s.SQL, s.Args, func(s *sqlitedb.Stmt) error {
		r.s = s
		return each(r)
	})
}

type storedRow struct{ s *sqlitedb.Stmt }

func (r *storedRow) Null(column int) bool   { return r.s.ColumnType(column) == sqlitedb.TypeNull }
func (r *storedRow) Int64(column int) int64 { return r.s.ColumnInt64(column) }
func (r *storedRow) AppendText(dst []byte, column int) []byte {
	return sqlitedb.AppendColumn(dst, r.s, column)
}

// Config is what the functions need of the node.
type Config struct {
	Home     *os.Root
	Database Database
	Tasks    Asked            // nil: there is no database of tasks
	Now      func() time.Time // nil: time.Now
}

// API is the functions about agents and groups.
type API struct {
	cfg Config
}

// New returns the functions of a node.
func New(cfg Config) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &API{cfg}
}

// Functions lists the functions.
func (a *API) Functions() []dapi.Function { return a.readers() }

// readers lists those that change nothing.
func (a *API) readers() []dapi.Function {
	agents := []dapi.Permission{{Action: agentRead, Resource: agentID}}
	groups := []dapi.Permission{{Action: groupRead, Resource: groupID}}
	both := []dapi.Permission{groups[0], agents[0]}
	f := func(name string, needs []dapi.Permission) dapi.Function {
		return dapi.Function{Module: moduleAgent, Name: name, Type: dapi.LocalMaster, Needs: needs}
	}
	overview := f("Agent.get_agents_overview", nil)
	overview.Module = moduleCore
	return []dapi.Function{
		dapi.Typed(f("get_group_files", groups), a.groupFiles),
		dapi.Typed(f("get_agent_conf", groups), a.agentConf),
		dapi.Typed(f("get_file_conf", groups), a.fileConf),
		dapi.Typed(f("get_agents", agents), a.agents),
		dapi.Typed(f("get_agents_in_group", both), a.inGroup),
		dapi.Typed(f("get_outdated_agents", agents), a.outdated),
		dapi.Typed(f("get_distinct_agents", agents), a.distinct),
		dapi.Typed(f("get_agents_summary_status", agents), a.summaryStatus),
		dapi.Typed(f("get_agents_summary_os", agents), a.summaryOS),
		dapi.Typed(f("get_full_overview", both), a.fullOverview),
		dapi.Typed(f("get_agents_keys", agents), a.keys),
		dapi.Typed(f("get_agents_sync_group", agents), a.syncGroup),
		dapi.Typed(f("get_agent_groups", groups), a.groups),
		dapi.Typed(overview, a.overview),
		dapi.Typed(dapi.Function{
			Module: "wazuh.task", Name: "get_task_status", Type: dapi.LocalMaster,
			Needs: []dapi.Permission{{Action: taskStatus, Resource: noResource}},
		}, a.tasks),
	}
}
