package demo

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"testudo/internal/fleet"
)

// restartAfter is the pause before a node that ended is started again, long
// enough to see in the table that it is away.
const restartAfter = 3 * time.Second

// hints says what to try.
func (s *show) hints() {
	master, worker := s.fleet.Master(), s.fleet.Workers()[0]
	homes := make([]string, 0, len(s.fleet.Nodes()))
	for _, n := range s.fleet.Nodes() {
		homes = append(homes, n.Home)
	}
	s.out.Linef("\nThe cluster goes on. Its homes: %s", strings.Join(homes, " "))
	s.out.Linef("Try in another terminal:")
	s.out.Linef("  edit     %s    and see it arrive", filepath.Join(master.Home, ruleFile))
	s.out.Linef("  rm       %s    and see it come back", filepath.Join(worker.Home, ruleFile))
	s.out.Linef("  kill -9  %d    (%s; it is started again after %.0f s)", worker.PID(), worker.Name, restartAfter.Seconds())
	s.out.Linef("  %s files --home %s", s.o.Command, master.Home)
	s.out.Linef("  %s agents --home %s --watch", s.o.Command, master.Home)
	s.out.Linef("  %s ctl agents --home %s", s.o.Command, worker.Home)
	s.out.Linef("  %s enroll --server 127.0.0.1:%d --name my-agent", s.o.Command, worker.EnrolPort)
	s.out.Linef("  %s agent list --home %s", s.o.Command, master.Home)
	s.out.Linef("  %s simulate agents --nodes %s --count 2000 --duration 30s", s.o.Command, strings.Join(homes, ","))
	s.out.Linef("  curl http://%s/metrics", master.Metrics)
	s.out.Linef("Ctrl-C ends all of it.\n")
}

// keepRunning tells of what happens, and starts again what ends, until ctx
// ends.
func (s *show) keepRunning(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for _, n := range s.fleet.Nodes() {
		tasks.Go(func() { s.supervise(ctx, n) })
	}
	tasks.Go(func() { s.keepAgents(ctx) })
	s.tell(ctx)
}

// supervise starts a node again when it has ended.
func (s *show) supervise(ctx context.Context, n *fleet.Node) {
	for {
		select {
		case <-n.Ended():
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			return // it ended because all of it does
		}
		s.out.Linef("%s  %s has ended; it is started again in %.0f s", clock(time.Now()), n.Name, restartAfter.Seconds())
		pause := time.NewTimer(restartAfter)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		if err := n.Start(); err != nil {
			s.out.Linef("%s  %v", clock(time.Now()), err)
			return
		}
	}
}

// tell writes a line each time a worker comes into step.
func (s *show) tell(ctx context.Context) {
	path := filepath.Join(s.fleet.Master().Home, stateFile)
	since := map[string]time.Time{}
	turn := time.NewTicker(redrawEvery)
	defer turn.Stop()
	for first := true; ; first = false {
		nodes, err := readStates(ctx, path)
		if err != nil {
			nodes = nil // a master that starts; the next turn shows it
		}
		for _, n := range nodes {
			if n.Role == "master" || n.InStepSince.IsZero() || n.InStepSince.Equal(since[n.Node]) {
				continue
			}
			since[n.Node] = n.InStepSince
			if !first {
				s.out.Linef("%s  %s is in step again: %d files, lag %d ms", clock(n.InStepSince), n.Node, n.Files, n.Lag.Milliseconds())
			}
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
	}
}
