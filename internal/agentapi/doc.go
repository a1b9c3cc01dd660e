// Package agentapi has the functions of the distributed API about agents and
// their groups (docs/functions.md): what the node's agent database, the
// directories of the groups and client.keys say.
package agentapi

import (
	"context"
	"os"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/sqlitedb"
)

const moduleAgent = "wazuh.agent"

// Database is the node's agent database, agentdb.Store.
type Database interface {
	EachAgent(ctx context.Context, f func(id agent.ID, name string)) error
	GroupsOf(ctx context.Context, ids []agent.ID) (map[agent.ID][]string, error)
	Counts(ctx context.Context) (agentdb.Counts, error)
	// Query calls each with the rows of a statement that reads.
	Query(ctx context.Context, statement string, args []any, each func(*sqlitedb.Stmt) error) error
}

// Config is what the functions need of the node.
type Config struct {
	Home     *os.Root
	Database Database // nil where another program has it: then functions that ask it fail with an error that says so
}

// API is the functions about agents and groups.
type API struct {
	cfg Config
}

// New returns the functions of a node.
func New(cfg Config) *API { return &API{cfg} }

// Functions lists the functions.
func (a *API) Functions() []dapi.Function { return a.readers() }

// readers lists those that change nothing.
func (a *API) readers() []dapi.Function { return nil }
