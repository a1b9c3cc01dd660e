package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/fleet"
	"testudo/internal/simulate"
)

// EnrolOptions says what to measure of agents that enrol.
type EnrolOptions struct {
	Many    int           // agents that the second cluster has at first; 0 leaves it out
	Clients []int         // how many ask at a time, one measurement each
	Rate    float64       // agents a second of one more measurement, whose times count from when each should have begun; 0 for none
	Time    time.Duration // of each measurement
	Rounds  int           // how often all of them are made, in turn
	Dir     string        // for the homes; empty for a temporary directory

	// Servers are ports of nodes that run already, of the original as well: they
	// are measured instead of new clusters. PID is the process behind the only one,
	// if it is to be told what it costs.
	Servers  []string
	PID      int
	Password agent.Secret // of the Servers

	// Progress is told of each step; it may be nil.
	Progress func(text string)
}

// EnrolReport is the result. A registration is a whole one: a connection, TLS, the
// request, the key on the disk, the answer.
type EnrolReport struct {
	Machine Machine    `json:"machine"`
	Sync    Figure     `json:"sync_ms"` // a line appended to a file and made durable, in this run
	Bare    []EnrolRun `json:"bare"`    // the same exchange with a server that only answers, in this process
	Runs    []EnrolRun `json:"runs"`
}

// EnrolRun is one kind of measurement, of all rounds.
type EnrolRun struct {
	Where     string         `json:"where"`
	Agents    int            `json:"agents"`         // that were there at first; -1 when that is not known
	Clients   int            `json:"clients"`        // at most
	Rate      float64        `json:"rate,omitempty"` // that was asked for; 0 for as many as are answered
	Count     int            `json:"registrations"`  //
	PerSecond float64        `json:"per_s"`          // the median of the rounds
	MS        Figure         `json:"ms"`             // the medians of the rounds' medians and p99
	CPU       CPUCost        `json:"cpu_us"`         // of one registration, of all rounds
	Failures  map[string]int `json:"failures,omitempty"`

	rates, medians, p99s Samples
	spent                CPUCost
}

// enrolSite is one server that is measured.
type enrolSite struct {
	where    string
	agents   int
	server   string
	password agent.Secret
	spent    func() (CPUCost, error) // of its processes, so far
}

// enrolBench is one measurement.
type enrolBench struct {
	o      EnrolOptions
	report EnrolReport
}

// Enrol measures how fast agents get their keys: at a master and through a worker,
// with no agents and with many. The clusters run side by side and are measured in
// turn, so that what else the machine does meets them all.
func Enrol(ctx context.Context, o EnrolOptions) (report *EnrolReport, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	b := &enrolBench{o: o, report: EnrolReport{Machine: Machine{runtime.NumCPU(), runtime.GOOS + "/" + runtime.GOARCH}}}
	if err := b.limits(ctx); err != nil {
		return nil, err
	}
	var sites []enrolSite
	for _, server := range o.Servers {
		sites = append(sites, enrolSite{server, -1, server, o.Password, b.spentBy(o.PID)})
	}
	if len(sites) > 0 {
		return &b.report, b.measureAll(ctx, sites)
	}
	for _, agents := range slices.Compact([]int{0, o.Many}) {
		f, err := b.cluster(ctx, agents)
		if f != nil {
			defer func() { err = errors.Join(err, f.Close(), removeIfThere(f.Dir())) }()
		}
		if err != nil {
			return nil, err
		}
		for _, n := range f.Nodes() {
			server := net.JoinHostPort("127.0.0.1", strconv.Itoa(n.EnrolPort))
			sites = append(sites, enrolSite{n.Role, agents, server, agent.Secret{}, spentIn(f)})
		}
	}
	return &b.report, b.measureAll(ctx, sites)
}

// unlimited takes away the bound on one address, from which all agents of a
// measurement come.
func unlimited() *strings.Replacer {
	return strings.NewReplacer("#rate_per_address: 1000", "rate_per_address: 0")
}

// cluster starts a master and a worker with some agents.
func (b *enrolBench) cluster(ctx context.Context, agents int) (*fleet.Fleet, error) {
	b.o.Progress(fmt.Sprintf("a master and a worker with %d agents", agents))
	var herd *herdFiles
	dir := b.o.Dir
	if dir != "" {
		dir = filepath.Join(dir, fmt.Sprintf("%d", agents))
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, err
		}
	}
	f, err := fleet.New(ctx, fleet.Options{
		Workers: 1, Dir: dir,
		Prepare: func(n *fleet.Node) (err error) {
			if err := rewrite(filepath.Join(n.Home, herdSetup), unlimited()); err != nil || agents == 0 {
				return err
			}
			if n.Role == "master" {
				herd, err = makeHerd(ctx, n.Home, agents)
				return err
			}
			return herd.copyTo(n.Home)
		},
	})
	if err != nil {
		return f, err
	}
	return f, f.Start(ctx, nil)
}

