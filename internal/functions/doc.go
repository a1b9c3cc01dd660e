// Package functions is the one table of all functions of the distributed API
// that a Testudo node has (docs/functions.md). Those about the cluster are made
// here, the others come from the packages that know their subject.
package functions

import (
	"context"
	"encoding/json"

	"testudo/internal/dapi"
	"testudo/internal/nodeinfo"
)

// Nodes is nodeinfo.Master or nodeinfo.Worker. What is shown of nodes is JSON, as
// is the filter of GetHealth (docs/nodeinfo.md); errors are *fault.Error.
type Nodes interface {
	Names(ctx context.Context) ([]string, error)
	List(ctx context.Context, filter nodeinfo.NodeFilter) (items []json.RawMessage, total int, err error)
	GetHealth(ctx context.Context, filter []byte) ([]byte, error)
	GetHash(ctx context.Context) ([]byte, error)
}

// Part is a package that brings functions of its own.
type Part interface {
	Functions() []dapi.Function
}

// Deps is what the functions need of the node.
type Deps struct {
	Cluster string                 // name of the cluster
	Role    string                 // of this node: "master" or "worker"
	Enabled bool                   // the cluster is configured and not disabled
	Config  func() ([]byte, error) // the section <cluster> as JSON
	Nodes   Nodes

	Parts []Part // agentapi, managerapi, rulesetapi
}

// Table lists all functions.
func Table(d Deps) []dapi.Function {
	list := (&clusterFunctions{d}).functions()
	for _, part := range d.Parts {
		list = append(list, part.Functions()...)
	}
	return list
}
