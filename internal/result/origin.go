package result

import (
	"errors"

	"testudo/internal/fault"
)

// Origin is where a function ran, as the errors of its answer name it.
type Origin struct {
	// Node is the name of the node.
	Node string
	// Readable tells whether the user may know it: has `cluster:read` on it.
	Readable bool
}

// UnknownNode stands for the name of a node that the user may not know.
const UnknownNode = "unknown-node"

// logFile is where the original tells the reader to look, in its own words.
const logFile = "WAZUH_HOME/logs/cluster.log"

// Blame turns the error with which a function ended into the error of the
// answer (docs/dapi.md §3). A numbered error keeps its class and number; any
// other becomes number 1000 and tells nothing of itself, because it may name
// what a user must not see, like a 1000 without an extra message.
// `dapi_errors` then says which node it was; an error that came from another
// node already does.
func (o Origin) Blame(err error) *fault.Error {
	node := UnknownNode
	if o.Readable {
		node = o.Node
	}
	e, numbered := errors.AsType[*fault.Error](err)
	if !numbered || e.Code == fault.Unspecified && e.Extra == nil && len(e.NodeErrors) == 0 {
		entry := map[string]any{"error": "Wazuh Internal Error. See log for more detail"}
		return &fault.Error{Code: fault.Unspecified, Class: fault.ClassInternal,
			NodeErrors: map[string]any{node: entry}, Err: err}
	}
	blamed := *e
	blamed.Err = err
	if len(e.NodeErrors) > 0 {
		return &blamed
	}
	entry := map[string]any{"error": e.Message()}
	if e.Class == fault.ClassInternal || e.Class == fault.ClassCluster {
		entry["logfile"] = logFile
	}
	blamed.NodeErrors = map[string]any{node: entry}
	return &blamed
}
