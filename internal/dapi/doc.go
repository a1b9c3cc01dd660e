// Package dapi routes the calls of the distributed API: a request made on any
// node is run by the node that knows, and answered where it was made
// (docs/dapi.md §1 and §5 to §9).
//
// A request names a function of the Registry. Master and Worker are the two
// ends of the exchange between nodes (a cluster.Exchange each) and answer the
// requests of local programs: route.go says who runs a request, run.go runs it
// here, fanout.go on several nodes, link.go asks the other end of a session and
// answers it, queue.go bounds all of it.
//
// Arguments are never logged: they may hold passwords.
package dapi

import (
	"context"

	"testudo/internal/agent"
)

// Commands of the exchange.
const (
	cmdRequest = "dapi"     // ID and request
	cmdResult  = "dapi_res" // ID and the string that holds the answer
	cmdError   = "dapi_err" // ID and why the request could not be run

	// Between Testudo nodes (docs/extensions.md).
	cmdTimed  = "t_dapi"     // ID, milliseconds and request
	cmdAnswer = "t_dapi_res" // ID and answer
	cmdEnd    = "t_dapi_end" // ID of a request whose asker has gone
)

const (
	task = "D API" // tag of the log lines

	local      = ""       // as an asker: the programs of this node
	masterName = "master" // as an asker: the master, whatever its name
)

// RequestType says which node a request is for.
type RequestType string

// Types of requests.
const (
	LocalAny          RequestType = "local_any"          // the node that was asked
	LocalMaster       RequestType = "local_master"       // the master
	DistributedMaster RequestType = "distributed_master" // the nodes concerned, by way of the master
)

// AgentNode says to which node an agent reports.
type AgentNode struct {
	ID   agent.ID
	Node string // "" and "unknown" for none
}

// Agents is the master's knowledge of who reports where.
type Agents interface {
	// NodesOf lists agents in the order of their ids: those of ids that exist,
	// or all for nil.
	NodesOf(ctx context.Context, ids []agent.ID) ([]AgentNode, error)
}

// Nodes is the master's knowledge of its cluster.
type Nodes interface {
	// Connected lists the names of the nodes: the master's, then those of the
	// workers in the order in which they connected.
	Connected() []string
}

// NodesFunc is a function as Nodes.
type NodesFunc func() []string

// Connected implements Nodes.
func (f NodesFunc) Connected() []string { return f() }

// Daemons tells how the daemons of this node are.
type Daemons interface {
	// State is "running", "stopped", "failed" or "restarting".
	State(name string) string
}

// Fallback runs functions that the registry does not have, in another process.
type Fallback interface {
	// Run takes a request and gives its answer, both as on the wire.
	Run(ctx context.Context, request []byte) ([]byte, error)
}
