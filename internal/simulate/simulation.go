package simulate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
)

// queueLength is how many operations wait for the writers of a node at most.
const queueLength = 256

// Simulation is one simulation in one cluster. Its methods are called one after
// the other, but for Report.
type Simulation struct {
	o         Options
	nodes     []node   // the master first
	root      *os.Root // of the master's home; nil when only its socket is known
	reporting []*node  // that agents report to
	sync      string   // sync_status of their writes
	herd      []member

	stateProbe  *probe // at the master; nil when agents report to the master itself
	groupProbes []*probe
	tally       tally

	mu     sync.Mutex
	report Report
}

// New finds out what the nodes are. Close must be called.
func New(ctx context.Context, o Options) (*Simulation, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Simulation{o: o, sync: "syncreq"}
	if s.nodes, err = resolve(ctx, o.Nodes); err != nil {
		return nil, err
	}
	if s.root, err = openRoot(s.nodes[0]); err != nil {
		return nil, err
	}
	for i := range s.nodes[1:] {
		n := &s.nodes[i+1]
		s.reporting = append(s.reporting, n)
		s.groupProbes = append(s.groupProbes, newProbe(n, o.Patience))
	}
	if len(s.reporting) == 0 {
		s.reporting, s.sync = []*node{&s.nodes[0]}, "synced"
	} else {
		s.stateProbe = newProbe(&s.nodes[0], o.Patience)
	}
	s.report.Agents, s.report.Groups = o.Count, o.Groups
	for _, n := range s.nodes {
		s.report.Nodes = append(s.report.Nodes, n.name)
	}
	return s, nil
}

// Close lets go of the nodes.
func (s *Simulation) Close() error {
	if s.root == nil {
		return nil
	}
	return s.root.Close()
}

// Prepare makes agents and groups exist on all nodes and gives the agents their
// groups. Agents of an earlier run are used again.
func (s *Simulation) Prepare(ctx context.Context) error {
	began := time.Now()
	s.o.Step(fmt.Sprintf("Registering %d agents with %s", s.o.Count, strings.Join(s.report.Nodes, ", ")))
	ids, err := s.register(ctx)
	if err != nil {
		return fmt.Errorf("register the agents: %w", err)
	}
	s.o.Step(fmt.Sprintf("Making %d groups", s.o.Groups))
	if err := s.makeGroups(ctx); err != nil {
		return fmt.Errorf("make the groups: %w", err)
	}
	s.herd = make([]member, len(ids))
	rng := s.rng(0)
	for i, id := range ids {
		m := &s.herd[i]
		m.id, m.node, m.group = id, int16(i%len(s.reporting)), -1
		if s.o.Groups > 0 {
			m.group = int16(rng.IntN(s.o.Groups))
		}
	}
	if err := s.startSeqs(ctx); err != nil {
		return fmt.Errorf("read what agents of an earlier run have: %w", err)
	}
	registered := time.Now()
	s.o.Step("Giving the agents their groups")
	if err := s.assignAll(ctx); err != nil {
		return fmt.Errorf("give the agents their groups: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.RegisterSeconds = seconds(registered.Sub(began))
	s.report.GroupsSeconds = seconds(time.Since(registered))
	return nil
}

// rng is a source of chance for one part of the simulation.
func (s *Simulation) rng(part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.o.Seed, part)) //nolint:gosec // repeatable, not secret
}

// startSeqs lets the numbers of writes go on where an earlier run ended.
func (s *Simulation) startSeqs(ctx context.Context) error {
	for i := range s.nodes {
		c, err := dial(ctx, &s.nodes[i])
		if err != nil {
			return err
		}
		err = walk(ctx, c, "id, config_sum", func(r seen) int64 {
			if m := s.find(r.ID); m != nil {
				if seq, ok := seqOf(r.ConfigSum); ok {
					m.seq = max(m.seq, seq)
				}
			}
			return int64(r.ID)
		})
		c.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// find gives the member with an id, nil when there is none.
func (s *Simulation) find(id agent.ID) *member {
	i := sort.Search(len(s.herd), func(i int) bool { return s.herd[i].id >= id })
	if i == len(s.herd) || s.herd[i].id != id {
		return nil
	}
	return &s.herd[i]
}

// assignBatch is how many agents get their groups by one command.
const assignBatch = 500

func (s *Simulation) assignAll(ctx context.Context) error {
	batches := (len(s.herd) + assignBatch - 1) / assignBatch
	return s.parallel(ctx, &s.nodes[0], "Groups assigned", batches, func(ctx context.Context, c *client, i int) error {
		part := s.herd[i*assignBatch : min((i+1)*assignBatch, len(s.herd))]
		list := make([]assignment, 0, len(part))
		for j := range part {
			list = append(list, assignment{part[j].id, part[j].groups()})
		}
		command, err := assignCommand(list)
		if err != nil {
			return err
		}
		return c.do(ctx, command)
	})
}

// Run keeps the agents alive, with all that happens to them, for the duration or
// until ctx ends, which is no error: then it goes on for one more interval.
func (s *Simulation) Run(ctx context.Context) error {
	s.o.Step(fmt.Sprintf("Keeping %d agents alive, each every %s", len(s.herd), s.o.Keepalive))
	// What is under way when ctx ends is finished, in bounded time.
	whole, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	g, working := errgroup.WithContext(whole)
	p := &pacer{s: s, rng: s.rng(1), began: time.Now(), master: make(chan op, queueLength)}
	s.startWriters(working, g, &s.nodes[0], p.master, max(s.o.Connections/4, 1))
	for _, n := range s.reporting {
		queue := make(chan op, queueLength)
		p.queues = append(p.queues, queue)
		s.startWriters(working, g, n, queue, s.o.Connections)
	}
	probing, endProbes := context.WithCancel(whole) // the writers' own ends with them
	defer endProbes()
	probes, probing := errgroup.WithContext(probing)
	s.startProbes(probing, probes)
	broken, stop := context.WithCancel(context.Background())
	defer stop()
	unhook := context.AfterFunc(working, stop)
	defer unhook()
	unhookProbes := context.AfterFunc(probing, stop)
	defer unhookProbes()
	p.run(ctx, broken.Done())
	ended := time.Since(p.began)
	stopTimer := time.AfterFunc(s.o.Patience, func() { cancel(fmt.Errorf("writes under way: %w", context.DeadlineExceeded)) })
	for _, queue := range append(p.queues, p.master) {
		close(queue)
	}
	err := g.Wait()
	stopTimer.Stop()
	s.o.Status(s.status(p))
	if err == nil {
		s.awaitProbes(probing)
	}
	endProbes()
	err = errors.Join(err, probes.Wait())
	s.finishRun(p, ended)
	return err
}

func (s *Simulation) startWriters(ctx context.Context, g *errgroup.Group, n *node, queue <-chan op, connections int) {
	for range connections {
		g.Go(func() error { return s.write(ctx, n, queue) })
	}
}

func (s *Simulation) probes() []*probe {
	if s.stateProbe == nil {
		return s.groupProbes
	}
	return append([]*probe{s.stateProbe}, s.groupProbes...)
}

func (s *Simulation) startProbes(ctx context.Context, g *errgroup.Group) {
	for _, p := range s.probes() {
		g.Go(func() error { return p.run(ctx) })
	}
}

// awaitProbes waits until every sampled write was seen or is late.
func (s *Simulation) awaitProbes(ctx context.Context) {
	turn := time.NewTicker(lookEvery)
	defer turn.Stop()
	for {
		open := 0
		for _, p := range s.probes() {
			open += p.open()
		}
		if open == 0 {
			return
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
	}
}
