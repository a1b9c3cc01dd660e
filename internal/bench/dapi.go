package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/fleet"
	"testudo/internal/localsock"
)

// localSocket is a home's socket for local programs.
const localSocket = "queue/cluster/c-internal.sock"

// DAPIOptions says what to measure of a node's local socket and of the
// distributed API behind it.
type DAPIOptions struct {
	Agents  int           // that the nodes know
	Many    int           // agents of the large answer; 0 leaves it out
	Clients []int         // how many ask at a time, one measurement each
	Time    time.Duration // of each measurement
	Dir     string        // for the homes; empty for a temporary directory

	// Sockets are those of nodes that run already: they are measured instead of a
	// new cluster, without the frozen node and the large answer.
	Sockets []string

	// Progress is told of each step; it may be nil.
	Progress func(text string)
}

// DAPIReport is the result. Each call has a connection of its own.
type DAPIReport struct {
	Machine Machine      `json:"machine"`
	Agents  int          `json:"agents"`
	Calls   []CallReport `json:"calls"`
	// Frozen are calls while others wait for a node that does not answer.
	Frozen []CallReport `json:"frozen,omitempty"`
	Large  *LargeReport `json:"large,omitempty"`
}

// CallReport is how one kind of call went.
type CallReport struct {
	Where     string  `json:"where"` // which node's socket; "alone" without a node
	Call      string  `json:"call"`
	Clients   int     `json:"clients"`
	PerSecond float64 `json:"per_s"`
	MS        Figure  `json:"ms"`
	CPU       CPUCost `json:"cpu_us"` // of one call
}

// LargeReport is an answer that is far longer than a frame, by way of a worker.
type LargeReport struct {
	Bytes      int     `json:"bytes"`
	Seconds    float64 `json:"seconds"`
	MasterPeak int64   `json:"master_peak_rss"` // before the call it was the Base
	WorkerPeak int64   `json:"worker_peak_rss"`
	MasterBase int64   `json:"master_rss"`
	WorkerBase int64   `json:"worker_rss"`
	CPU        CPUCost `json:"cpu_us"`
}

// localCall is a kind of call.
type localCall struct{ name, command, payload string }

// function writes the request for a function that the master runs.
func function(module, name, arguments, options string) string {
	return fmt.Sprintf(`{"f": {"__callable__": {"__name__": %[2]q, "__module__": %[1]q, "__qualname__": %[2]q, "__type__": "function"}},`+
		` "f_kwargs": %s, "request_type": "local_master", "wait_for_complete": true%s}`, module, name, arguments, options)
}

func localCalls() []localCall {
	return []localCall{
		{"get_config", "get_config", ""},
		{"get_nodes", "get_nodes", `{"filter_node": null, "offset": 0, "limit": 500, "sort": null, "search": null, "select": null, "filter_type": "all", "distinct": false}`},
		{"get_health", "get_health", "null"},
		{"get_nodes_info", "dapi", function("wazuh.cluster", "get_nodes_info", `{}`, `, "is_async": true, "local_client_arg": "lc"`)},
		{"get_agents, limit 1", "dapi", function("wazuh.agent", "get_agents", `{"limit": 1}`, "")},
		{"get_agents, limit 500", "dapi", function("wazuh.agent", "get_agents", `{"limit": 500}`, "")},
	}
}

// dapiBench is one measurement.
type dapiBench struct {
	o      DAPIOptions
	report DAPIReport
	fleet  *fleet.Fleet // the cluster that is measured now; nil for sockets of others
}

// DAPI measures the local sockets of a master and of a worker.
func DAPI(ctx context.Context, o DAPIOptions) (*DAPIReport, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	b := &dapiBench{o: o, report: DAPIReport{Machine: Machine{runtime.NumCPU(), runtime.GOOS + "/" + runtime.GOARCH}, Agents: o.Agents}}
	if len(o.Sockets) > 0 {
		b.report.Agents = 0 // whatever these nodes know
		if err := b.bare(ctx); err != nil {
			return nil, err
		}
		for _, path := range o.Sockets {
			if err := b.calls(ctx, path, path); err != nil {
				return nil, err
			}
		}
		return &b.report, nil
	}
	steps := []struct {
		agents int
		run    func(context.Context, *fleet.Fleet) error
	}{{o.Agents, b.small}, {o.Many, b.large}}
	for _, step := range steps {
		if step.agents == 0 {
			continue
		}
		o.Progress(fmt.Sprintf("making %d agents", step.agents))
		if err := b.cluster(ctx, step.agents, step.run); err != nil {
			return nil, err
		}
	}
	return &b.report, nil
}

