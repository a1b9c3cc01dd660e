package nodeinfo

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"testudo/internal/agent"
	"testudo/internal/logging"
)

// tallyEvery is how old the numbers of a Tally get.
const tallyEvery = 10 * time.Second

// Tally is Agents for a node whose agent database is another program's: it
// counts now and then, so that nobody has to wait for that program.
type Tally struct {
	count  func(context.Context) (map[string]map[agent.Status]int, error)
	log    *slog.Logger
	failed logging.Recurring
	latest atomic.Pointer[map[string]map[agent.Status]int]
}

// NewTally returns a tally. count gives the agents but agent 0, by the node they
// report to.
func NewTally(count func(context.Context) (map[string]map[agent.Status]int, error), log *slog.Logger) *Tally {
	return &Tally{count: count, log: log}
}

// ActiveAgents implements Agents: 0 before the first count.
func (t *Tally) ActiveAgents(node string) int {
	if latest := t.latest.Load(); latest != nil {
		return (*latest)[node][agent.Active]
	}
	return 0
}

// Run counts until ctx ends. It returns nil.
func (t *Tally) Run(ctx context.Context) error {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		counts, err := t.count(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			t.failed.Fail(t.log, slog.LevelWarn, "Agents not counted.", slog.Any("error", err))
		default:
			t.failed.Recovered(t.log, "Agents are counted again.")
			t.latest.Store(&counts)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
