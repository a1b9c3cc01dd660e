// Package agentinfo brings what workers know of their agents to the master:
// who is connected where, since when, with which version (docs/agentsync.md §7).
//
// worker.go and master.go are the two ends of the conversation; read side by
// side they tell all of it. The worker sends what has changed in its database,
// the master stores it in its own. A change counts as sent only when the
// master has said that it is stored.
package agentinfo

import (
	"context"
	"time"

	"testudo/internal/agent"
)

// Commands of the exchange.
const (
	cmdPermission = "syn_a_w_m_p"
	cmdString     = "syn_a_w_m"
	cmdDone       = "syn_m_a_e"
	cmdFailed     = "syn_m_a_err"
	cmdBrief      = "t_ag_brief" // names a string of agents in brief (docs/extensions.md)
)

const (
	task = "Agent-info sync" // tag of the log lines
	what = "agent-info"

	// setCommand is what the original runs for each chunk.
	setCommand = "global sync-agent-info-set"
	payload    = "{}"

	// briefCommand stands in strings of agents in brief.
	briefCommand = "testudo agents brief"
)

// Status is how the exchange stands, for overviews (docs/agentsync.md §10).
type Status struct {
	Free    bool      // no string of the worker's is being worked on
	Started time.Time // of the last finished exchange; zero when there was none
	Ended   time.Time
	Chunks  int // stored then
}

// Source is the worker's database.
type Source interface {
	// ReportAll marks all agents that report to the node as to be sent.
	ReportAll(ctx context.Context, node string) error
	// PendingInfo returns what is to be sent of at most max agents, as JSON
	// lists of some 64 kB. confirm takes down that it has been stored by the
	// master, as far as it has not changed since; until then it is to be sent.
	PendingInfo(ctx context.Context, max int) (chunks [][]byte, more bool, confirm func(context.Context) error, err error)
}

// Sink is the master's database.
type Sink interface {
	// SetSyncInfo stores a JSON list of agents.
	SetSyncInfo(ctx context.Context, list []byte) error
}

// BriefSource is a Source that can also report agents in brief, of which the
// master has all but what changes often.
type BriefSource interface {
	Source
	// PendingBrief returns agents above an id, at most max, that can be reported
	// in brief; nil when there are none. last is the highest of them. confirm
	// takes down that the master has them, except for those it wants whole.
	PendingBrief(ctx context.Context, after agent.ID, max int) (list []byte, last agent.ID, confirm func(ctx context.Context, whole []agent.ID) error, err error)
	// PendingWhole returns other agents above an id in the same way, as
	// PendingInfo does.
	PendingWhole(ctx context.Context, after agent.ID, max int) (chunks [][]byte, last agent.ID, confirm func(context.Context) error, err error)
}

// BriefSink is a Sink that takes such agents.
type BriefSink interface {
	Sink
	// SetBrief stores what PendingBrief has given and returns the agents that it
	// wants whole.
	SetBrief(ctx context.Context, list []byte) (whole []agent.ID, err error)
}

// Changer is a Source that says when something has changed. Changed's channel
// gets a value soon after; one value may stand for many changes.
type Changer interface {
	Changed() <-chan struct{}
}