// cluster runs a measurement in a new cluster of a master and two workers.
func (b *dapiBench) cluster(ctx context.Context, agents int, run func(context.Context, *fleet.Fleet) error) (err error) {
	var herd *herdFiles
	f, err := fleet.New(ctx, fleet.Options{
		Workers: 2, Dir: b.o.Dir,
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
	if err := f.Start(ctx, nil); err != nil {
		return err
	}
	b.fleet = f
	defer func() { b.fleet = nil }()
	return run(ctx, f)
}

func socketOf(n *fleet.Node) string { return filepath.Join(n.Home, localSocket) }

// small measures all calls on the master and on a worker, and those that a frozen
// node must not hold up.
func (b *dapiBench) small(ctx context.Context, f *fleet.Fleet) error {
	if err := b.bare(ctx); err != nil {
		return err
	}
	for _, n := range []*fleet.Node{f.Master(), f.Workers()[0]} {
		if err := b.calls(ctx, n.Role, socketOf(n)); err != nil {
			return err
		}
	}
	return b.frozen(ctx, f)
}

func (b *dapiBench) calls(ctx context.Context, where, socket string) error {
	for _, call := range localCalls() {
		for _, clients := range b.o.Clients {
			b.o.Progress(fmt.Sprintf("%s: %s, %d clients", where, call.name, clients))
			r, err := b.measure(ctx, where, socket, call, clients)
			if err != nil {
				return err
			}
			b.report.Calls = append(b.report.Calls, r)
		}
	}
	return nil
}

// measure has clients ask a node, each on a new connection.
func (b *dapiBench) measure(ctx context.Context, where, socket string, call localCall, clients int) (CallReport, error) {
	r, err := b.repeat(ctx, clients, func() error {
		_, err := localsock.Ask(ctx, socket, localsock.ClientOptions{}, call.command, []byte(call.payload))
		return err
	})
	if err != nil {
		return CallReport{}, fmt.Errorf("%s: %s: %w", where, call.name, err)
	}
	r.Where, r.Call = where, call.name
	return r, nil
}

// repeat has clients call again and again, for as long as it is to take.
func (b *dapiBench) repeat(ctx context.Context, clients int, call func() error) (CallReport, error) {
	if err := call(); err != nil {
		return CallReport{}, err
	}
	cost, err := b.costs()
	if err != nil {
		return CallReport{}, err
	}
	var took latencies
	limited, cancel := context.WithTimeout(ctx, b.o.Time)
	defer cancel()
	began := time.Now()
	var g errgroup.Group
	for range clients {
		g.Go(func() error {
			for limited.Err() == nil {
				sent := time.Now()
				if err := call(); err != nil {
					return err
				}
				took.add(time.Since(sent))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return CallReport{}, err
	}
	r := CallReport{Clients: clients, MS: took.figure()}
	r.PerSecond = float64(len(took.s)) / time.Since(began).Seconds()
	r.CPU, err = cost(len(took.s))
	return r, err
}

// frozenCalls is how many calls wait for the node that does not answer.
const frozenCalls = 20

// frozen measures calls on both sockets while others wait for a stopped worker.
func (b *dapiBench) frozen(ctx context.Context, f *fleet.Fleet) (err error) {
	b.o.Progress("the same beside calls that wait for a stopped node")
	stuck := f.Workers()[1]
	if err := stuck.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	defer func() {
		cancel()
		err = errors.Join(err, stuck.Signal(syscall.SIGCONT), g.Wait())
	}()
	request := stuck.Name + " " + function("wazuh.manager", "get_status", "{}", "")
	for range frozenCalls {
		g.Go(func() error {
			_, err := localsock.Ask(waiting, socketOf(f.Master()), localsock.ClientOptions{}, "dapi_fwd", []byte(request))
			if err == nil {
				return errors.New("a stopped node has answered")
			}
			return nil
		})
	}
	for _, n := range []*fleet.Node{f.Master(), f.Workers()[0]} {
		for _, call := range localCalls() {
			r, err := b.measure(ctx, n.Role, socketOf(n), call, 10)
			if err != nil {
				return err
			}
			b.report.Frozen = append(b.report.Frozen, r)
		}
	}
	return nil
}

// large asks a worker for all agents at once.
func (b *dapiBench) large(ctx context.Context, f *fleet.Fleet) error {
	b.o.Progress(fmt.Sprintf("one answer of %d agents", b.o.Many))
	master, worker := f.Master(), f.Workers()[0]
	r := &LargeReport{}
	for _, n := range f.Nodes() {
		if err := n.ResetPeak(); err != nil {
			return err
		}
	}
	var err error
	if r.MasterBase, r.WorkerBase, err = peaksOf(f); err != nil {
		return err
	}
	cost, err := b.costs()
	if err != nil {
		return err
	}
	call := function("wazuh.agent", "get_agents", fmt.Sprintf(`{"limit": %d}`, b.o.Many), "")
	began := time.Now()
	answer, err := localsock.Ask(ctx, socketOf(worker), localsock.ClientOptions{}, "dapi", []byte(call))
	if err != nil {
		return fmt.Errorf("large answer: %w", err)
	}
	r.Bytes, r.Seconds = len(answer), time.Since(began).Seconds()
	if r.CPU, err = cost(1); err != nil {
		return err
	}
	m, err := master.Usage()
	if err != nil {
		return err
	}
	w, err := worker.Usage()
	r.MasterPeak, r.WorkerPeak = m.PeakRSS, w.PeakRSS
	b.report.Large = r
	return err
}
