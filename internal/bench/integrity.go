package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/filestate"
	"testudo/internal/fleet"
)

// Options says what to measure.
type Options struct {
	Tree     Tree
	Workers  int
	Interval time.Duration // of the workers' checks
	Changes  int           // files changed one after the other, each until all workers have it
	Rounds   int           // intervals of rest whose CPU time is measured
	Runs     int
	Dir      string // for the homes; empty for a temporary directory

	// Progress is told of each step; it may be nil.
	Progress func(text string)
	// Done is told how many of the Parts are done; it may be nil.
	Done func(parts int)
}

// Parts is into how many parts the measurement falls, for showing how far it is:
// of each run the machine's limit, the first sync, each round of rest and each
// change.
func (o Options) Parts() int { return o.Runs * (2 + o.Rounds + o.Changes) }

// Report is the result of a measurement. Times are seconds, memory bytes.
type Report struct {
	Machine  Machine `json:"machine"`
	Files    int     `json:"files"`
	Size     int64   `json:"size"`
	Workers  int     `json:"workers"`
	Interval float64 `json:"interval"`
	Runs     int     `json:"runs"`

	Limit     Figure  `json:"limit"`      // the machine's own, docs of limit
	FirstSync Figure  `json:"first_sync"` // a worker's connection to its being in step, the last worker's
	Ratio     float64 `json:"first_sync_over_limit"`
	Change    Figure  `json:"change"` // a file saved on the master to its being on a worker
	AllHave   Figure  `json:"change_all_workers"`

	Master Process `json:"master"`
	Worker Process `json:"worker"` // the worst of all workers
}

// Machine is what the figures were taken on.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
}

// Figure is a repeated measurement.
type Figure struct {
	Median  float64 `json:"median"`
	P99     float64 `json:"p99"`
	Samples int     `json:"samples"`
}

// Process is what a node's process took.
type Process struct {
	SyncCPU  Figure `json:"sync_cpu"`  // start to in step
	RoundCPU Figure `json:"round_cpu"` // one round in which nothing differs
	PeakRSS  int64  `json:"peak_rss"`
}

func figure(s Samples) Figure { return Figure{s.Median(), s.P99(), len(s)} }

// measured collects the samples of all runs.
type measured struct {
	limit, first, change, allHave Samples
	masterSync, workerSync        Samples
	masterRound, workerRound      Samples
	masterPeak, workerPeak        int64

	parts int // done
	told  func(parts int)
}

// part notes that one of the parts is done.
func (m *measured) part() {
	m.parts++
	m.told(m.parts)
}

// Integrity measures the synchronisation of files.
func Integrity(ctx context.Context, o Options) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Done == nil {
		o.Done = func(int) {}
	}
	m := measured{told: o.Done}
	for run := range o.Runs {
		o.Tree.Seed = uint64(run)
		o.Progress(fmt.Sprintf("run %d of %d", run+1, o.Runs))
		if err := oneRun(ctx, o, &m); err != nil {
			return nil, fmt.Errorf("run %d: %w", run+1, err)
		}
	}
	r := &Report{
		Machine: Machine{runtime.NumCPU(), runtime.GOOS + "/" + runtime.GOARCH},
		Files:   o.Tree.Files, Size: o.Tree.Size, Workers: o.Workers, Interval: o.Interval.Seconds(), Runs: o.Runs,
		Limit: figure(m.limit), FirstSync: figure(m.first), Change: figure(m.change), AllHave: figure(m.allHave),
		Master: Process{figure(m.masterSync), figure(m.masterRound), m.masterPeak},
		Worker: Process{figure(m.workerSync), figure(m.workerRound), m.workerPeak},
	}
	if r.Limit.Median > 0 {
		r.Ratio = r.FirstSync.Median / r.Limit.Median
	}
	return r, nil
}

// clusterJSON sets the workers' interval; all else is as installed.
func clusterJSON(interval time.Duration) string {
	return fmt.Sprintf(`{"intervals": {"worker": {"sync_integrity": %d}}}`, int(interval.Seconds()))
}

