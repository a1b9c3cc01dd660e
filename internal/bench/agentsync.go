package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/fleet"
	"testudo/internal/nodedb"
)

const (
	// glance is how often a database is asked whether the last agent has arrived,
	glance = 10 * time.Millisecond
	// longGlance how often all agents are counted, which costs the node something.
	longGlance = 50 * time.Millisecond
)

// exchangeSamples are the runs of one exchange.
type exchangeSamples struct {
	wall, logged, masterCPU, workerCPU Samples
	masterPeak, workerPeak             int64
}

// first starts the nodes, waits until every worker has reported all its agents
// once and gives the peak memory so far.
func (b *agentBench) first(ctx context.Context, f *fleet.Fleet) (master, worker int64, err error) {
	if err := f.Start(ctx, nil); err != nil {
		return 0, 0, err
	}
	b.o.Progress("the workers' first report of all agents")
	for _, w := range f.Workers() {
		if err := b.awaitCount(ctx, w, unreported, 0, longGlance); err != nil {
			return 0, 0, err
		}
	}
	return peaksOf(f)
}

// info measures agent-info: all agents of one worker, to the master.
func (b *agentBench) info(ctx context.Context, f *fleet.Fleet) error {
	firstMaster, firstWorker, err := b.first(ctx, f)
	if err != nil {
		return err
	}
	last := time.Now().Unix()
	// The first run teaches the master what the agents are; it does not count
	// when only keep-alives are measured.
	for _, part := range []string{InfoFull, InfoKeepalive} {
		runs := b.o.Runs
		if !b.wants(part) {
			if part == InfoKeepalive {
				continue
			}
			runs = 1
		}
		var s exchangeSamples
		for run := range runs {
			b.o.Progress(fmt.Sprintf("%s, run %d of %d", part, run+1, runs))
			last = max(last+1, time.Now().Unix())
			if err := b.oneInfo(ctx, f, part, last, run, &s); err != nil {
				return err
			}
		}
		report := s.report(f, firstMaster, firstWorker)
		if part == InfoKeepalive {
			b.report.InfoKeepalive = report
		} else if b.wants(part) {
			b.report.InfoFull = report
		}
	}
	return nil
}

const unreported = "SELECT count(*) AS n FROM agent WHERE id > 0 AND sync_status = 'syncreq'"

// oneInfo changes all agents on the worker by one statement and waits for them.
func (b *agentBench) oneInfo(ctx context.Context, f *fleet.Fleet, part string, heard int64, run int, s *exchangeSamples) error {
	worker := f.Workers()[0]
	change := fmt.Sprintf("last_keepalive = %d, sync_status = 'syncreq'", heard)
	arrived := fmt.Sprintf("SELECT count(*) AS n FROM agent WHERE id > 0 AND last_keepalive = %d", heard)
	if part == InfoFull {
		sum := fmt.Sprintf("%032x", heard)
		change += fmt.Sprintf(", os_version = '22.04.%d LTS', config_sum = '%s'", run+10, sum)
		arrived += " AND config_sum = '" + sum + "'"
	}
	return b.exchange(f, s, []*fleet.Node{worker}, "[Agent-info sync]", func() error {
		return b.sql(ctx, worker, "UPDATE agent SET "+change+" WHERE id > 0")
	}, func() error {
		if err := b.awaitLast(ctx, f.Master(), fmt.Sprintf("last_keepalive = %d", heard)); err != nil {
			return err
		}
		if err := b.awaitCount(ctx, f.Master(), arrived, b.o.Agents, longGlance); err != nil {
			return err
		}
		return b.awaitCount(ctx, worker, unreported, 0, longGlance)
	})
}

// groups measures agent-groups: all agents, from the master to two workers.
func (b *agentBench) groups(ctx context.Context, f *fleet.Fleet) error {
	firstMaster, firstWorker, err := b.first(ctx, f)
	if err != nil {
		return err
	}
	var s exchangeSamples
	for run := range b.o.Runs {
		b.o.Progress(fmt.Sprintf("%s, run %d of %d", Groups, run+1, b.o.Runs))
		if err := b.oneGroups(ctx, f, run+1, &s); err != nil {
			return err
		}
	}
	b.report.Groups = s.report(f, firstMaster, firstWorker)
	return nil
}

