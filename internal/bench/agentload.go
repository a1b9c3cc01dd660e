package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/fleet"
	"testudo/internal/nodedb"
)

const (
	rateWriters = 32
	rateReaders = 2
	// readEvery is how often each reader reads.
	readEvery = 5 * time.Millisecond
	// warmUp is how often each query is asked before it counts.
	warmUp = 10
	// latest bounds the latencies of writes that are kept, one in so many.
	keepWrite = 64
)

// latencies collects times of many goroutines, in milliseconds.
type latencies struct {
	mu sync.Mutex
	s  Samples
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s = append(l.s, float64(d)/float64(time.Millisecond))
}

func (l *latencies) figure() Figure { return figure(l.s) }

// keepaliveRate measures keep-alives into one database, beside readers.
func (b *agentBench) keepaliveRate(ctx context.Context, f *fleet.Fleet) error {
	if err := f.Start(ctx, nil); err != nil {
		return err
	}
	n := f.Master()
	before, err := n.Usage()
	if err != nil {
		return err
	}
	b.o.Progress(fmt.Sprintf("%s: %d a second for %s", KeepaliveRate, b.o.Rate, b.o.RateTime))
	var writes, reads latencies
	counts := make([]int, rateWriters)
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, b.o.RateTime)
	defer cancel()
	g, limited := errgroup.WithContext(limited)
	for w := range rateWriters {
		g.Go(func() (err error) {
			counts[w], err = b.writeKeepalives(limited, n, w, &writes)
			return err
		})
	}
	for r := range rateReaders {
		g.Go(func() error { return b.readBeside(limited, n, r, &reads) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := n.Usage()
	if err != nil {
		return err
	}
	total := 0
	for _, c := range counts {
		total += c
	}
	b.report.Rate = &RateReport{
		Asked: float64(b.o.Rate), Achieved: float64(total) / took.Seconds(), Seconds: took.Seconds(),
		WriteMS: writes.figure(), ReadMS: reads.figure(), CPU: (after.CPU - before.CPU).Seconds() / took.Seconds(), PeakRSS: after.PeakRSS,
	}
	return nil
}

// writeKeepalives is one connection's share of the rate, until ctx ends. One
// that falls behind goes on as fast as it is answered.
func (b *agentBench) writeKeepalives(ctx context.Context, n *fleet.Node, number int, took *latencies) (count int, err error) {
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	each := time.Duration(float64(time.Second) * rateWriters / float64(b.o.Rate))
	began := time.Now()
	for ; ; count++ {
		if wait := time.Until(began.Add(time.Duration(count) * each)); wait > time.Millisecond && !rest(ctx, wait) {
			return count, nil
		}
		id := (count*rateWriters+number)%b.o.Agents + 1
		sent := time.Now()
		err := conn.Do(ctx, fmt.Sprintf(`global update-keepalive {"id":%d,"connection_status":"active","sync_status":"synced"}`, id))
		switch {
		case ctx.Err() != nil:
			return count, nil
		case err != nil:
			return count, err
		case count%keepWrite == 0:
			took.add(time.Since(sent))
		}
	}
}

// rest waits; false when ctx ended before.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// readBeside reads single agents and pages until ctx ends.
func (b *agentBench) readBeside(ctx context.Context, n *fleet.Node, number int, took *latencies) error {
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return err
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(1, uint64(number))) //nolint:gosec // repeatable, not secret
	turn := time.NewTicker(readEvery)
	defer turn.Stop()
	for i := 0; ; i++ {
		id := rng.IntN(b.o.Agents) + 1
		command := []string{
			fmt.Sprintf("global get-agent-info %d", id),
			fmt.Sprintf("global select-agent-group %d", id),
			fmt.Sprintf(`global list-agents {"after":%d,"limit":100}`, id),
			fmt.Sprintf("global sql SELECT id, name, connection_status FROM agent WHERE id > %d ORDER BY id LIMIT 100", id),
		}[i%4]
		sent := time.Now()
		err := conn.Do(ctx, command)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		took.add(time.Since(sent))
		select {
		case <-turn.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// queries measures a large database.
func (b *agentBench) queries(ctx context.Context, f *fleet.Fleet) (err error) {
	b.o.Progress(Queries + ": starting the node")
	began := time.Now()
	if err := f.Start(ctx, nil); err != nil {
		return err
	}
	n := f.Master()
	report := &QueryReport{Agents: b.o.Many, Start: time.Since(began).Seconds()}
	conn, err := nodedb.DialHome(ctx, n.Home)
	if err != nil {
		return err
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // repeatable, not secret
	some := func() int { return rng.IntN(b.o.Many) }
	for _, q := range []struct {
		name string
		ask  func() string
	}{
		{"list, first page of 100", func() string { return `list-agents {"limit":100}` }},
		{"list, any page of 100", func() string { return fmt.Sprintf(`list-agents {"after":%d,"limit":100}`, some()) }},
		{"count by state and node", func() string { return "count-agents" }},
		{"filter by state", func() string { return `list-agents {"status":"disconnected","limit":100}` }},
		{"filter by state and node", func() string {
			return fmt.Sprintf(`list-agents {"status":"active","node":%q,"after":%d,"limit":100}`, herdNode, some())
		}},
		{"filter by group", func() string { return fmt.Sprintf(`list-agents {"group":%q,"limit":100}`, herdGroup(some())) }},
		{"filter by version", func() string { return `list-agents {"version":"Wazuh v4.7.4","limit":100}` }},
		{"filter by part of the name", func() string { return fmt.Sprintf(`list-agents {"name":"gent-%d","limit":100}`, some()) }},
	} {
		b.o.Progress(Queries + ": " + q.name)
		var took latencies
		for i := range warmUp + b.o.Samples {
			sent := time.Now()
			if err := conn.Do(ctx, "global "+q.ask()); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			if i >= warmUp {
				took.add(time.Since(sent))
			}
		}
		report.Queries = append(report.Queries, QueryTimes{q.name, took.figure()})
	}
	u, err := n.Usage()
	report.PeakRSS = u.PeakRSS
	b.report.Queries = report
	return errors.Join(err, ctx.Err())
}