func oneRun(ctx context.Context, o Options, m *measured) (err error) {
	f, err := fleet.New(ctx, fleet.Options{
		Workers: o.Workers, Dir: o.Dir, ClusterJSON: clusterJSON(o.Interval),
		Prepare: func(n *fleet.Node) error {
			if n.Role != "master" {
				return nil
			}
			// Making merged.mg out of a group's files is no part of this.
			options := filepath.Join(n.Home, "etc/local_internal_options.conf")
			if err := os.WriteFile(options, []byte("remoted.merge_shared=0\n"), 0o640); err != nil {
				return err
			}
			return o.Tree.Write(n.Home)
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	o.Progress("the machine's own limit")
	took, err := limit(ctx, o.Tree, f.Master().Home, filepath.Join(f.Dir(), "limit"))
	if err != nil {
		return err
	}
	m.limit.Add(took)
	m.part()
	steps := []struct {
		what string
		do   func(context.Context, Options, *fleet.Fleet, *measured) error
	}{
		{"first sync", firstSync},
		{"rounds in which nothing changes", idleRounds},
		{"changes", changes},
		{"memory", peaks},
	}
	for _, step := range steps {
		o.Progress(step.what)
		if err := step.do(ctx, o, f, m); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func firstSync(ctx context.Context, _ Options, f *fleet.Fleet, m *measured) error {
	if err := f.Start(ctx, nil); err != nil {
		return err
	}
	nodes, err := waitInStep(ctx, f)
	if err != nil {
		return err
	}
	var last time.Duration
	for _, n := range nodes {
		last = max(last, n.InStepSince.Sub(n.ConnectedSince))
	}
	m.first.Add(last)
	m.part()
	return eachUsage(f, func(n *fleet.Node, u fleet.Usage) {
		if n.Role == "master" {
			m.masterSync.Add(u.CPU)
		} else {
			m.workerSync.Add(u.CPU)
		}
	})
}

// waitInStep waits until the master says that every worker has all files.
func waitInStep(ctx context.Context, f *fleet.Fleet) ([]filestate.NodeState, error) {
	database := filepath.Join(f.Master().Home, "queue/db/cluster.db")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := filestate.Nodes(ctx, database)
		if err != nil {
			return nil, err
		}
		var inStep []filestate.NodeState
		for _, n := range all {
			if n.Role == "worker" && n.Connected && !n.InStepSince.IsZero() {
				inStep = append(inStep, n)
			}
		}
		if len(inStep) == len(f.Workers()) {
			return inStep, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d workers in step: %w", len(inStep), len(f.Workers()), ctx.Err())
		}
	}
}

// idleRounds measures the CPU time of rounds in which nothing differs.
func idleRounds(ctx context.Context, o Options, f *fleet.Fleet, m *measured) error {
	if err := pause(ctx, aftermath); err != nil {
		return err
	}
	before := map[string]time.Duration{}
	if err := eachUsage(f, func(n *fleet.Node, u fleet.Usage) { before[n.Name] = u.CPU }); err != nil {
		return err
	}
	for range o.Rounds {
		if err := pause(ctx, o.Interval); err != nil {
			return err
		}
		m.part()
	}
	return eachUsage(f, func(n *fleet.Node, u fleet.Usage) {
		each := (u.CPU - before[n.Name]) / time.Duration(o.Rounds)
		if n.Role == "master" {
			m.masterRound.Add(each / time.Duration(len(f.Workers())))
		} else {
			m.workerRound.Add(each)
		}
	})
}

// aftermath is how long nodes are left alone after a sync before their rest is
// measured: the states of the files are written up to two seconds later.
const aftermath = 3 * time.Second

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// changes saves files on the master, one after the other, and waits for each
// on all workers.
func changes(ctx context.Context, o Options, f *fleet.Fleet, m *measured) error {
	for i := range o.Changes {
		path := o.Tree.Path(i % o.Tree.Files)
		content := fmt.Appendf(nil, "changed %d\n", i)
		target := filepath.Join(f.Master().Home, path)
		if err := os.WriteFile(target+".tmp", content, 0o660); err != nil {
			return err
		}
		if err := os.Rename(target+".tmp", target); err != nil {
			return err
		}
		saved := time.Now()
		took := make([]time.Duration, len(f.Workers()))
		g, ctx := errgroup.WithContext(ctx)
		for w, n := range f.Workers() {
			g.Go(func() error {
				err := waitContent(ctx, filepath.Join(n.Home, path), content)
				took[w] = time.Since(saved)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		last := time.Duration(0)
		for _, d := range took {
			m.change.Add(d)
			last = max(last, d)
		}
		m.allHave.Add(last)
		m.part()
	}
	return nil
}

func waitContent(ctx context.Context, path string, want []byte) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() == int64(len(want)) {
			if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, want) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not arrived: %w", path, ctx.Err())
		}
	}
}

func peaks(_ context.Context, _ Options, f *fleet.Fleet, m *measured) error {
	return eachUsage(f, func(n *fleet.Node, u fleet.Usage) {
		if n.Role == "master" {
			m.masterPeak = max(m.masterPeak, u.PeakRSS)
		} else {
			m.workerPeak = max(m.workerPeak, u.PeakRSS)
		}
	})
}

func eachUsage(f *fleet.Fleet, each func(*fleet.Node, fleet.Usage)) error {
	for _, n := range f.Nodes() {
		u, err := n.Usage()
		if err != nil {
			return err
		}
		each(n, u)
	}
	return nil
}