// removeIfThere removes a directory that is empty, or gone already.
func removeIfThere(dir string) error {
	if err := os.Remove(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// rewrite changes a file of a home that we have made.
func rewrite(path string, change *strings.Replacer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(change.Replace(string(text))), 0o660) //nolint:gosec // a home that we have made
}

func spentIn(f *fleet.Fleet) func() (CPUCost, error) {
	return func() (c CPUCost, err error) {
		master, err := f.Master().Usage()
		if err != nil {
			return c, err
		}
		worker, err := f.Workers()[0].Usage()
		return CPUCost{Master: micros(master.CPU), Worker: micros(worker.CPU)}, err
	}
}

// spentBy is spentIn for a process of somebody else, 0 for none.
func (b *enrolBench) spentBy(pid int) func() (CPUCost, error) {
	return func() (CPUCost, error) {
		if pid == 0 {
			return CPUCost{}, nil
		}
		u, err := fleet.UsageOf(pid)
		return CPUCost{Master: micros(u.CPU)}, err
	}
}

// measureAll measures every site in turn.
func (b *enrolBench) measureAll(ctx context.Context, sites []enrolSite) error {
	var runs []EnrolRun
	for _, s := range sites {
		for _, clients := range b.o.Clients {
			runs = append(runs, EnrolRun{Where: s.where, Agents: s.agents, Clients: clients})
		}
		if b.o.Rate > 0 {
			runs = append(runs, EnrolRun{Where: s.where, Agents: s.agents, Clients: rateClients, Rate: b.o.Rate})
		}
	}
	each := len(runs) / len(sites)
	for _, s := range sites {
		if err := warm(ctx, s); err != nil {
			return err
		}
	}
	for round := range b.o.Rounds {
		// One kind of measurement at all sites, then the next: neighbours are compared.
		for kind := range each {
			for i, s := range sites {
				r := &runs[i*each+kind]
				b.o.Progress(fmt.Sprintf("round %d: %s, %d agents, %s", round+1, r.Where, r.Agents, r.load()))
				if err := r.measure(ctx, s, b.o.Time); err != nil {
					return err
				}
			}
		}
	}
	for i := range runs {
		runs[i].finish()
	}
	b.report.Runs = runs
	return nil
}

const (
	// rateClients is how many agents may ask at a time that begin at a rate.
	rateClients = 512
	// warmAgents enrol before anything counts.
	warmAgents = 50
	// mostAgents bounds one measurement.
	mostAgents = 1_000_000
)

func warm(ctx context.Context, s enrolSite) error {
	r, err := enrolAt(ctx, s, simulate.EnrolOptions{Count: warmAgents, Clients: 4})
	if err == nil && r.Enrolled == 0 {
		err = fmt.Errorf("nobody gets a key at %s: %v", s.server, r.Failures)
	}
	return err
}

func enrolAt(ctx context.Context, s enrolSite, o simulate.EnrolOptions) (r simulate.EnrolReport, err error) {
	o.Servers, o.Password = []string{s.server}, s.password
	e, err := simulate.NewEnrolment(o)
	if err != nil {
		return r, err
	}
	e.Run(ctx)
	return e.Report(), ctx.Err()
}

func (r *EnrolRun) load() string {
	if r.Rate > 0 {
		return fmt.Sprintf("%.0f/s", r.Rate)
	}
	return fmt.Sprint(r.Clients)
}

// measure is one round.
func (r *EnrolRun) measure(ctx context.Context, s enrolSite, d time.Duration) error {
	before, own, err := spentNow(s)
	if err != nil {
		return err
	}
	got, err := enrolAt(ctx, s, simulate.EnrolOptions{Count: mostAgents, Clients: r.Clients, Rate: r.Rate, Duration: d})
	if err != nil {
		return err
	}
	after, ownAfter, err := spentNow(s)
	if err != nil {
		return err
	}
	r.Count += got.Enrolled
	r.rates = append(r.rates, got.Achieved)
	r.medians = append(r.medians, got.Latency.P50)
	r.p99s = append(r.p99s, got.Latency.P99)
	r.spent.Master += after.Master - before.Master
	r.spent.Worker += after.Worker - before.Worker
	r.spent.Client += ownAfter - own
	for text, n := range got.Failures {
		if r.Failures == nil {
			r.Failures = map[string]int{}
		}
		r.Failures[text] += n
	}
	return nil
}

func spentNow(s enrolSite) (site CPUCost, own float64, err error) {
	if own, err = ownCPU(); err != nil {
		return site, 0, err
	}
	site, err = s.spent()
	return site, own, err
}

// finish sums the rounds up.
func (r *EnrolRun) finish() {
	n := float64(max(r.Count, 1))
	r.CPU = CPUCost{Master: r.spent.Master / n, Worker: r.spent.Worker / n, Client: r.spent.Client / n}
	r.PerSecond = r.rates.Median()
	r.MS = Figure{Median: r.medians.Median(), P99: r.p99s.Median(), Samples: r.Count}
}
