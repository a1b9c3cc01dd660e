package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"testudo/internal/fleet"
)

// What the measurement of agents can measure.
const (
	InfoFull      = "info-full"      // every agent of a worker has changed, to the master
	InfoKeepalive = "info-keepalive" // the same when only keep-alives have come
	Groups        = "groups"         // every agent gets other groups, to two workers
	KeepaliveRate = "keepalive-rate" // keep-alives into one database, beside readers
	Queries       = "queries"        // lists, counts and filters of a large database
)

// AgentParts is everything that can be measured.
func AgentParts() []string {
	return []string{InfoFull, InfoKeepalive, Groups, KeepaliveRate, Queries}
}

// AgentOptions says what to measure of agents.
type AgentOptions struct {
	Agents   int           // of all parts but Queries
	Many     int           // agents of Queries
	Parts    []string      // of AgentParts; empty for all
	Runs     int           // of each exchange, in one cluster
	Rate     int           // keep-alives a second
	RateTime time.Duration // how long
	Samples  int           // of each query
	Dir      string        // for the homes; empty for a temporary directory

	// Progress is told of each step; it may be nil.
	Progress func(text string)
}

// ErrPart is returned for a part that there is not.
var ErrPart = errors.New("no such part")

// AgentReport is the result. Times are seconds unless named otherwise, memory
// bytes.
type AgentReport struct {
	Machine       Machine         `json:"machine"`
	Agents        int             `json:"agents"`
	Runs          int             `json:"runs"`
	InfoFull      *ExchangeReport `json:"info_full,omitempty"`
	InfoKeepalive *ExchangeReport `json:"info_keepalive,omitempty"`
	Groups        *ExchangeReport `json:"groups,omitempty"`
	Rate          *RateReport     `json:"keepalive_rate,omitempty"`
	Queries       *QueryReport    `json:"queries,omitempty"`
}

// ExchangeReport is how long changes of all agents took to the other nodes.
type ExchangeReport struct {
	Workers   int    `json:"workers"`
	Wall      Figure `json:"wall"`   // from the commit of the changes to all visible at the other end, and confirmed at this one
	Logged    Figure `json:"logged"` // the exchange alone, as the receiving or reporting nodes log it
	MasterCPU Figure `json:"master_cpu"`
	WorkerCPU Figure `json:"worker_cpu"` // the worst of all workers

	// The peak memory from the start until all agents had been reported once, and
	// of the exchanges measured. The statement that changes all agents, which no
	// node runs otherwise, leaves its traces in the latter.
	FirstMasterPeak int64 `json:"first_master_peak_rss"`
	FirstWorkerPeak int64 `json:"first_worker_peak_rss"`
	MasterPeak      int64 `json:"master_peak_rss"`
	WorkerPeak      int64 `json:"worker_peak_rss"`
}

// RateReport is how a database takes keep-alives.
type RateReport struct {
	Asked    float64 `json:"asked_per_s"`
	Achieved float64 `json:"achieved_per_s"`
	Seconds  float64 `json:"seconds"`
	WriteMS  Figure  `json:"write_ms"` // one keep-alive, until answered
	ReadMS   Figure  `json:"read_ms"`  // one read beside them
	CPU      float64 `json:"cpu"`      // of the node, a second of the measurement
	PeakRSS  int64   `json:"peak_rss"`
}

// QueryReport is how fast a large database answers.
type QueryReport struct {
	Agents  int          `json:"agents"`
	Start   float64      `json:"start"` // of the node, until it was ready
	Queries []QueryTimes `json:"queries"`
	PeakRSS int64        `json:"peak_rss"`
}

// QueryTimes is one kind of query, in milliseconds.
type QueryTimes struct {
	Query string `json:"query"`
	MS    Figure `json:"ms"`
}

// agentBench is one measurement.
type agentBench struct {
	o      AgentOptions
	report AgentReport
}

// Agents measures databases of agents and the exchanges between them.
func Agents(ctx context.Context, o AgentOptions) (*AgentReport, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if len(o.Parts) == 0 {
		o.Parts = AgentParts()
	}
	for _, part := range o.Parts {
		if !slices.Contains(AgentParts(), part) {
			return nil, fmt.Errorf("%w: %s; there are %s", ErrPart, part, strings.Join(AgentParts(), ", "))
		}
	}
	b := &agentBench{o: o, report: AgentReport{
		Machine: Machine{runtime.NumCPU(), runtime.GOOS + "/" + runtime.GOARCH}, Agents: o.Agents, Runs: o.Runs,
	}}
	steps := []struct {
		parts   []string
		workers int
		agents  int
		run     func(context.Context, *fleet.Fleet) error
	}{
		{[]string{InfoFull, InfoKeepalive}, 1, o.Agents, b.info},
		{[]string{Groups}, 2, o.Agents, b.groups},
		{[]string{KeepaliveRate}, 0, o.Agents, b.keepaliveRate},
		{[]string{Queries}, 0, o.Many, b.queries},
	}
	for _, step := range steps {
		if !slices.ContainsFunc(step.parts, b.wants) {
			continue
		}
		name := strings.Join(slices.DeleteFunc(step.parts, func(p string) bool { return !b.wants(p) }), ", ")
		o.Progress(fmt.Sprintf("%s: making %d agents", name, step.agents))
		if err := b.cluster(ctx, step.workers, step.agents, step.run); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return &b.report, nil
}

func (b *agentBench) wants(part string) bool { return slices.Contains(b.o.Parts, part) }

// agentsClusterJSON makes the exchanges frequent, so that little of what is
// measured is waiting for their turn. All else is as installed.
const agentsClusterJSON = `{"intervals": {"worker": {"sync_agent_info": 1}, "master": {"sync_agent_groups": 1, "agent_group_start_delay": 1}}}`

// cluster runs a measurement in a new cluster whose nodes all know the agents.
func (b *agentBench) cluster(ctx context.Context, workers, agents int, run func(context.Context, *fleet.Fleet) error) (err error) {
	var herd *herdFiles
	f, err := fleet.New(ctx, fleet.Options{
		Workers: workers, Dir: b.o.Dir, ClusterJSON: agentsClusterJSON,
		Prepare: func(n *fleet.Node) (err error) {
			if n.Role == "master" {
				herd, err = makeHerd(ctx, n.Home, agents)
				return err
			}
			return herd.copyTo(n.Home)
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return run(ctx, f)
}

// peaksOf gives the peak memory of the master and the largest of the workers.
func peaksOf(f *fleet.Fleet) (master, worker int64, err error) {
	err = eachUsage(f, func(n *fleet.Node, u fleet.Usage) {
		if n.Role == "master" {
			master = u.PeakRSS
		} else {
			worker = max(worker, u.PeakRSS)
		}
	})
	return master, worker, err
}