// oneGroups gives every agent the group after the one it has.
func (b *agentBench) oneGroups(ctx context.Context, f *fleet.Fleet, shift int, s *exchangeSamples) error {
	master := f.Master()
	group := fmt.Sprintf("printf('default,bench-%%02d', (id + %d) %% %d)", shift, herdGroups)
	prepare := []string{
		"sql " + fmt.Sprintf("UPDATE belongs SET id_group = (id_agent + %d) %% %d + 2 WHERE priority = 1", shift, herdGroups),
		"recalculate-agent-group-hashes",
	}
	for _, command := range prepare {
		if err := b.command(ctx, master, command); err != nil {
			return err
		}
	}
	return b.exchange(f, s, f.Workers(), "[Agent-groups recv]", func() error {
		return b.sql(ctx, master, "UPDATE agent SET group_sync_status = 'syncreq' WHERE id > 0")
	}, func() error {
		g, both := errgroup.WithContext(ctx)
		for _, w := range f.Workers() {
			g.Go(func() error {
				if err := b.awaitLast(both, w, `"group" = `+group); err != nil {
					return err
				}
				return b.awaitCount(both, w, `SELECT count(*) AS n FROM agent WHERE id > 0 AND "group" = `+group, b.o.Agents, longGlance)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return b.awaitCount(ctx, master, "SELECT count(*) AS n FROM agent WHERE id > 0 AND group_sync_status = 'syncreq'", 0, longGlance)
	})
}

// exchange measures one: from the end of change to the end of wait. The logs of
// the nodes given say how long the exchange itself took.
func (b *agentBench) exchange(f *fleet.Fleet, s *exchangeSamples, logs []*fleet.Node, tag string, change, wait func() error) error {
	offsets := make([]int64, len(logs))
	for i, n := range logs {
		info, err := os.Stat(logOf(n))
		if err != nil {
			return err
		}
		offsets[i] = info.Size()
	}
	if err := change(); err != nil {
		return err
	}
	began := time.Now()
	before := map[string]time.Duration{}
	if err := eachUsage(f, func(n *fleet.Node, u fleet.Usage) { before[n.Name] = u.CPU }); err != nil {
		return err
	}
	for _, n := range f.Nodes() {
		if err := n.ResetPeak(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if err := wait(); err != nil {
		return err
	}
	s.wall.Add(time.Since(began))
	var worst time.Duration
	err := eachUsage(f, func(n *fleet.Node, u fleet.Usage) {
		if n.Role == "master" {
			s.masterCPU.Add(u.CPU - before[n.Name])
			s.masterPeak = max(s.masterPeak, u.PeakRSS)
		} else {
			worst = max(worst, u.CPU-before[n.Name])
			s.workerPeak = max(s.workerPeak, u.PeakRSS)
		}
	})
	s.workerCPU.Add(worst)
	var logged time.Duration
	for i, n := range logs {
		took, readErr := finishedIn(logOf(n), offsets[i], tag)
		logged = max(logged, took)
		err = errors.Join(err, readErr)
	}
	s.logged.Add(logged)
	return err
}

func logOf(n *fleet.Node) string { return filepath.Join(n.Home, "logs/cluster.log") }

var finishedLine = regexp.MustCompile(`Finished in (\d+\.\d+)s\. Updated ([1-9]\d*) chunks`)

// finishedIn adds up what a log says, from an offset on, of rounds of a task in
// which something was sent.
func finishedIn(path string, offset int64, tag string) (sum time.Duration, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.Seek(offset, 0); err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		found := finishedLine.FindStringSubmatch(text)
		if found == nil || !strings.Contains(text, tag) {
			continue
		}
		seconds, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(seconds * float64(time.Second))
	}
	return sum, lines.Err()
}

func (s *exchangeSamples) report(f *fleet.Fleet, firstMaster, firstWorker int64) *ExchangeReport {
	return &ExchangeReport{
		Workers: len(f.Workers()), Wall: figure(s.wall), Logged: figure(s.logged), MasterCPU: figure(s.masterCPU), WorkerCPU: figure(s.workerCPU),
		FirstMasterPeak: firstMaster, FirstWorkerPeak: firstWorker, MasterPeak: s.masterPeak, WorkerPeak: s.workerPeak,
	}
}

// command sends one command to a node's database.
func (b *agentBench) command(ctx context.Context, n *fleet.Node, command string) error {
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Do(ctx, "global "+command)
}

func (b *agentBench) sql(ctx context.Context, n *fleet.Node, statement string) error {
	return b.command(ctx, n, "sql "+statement)
}

// awaitLast waits until something is so of the agent with the highest id, which
// is cheap to ask and comes last.
func (b *agentBench) awaitLast(ctx context.Context, n *fleet.Node, condition string) error {
	return b.awaitCount(ctx, n, fmt.Sprintf("SELECT count(*) AS n FROM agent WHERE id = %d AND %s", b.o.Agents, condition), 1, glance)
}

// exchangeTime bounds the wait for one exchange.
const exchangeTime = 5 * time.Minute

// awaitCount waits until a statement gives a number.
func (b *agentBench) awaitCount(ctx context.Context, n *fleet.Node, statement string, want int, every time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return err
	}
	defer conn.Close()
	turn := time.NewTicker(every)
	defer turn.Stop()
	for {
		rows, err := nodedb.Query[struct{ N int }](ctx, conn, statement)
		if err != nil {
			return err
		}
		if len(rows) > 0 && rows[0].N == want {
			return nil
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %d of %d: %w", n.Name, rows[0].N, want, ctx.Err())
		}
	}
}
