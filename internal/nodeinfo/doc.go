// Package nodeinfo tells which nodes a cluster has and how they are: the
// answers to get_nodes, get_health and get_hash (docs/nodeinfo.md).
//
// A master answers from what its parts hold in memory: no database and no other
// node is asked on the way, so the answer comes when all of them are stuck. A
// worker asks its master, over the session that it has with it.
package nodeinfo

import (
	"context"
	"time"

	"testudo/internal/agentgroups"
	"testudo/internal/agentinfo"
	"testudo/internal/cluster"
	"testudo/internal/integrity"
	"testudo/internal/manifest"
)

// Commands between a worker and its master.
const (
	cmdNodes  = "get_nodes"
	cmdHealth = "get_health"
)

// Types of nodes.
const (
	typeMaster = "master"
	typeWorker = "worker"
)

// Node is one node of the cluster.
type Node struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // "master" or "worker"
	Version string `json:"version"`
	Address string `json:"ip"`
}

// Health is how the nodes are.
type Health struct {
	Workers int          // how many of Nodes are workers
	Nodes   []NodeHealth // workers in the order of their connection, then the master
}

// NodeHealth is how one node is, as its master sees it.
type NodeHealth struct {
	Node
	ActiveAgents int     // agents that report to it and are active
	Status       *Status // nil for the master
}

// Status is how the exchanges with a worker stand. A time that is zero stands
// for what has not happened yet.
type Status struct {
	IntegrityFree bool // no check is under way
	Check         Span // the last comparison that ended
	Sync          Span // the last package that was sent
	Files         Files
	AgentInfoFree bool // no agents of this worker are being stored
	AgentInfo     Transfer
	Groups        Transfer // of changes, docs/agentsync.md §8
	FullGroups    Transfer // of everything
	LastKeepAlive time.Time
}

// Span is when something began and ended.
type Span struct{ Started, Ended time.Time }

// Transfer is the last time that agents' data went from one node to the other.
type Transfer struct {
	Span
	Chunks int // that were stored
}

// Files counts the files of a worker's last synchronisation.
type Files struct {
	Any                    bool // there was one
	Missing, Extra, Shared int
}

// The parts of a master that know how the exchanges with a worker stand. ok is
// false when it is not connected, or not yet.
type (
	// FileSync is integrity.Master.
	FileSync interface {
		Status(worker string) (s integrity.Status, ok bool)
	}
	// AgentSync is agentinfo.Master.
	AgentSync interface {
		Status(worker string) (s agentinfo.Status, ok bool)
	}
	// GroupSync is agentgroups.Master.
	GroupSync interface {
		Status(worker string) (changes, full agentgroups.Status, ok bool)
	}
	// Agents says from memory how many agents of a node are active.
	Agents interface {
		ActiveAgents(node string) int
	}
	// Tree gives the files of this node, as they are now.
	Tree interface {
		Manifest(ctx context.Context) (*manifest.Manifest, error)
	}
)

// MasterConfig is what a master's end needs. Every part but Members may be
// nil: what it would say has then not happened.
type MasterConfig struct {
	Name    string // of this node
	Version string // that it presents
	Address string // the first entry of <nodes>

	Members func() []cluster.Member
	Files   FileSync
	Info    AgentSync
	Groups  GroupSync
	Agents  Agents

	Tree  Tree
	Items manifest.Items // in the order of cluster.json
}

// WorkerConfig is what a worker's end needs.
type WorkerConfig struct {
	Tree  Tree
	Items manifest.Items
}
