package census

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
	"testudo/internal/logging"
	"testudo/internal/metrics"
)

// Source is the database of agents.
type Source interface {
	// DisconnectAgents sets active and pending agents with an id above after and
	// a last keep-alive before the time (seconds of the epoch) to disconnected,
	// and gives a page of them as a JSON array of {"id":N}; more says that others
	// are left.
	DisconnectAgents(ctx context.Context, after agent.ID, before int64, sync string) (page []byte, more bool, err error)
	// CountAgents counts the agents but agent 0, by the node they report to.
	CountAgents(ctx context.Context) (map[string]map[agent.Status]int, error)
}

const (
	// synced is the sync_status of an agent that the timer disconnects: nobody is
	// told, on masters and workers alike.
	synced = "synced"

	maxEvery   = time.Minute
	countEvery = 5 * time.Second

	condition = "agents-fell-silent"
	// manySilent agents, and more than half of those that were there, are worth a
	// word when they fall silent at once.
	manySilent = 10
)

var errPages = errors.New("the pages do not advance")

// Config is what a Census needs.
type Config struct {
	Source Source
	// Silence is the time without a keep-alive after which an agent counts as
	// disconnected (agents_disconnection_time); 10 minutes unless set.
	Silence time.Duration
	Log     *slog.Logger
	Metrics *metrics.Set
	Health  *health.Board
}

// Census is the task.
type Census struct {
	cfg Config
	log *slog.Logger

	published map[string]bool // nodes in the metrics
	present   int             // agents, active or pending, before many fell silent; 0: they did not
	timer     logging.Recurring
	counting  logging.Recurring

	mu     sync.Mutex
	latest Counts
}

// New makes a Census.
func New(cfg Config) *Census {
	if cfg.Silence <= 0 {
		cfg.Silence = 10 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Census{cfg: cfg, log: cfg.Log, published: map[string]bool{}}
}

// Run counts every five seconds, and looks for silent agents every minute, or
// more often when Silence is shorter, until ctx ends. It returns nil.
//
// The first look comes after Silence: until then agents that had no node to
// report to while this one was down have time to come back.
func (c *Census) Run(ctx context.Context) error {
	count := time.NewTicker(countEvery)
	defer count.Stop()
	look := time.NewTimer(c.cfg.Silence)
	defer look.Stop()
	c.count(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-count.C:
			c.count(ctx)
		case <-look.C:
			c.look(ctx)
			look.Reset(min(c.cfg.Silence, maxEvery))
		}
	}
}

// look disconnects silent agents and tells of it.
func (c *Census) look(ctx context.Context) {
	before := c.Latest()
	n, err := c.Disconnect(ctx)
	if ctx.Err() != nil {
		return
	}
	if n > 0 {
		c.log.Info("Agents disconnected, no keep-alive came in time.", slog.Int("agents", n), slog.Duration("silence", c.cfg.Silence))
		c.cfg.Metrics.AgentsTimedOut(n)
	}
	if present := before.present(); n >= manySilent && n > present/2 {
		c.present = present
		c.cfg.Health.Raise(condition, health.Warning,
			fmt.Sprintf("%d of %d agents fell silent at about the same time.", n, present),
			"Look whether their nodes, or the network or load balancer before them, are up.")
	}
	if err != nil {
		c.timer.Fail(c.log, slog.LevelError, "Silent agents not disconnected.", slog.Any("error", err))
		return
	}
	c.timer.Recovered(c.log, "Silent agents are disconnected again.")
	c.count(ctx)
}

// Disconnect looks once for agents that have been silent for too long. It gives
// how many became disconnected, also together with an error.
func (c *Census) Disconnect(ctx context.Context) (n int, err error) {
	before := time.Now().Add(-c.cfg.Silence).Unix()
	after := agent.Manager
	for {
		page, more, err := c.cfg.Source.DisconnectAgents(ctx, after, before, synced)
		if err != nil {
			return n, err
		}
		var rows []struct {
			ID agent.ID `json:"id"`
		}
		if err := json.Unmarshal(page, &rows); err != nil {
			return n, fmt.Errorf("read disconnected agents: %w", err)
		}
		n += len(rows)
		if !more {
			return n, nil
		}
		if len(rows) == 0 || rows[len(rows)-1].ID <= after {
			return n, fmt.Errorf("read disconnected agents: %w", errPages)
		}
		after = rows[len(rows)-1].ID
	}
}
