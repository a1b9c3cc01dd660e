// Package demo shows a cluster at work: a master and its workers as processes
// on this machine, a rule that is changed and arrives, a file that is tampered
// with and healed, agents that report, move and change groups, a request that
// finds its way to an agent's node, an agent that gets its key from a worker, a
// worker that is killed and comes back. Then it lets the user try the rest.
package demo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"testudo/internal/fleet"
	"testudo/internal/screen"
	"testudo/internal/simulate"
)

const (
	// stepTime is how long one step of the show may take until it has failed.
	stepTime = 20 * time.Second
	// showTime is how long all of them may take when nobody watches.
	showTime = 55 * time.Second
	// readTime is for people to read what has happened.
	readTime = 1500 * time.Millisecond
)

// Options says how to show it.
type Options struct {
	Screen  *screen.Screen
	Workers int    // beside the master, at least 2
	Once    bool   // end after the show
	Keep    bool   // leave the homes in place
	Command string // how the user calls this program, for the hints
	Program string // executable of the nodes; empty for this very program
}

// Result is what the show found. Times are in milliseconds.
type Result struct {
	Converged bool               `json:"converged"` // every step was seen, and all trees are equal at the end
	Problem   string             `json:"problem,omitempty"`
	Workers   int                `json:"workers"`
	Files     int                `json:"files"`       // synchronised, on each node
	Ready     float64            `json:"ready_ms"`    // from nothing to all nodes in step
	Changed   map[string]float64 `json:"changed_ms"`  // a changed rule on the master, until it was at each worker
	Healed    float64            `json:"healed_ms"`   // a file tampered with on a worker, until it was the master's again
	Agents    map[string]int     `json:"agents"`      // simulated ones, by the node that they report to, as the master says
	Reported  float64            `json:"reported_ms"` // their first report, until the master knew all of them
	Moved     float64            `json:"moved_ms"`    // an agent that reports to another worker, until the master knew
	Call      *Call              `json:"call"`        // a request made on the first worker for an agent of the last
	Enrolled  *Enrolled          `json:"enrolled"`    // an agent that asked the first worker for a key
	Assigned  map[string]float64 `json:"assigned_ms"` // a group given on the master, until it was at each worker
	Returned  float64            `json:"returned_ms"` // a killed worker, from its restart until it had what it had missed
	Took      float64            `json:"took_ms"`     // all of it
	Homes     string             `json:"homes,omitempty"`
}

// show is one run.
type show struct {
	o      Options
	out    *screen.Screen
	fleet  *fleet.Fleet
	result Result
	agents *simulate.Simulation // nil until there are agents

	started atomic.Bool // all nodes were ready once
}

// Run makes the cluster, shows what it does and, unless that is once only, goes
// on until ctx ends. The result is there in any case; the error says what did
// not work. The end of ctx after the show is no error.
func Run(ctx context.Context, o Options) (result Result, err error) {
	began := time.Now()
	s := &show{o: o, out: o.Screen}
	s.result = Result{Workers: o.Workers, Changed: map[string]float64{}, Agents: map[string]int{}, Assigned: map[string]float64{}}
	defer func() {
		result = s.result
		result.Took = milliseconds(time.Since(began))
		if err != nil {
			result.Problem, result.Converged = err.Error(), false
		}
	}()
	s.fleet, err = fleet.New(ctx, fleet.Options{
		Workers: o.Workers, Keep: o.Keep, Program: o.Program, Prepare: prepare, ClusterJSON: clusterJSON,
	})
	if err != nil {
		return result, fmt.Errorf("make the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if o.Keep {
		s.result.Homes = s.fleet.Dir()
	}
	if o.Once {
		ctx, cancel := context.WithTimeout(ctx, showTime)
		defer cancel()
		return result, s.perform(ctx)
	}
	live := s.drawTable(ctx)
	defer live.stop(s.out)
	if err := s.perform(ctx); err != nil {
		return result, err
	}
	s.hints()
	s.keepRunning(ctx)
	return result, nil
}

func (s *show) close() error {
	s.out.Linef("Stopping all nodes.")
	if s.agents != nil {
		s.agents.Close()
	}
	if err := s.fleet.Close(); err != nil {
		return fmt.Errorf("end the cluster: %w", err)
	}
	if s.o.Keep {
		s.out.Linef("The homes are left in %s.", s.fleet.Dir())
	}
	return nil
}

// perform goes through the show.
func (s *show) perform(ctx context.Context) error {
	steps := []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"start the nodes", s.start},
		{"change a rule", s.change},
		{"heal a file", s.heal},
		{"let agents report", s.report},
		{"move an agent", s.move},
		{"ask any node", s.call},
		{"assign a group", s.assign},
		{"let an agent enrol", s.enrol},
		{"kill a worker and start it again", s.killAndReturn},
		{"compare all nodes", s.compare},
	}
	for _, step := range steps {
		limited, cancel := context.WithTimeout(ctx, stepTime)
		err := step.run(limited)
		s.pause(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	s.result.Converged = true
	return nil
}

// pause lets a person at a terminal follow.
func (s *show) pause(ctx context.Context) {
	if !s.out.Terminal() || s.o.Once {
		return
	}
	pause := time.NewTimer(readTime)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
