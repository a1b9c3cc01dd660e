package simulate

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of Options.
const (
	maxAgents      = 1_000_000
	maxGroups      = 1000
	maxNodes       = 64
	maxConnections = 64
)

// Options says what to simulate.
type Options struct {
	Nodes       []string      // homes of nodes, or sockets of databases; the master among them
	Count       int           // agents, 1 to 1,000,000
	Keepalive   time.Duration // between two keep-alives of one agent, at least 100 ms
	Light       bool          // keep-alives that write time and state only, not all that is known of the agent
	Churn       float64       // share of the agents, 0 to 1, to which something happens in a minute
	Groups      int           // beside default, 0 to 1000
	Duration    time.Duration // of the keep-alives; 0 until ctx of Run ends
	Seed        uint64        // of the choice of agents and events
	Connections int           // to each database, 1 to 64; 0 for 16
	Patience    time.Duration // for the nodes to agree at the end, and for a write to be seen; 0 for a minute
	Setup       time.Duration // for the workers to learn of all agents and groups; 0 for ten minutes

	// Step is told of each part of the work, Progress how far it is; both may be
	// nil. Status is told each second of a run how it goes.
	Step     func(text string)
	Progress func(what string, done, total int)
	Status   func(Status)
}

// ErrOptions is returned when options make no sense.
var ErrOptions = errors.New("cannot simulate that")

func (o Options) withDefaults() (Options, error) {
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{len(o.Nodes) < 1 || len(o.Nodes) > maxNodes, fmt.Sprintf("1 to %d nodes", maxNodes)},
		{o.Count < 1 || o.Count > maxAgents, fmt.Sprintf("1 to %d agents", maxAgents)},
		{o.Keepalive < 100*time.Millisecond, "keep-alives at least 100 ms apart"},
		{!(o.Churn >= 0 && o.Churn <= 1), "a churn between 0% and 100%"},
		{o.Groups < 0 || o.Groups > maxGroups, fmt.Sprintf("0 to %d groups", maxGroups)},
		{o.Duration < 0 || o.Patience < 0 || o.Setup < 0, "no negative times"},
		{o.Connections < 0 || o.Connections > maxConnections, fmt.Sprintf("1 to %d connections", maxConnections)},
	} {
		if rule.broken {
			return o, fmt.Errorf("%w: wanted %s", ErrOptions, rule.text)
		}
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Setup == 0 {
		o.Setup = 10 * time.Minute
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Status == nil {
		o.Status = func(Status) {}
	}
	return o, nil
}
