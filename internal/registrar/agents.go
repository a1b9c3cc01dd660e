package registrar

import (
	"context"
	"errors"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
)

// ErrRefused is in an error of Agents when the database has answered and will
// not do it: it is not asked again.
var ErrRefused = errors.New("refused by the agent database")

// NewAgent is the row of an agent that has just got its key.
type NewAgent struct {
	ID         agent.ID
	Name       string
	RegisterIP string // without prefix length, or "any"
	Key        agent.Secret
	Groups     []string // nil when none were asked for: it has none until its first keep-alive
	GroupSync  string   // sync_status of its groups: "syncreq" in a cluster, else "synced"
	Added      int64    // seconds since 1970
}

// Agents are the agents' rows in the agent database. An error without ErrRefused
// says that the database is away, or that it is not known whether it has done
// what it was asked; it is asked again then.
type Agents interface {
	// State is what the database knows of the agent; KeyHash stays empty. An agent
	// without row is no error.
	State(ctx context.Context, id agent.ID) (enrolment.Existing, error)
	// Insert adds the row and then, with groups, puts the agent into these and no
	// others. It may be called again when it is not known how far it came, and must
	// then do what is left.
	Insert(ctx context.Context, a NewAgent) error
	// Delete removes the row, queue/rids/ID, the agent's own database and, unless
	// name is "", queue/diff/NAME. It is no error if some of it is not there.
	Delete(ctx context.Context, id agent.ID, name string) error
}
