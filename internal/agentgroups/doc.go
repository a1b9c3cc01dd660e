// Package agentgroups brings the groups of all agents from the master to the
// workers (docs/agentsync.md §8).
//
// worker.go and master.go are the two ends of the conversation; read side by
// side they tell all of it. send.go is the master's way to one worker, full.go
// the answer to a worker whose groups have another checksum.
package agentgroups

import (
	"context"
	"time"

	"testudo/internal/agent"
)

// Commands of the exchange: what has changed, and everything.
const (
	cmdChanges       = "syn_g_m_w"
	cmdChangesDone   = "syn_w_g_e"
	cmdChangesFailed = "syn_w_g_err"
	cmdAsk           = "syn_w_g_c"
	cmdFull          = "syn_g_m_w_c"
	cmdFullDone      = "syn_wgc_e"
	cmdFullFailed    = "syn_wgc_err"
)

// Tags of the log lines.
const (
	taskLocal    = "Local agent-groups"
	taskSend     = "Agent-groups send"
	taskSendFull = "Agent-groups send full"
	taskRecv     = "Agent-groups recv"
	taskRecvFull = "Agent-groups recv full"
)

const (
	what = "agent-groups"

	// setCommand and payload are what the original runs for each chunk.
	setCommand = "global set-agent-groups"
	payload    = `{"mode": "override", "sync_status": "synced"}`
)

// Status is how one of the two sendings to a worker stands, for overviews
// (docs/agentsync.md §10).
type Status struct {
	Started time.Time // of the last one; zero when there was none
	Ended   time.Time // when its result came; zero while it has not
	Chunks  int       // stored then
}

// Source is the master's database.
type Source interface {
	// PendingGroups returns the groups of all agents that have changed since
	// they were last confirmed, and the checksum of all groups with the last
	// chunk: [{"data":[{"id":1,"groups":["default"]}],"hash":"…"}]. confirm
	// takes down that the workers have them, as far as they have not changed
	// since; until then they are pending.
	PendingGroups(ctx context.Context) (chunks [][]byte, confirm func(context.Context) error, err error)
	// AllGroups computes the checksums anew and returns the groups of all
	// agents, without a checksum.
	AllGroups(ctx context.Context) (chunks [][]byte, err error)
}

// Changer is a Source that says when something has changed. Changed's channel
// gets a value soon after; one value may stand for many changes.
type Changer interface {
	Changed() <-chan struct{}
}

// Sink is the worker's database.
type Sink interface {
	// SetSyncGroups replaces the groups of the agents in a JSON list of
	// {"id":1,"groups":["default"]}.
	SetSyncGroups(ctx context.Context, list []byte) error
	// GroupsHash is the checksum of all groups; there may be none.
	GroupsHash(ctx context.Context) (hash string, ok bool, err error)
	RecalculateGroupHashes(ctx context.Context) error
	// GroupsOf gives the groups of those of the agents that the database knows.
	GroupsOf(ctx context.Context, ids []agent.ID) (map[agent.ID][]string, error)
}
