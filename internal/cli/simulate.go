package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"testudo/internal/screen"
	"testudo/internal/simulate"
)

// simulateCmd makes load on a cluster.
type simulateCmd struct {
	Agents simulateAgentsCmd `cmd:"" help:"Write the state of agents that do not exist into the nodes' databases, and see whether the nodes agree."`
	Enroll simulateEnrollCmd `cmd:"" help:"Have agents that do not exist ask for keys, at a rate, and see what becomes of them."`
}

// simulateAgentsCmd simulates agents.
type simulateAgentsCmd struct {
	Nodes       []string      `required:"" placeholder:"HOME" help:"Homes of the cluster's nodes on this machine, the master's among them; or sockets of databases, into which agents and groups are then inserted directly."`
	Count       int           `default:"100000" help:"Agents."`
	Keepalive   time.Duration `default:"10s" help:"Time between two keep-alives of an agent."`
	Light       bool          `help:"Keep-alives that write time and state only. Without it each writes all that is known of the agent, as 4.7.5 does."`
	Churn       string        `default:"1%" placeholder:"SHARE" help:"Share of the agents that move to another node, leave and come back, or change groups, in each minute."`
	Groups      int           `default:"50" help:"Groups beside default."`
	Duration    time.Duration `default:"1m" help:"How long; 0 until Ctrl-C."`
	Seed        uint64        `default:"1" help:"Of all chance."`
	Connections int           `default:"16" help:"Connections to each database."`
	Patience    time.Duration `default:"1m" help:"How long the nodes may take to agree, and a write to be seen."`
	Setup       time.Duration `default:"10m" help:"How long the workers may take to learn of the agents and groups."`
	Remove      bool          `help:"Remove agents and groups at the end."`
	Cleanup     bool          `help:"Only remove the agents and groups of earlier simulations."`
	JSON        bool          `name:"json" help:"Write the result as JSON."`

	churn float64
}

// Validate is called by the parser.
func (c *simulateAgentsCmd) Validate() (err error) {
	if c.churn, err = parseShare(c.Churn); err != nil {
		return fmt.Errorf("--churn: %w", err)
	}
	if c.Remove && c.Cleanup {
		return errors.New("--cleanup does nothing but remove; leave --remove out")
	}
	return nil
}

// parseShare reads "1%" or "0.01".
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no share; write 1%% or 0.01", text)
	}
	if percent {
		value /= 100
	}
	if !(value >= 0 && value <= 1) {
		return 0, fmt.Errorf("%q is not between 0%% and 100%%", text)
	}
	return value, nil
}

// Run simulates.
func (c *simulateAgentsCmd) Run(e *env) error {
	told := &simulationScreen{out: screen.New(e.err)}
	o := simulate.Options{
		Nodes: c.Nodes, Count: c.Count, Keepalive: c.Keepalive, Light: c.Light, Churn: c.churn, Groups: c.Groups,
		Duration: c.Duration, Seed: c.Seed, Connections: c.Connections, Patience: c.Patience, Setup: c.Setup,
		Step: told.step, Progress: told.progress, Status: told.status,
	}
	if c.Cleanup {
		return c.cleanup(e, o, told)
	}
	report, err := c.simulate(e.ctx, o)
	told.end()
	if errors.Is(err, simulate.ErrOptions) {
		return usageError{text: err.Error()}
	}
	if c.Remove && len(report.Nodes) > 0 {
		_, cleanErr := simulate.Cleanup(context.WithoutCancel(e.ctx), o)
		told.end()
		err = errors.Join(err, cleanErr)
	}
	if err != nil && len(report.Nodes) == 0 {
		return err
	}
	if err != nil {
		report.Converged, report.Problem = false, oneLine(err.Error())
	}
	if c.JSON {
		if err := writeJSON(e.out, report); err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(e.out, simulationTable(report)); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if !c.Remove {
		told.out.Linef("The agents stay. To remove them: testudo simulate agents --cleanup --nodes %s", quoteArg(strings.Join(c.Nodes, ",")))
	}
	switch {
	case err != nil:
		return err
	case !report.Converged:
		return errors.New(report.Problem)
	}
	return nil
}

// simulate goes through a whole simulation. Ctrl-C ends the writing; what was
// written is compared all the same.
func (c *simulateAgentsCmd) simulate(ctx context.Context, o simulate.Options) (simulate.Report, error) {
	s, err := simulate.New(ctx, o)
	if err != nil {
		return simulate.Report{}, err
	}
	defer s.Close()
	if err := s.Prepare(ctx); err != nil {
		return s.Report(), err
	}
	if err := s.Run(ctx); err != nil {
		return s.Report(), err
	}
	if err := s.Settle(context.WithoutCancel(ctx)); err != nil {
		return s.Report(), err
	}
	return s.Report(), nil
}

func (c *simulateAgentsCmd) cleanup(e *env, o simulate.Options, told *simulationScreen) error {
	removed, err := simulate.Cleanup(e.ctx, o)
	told.end()
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e.out, removed)
	}
	_, err = fmt.Fprintf(e.out, "Removed %s and %s.\n", plural(removed.Agents, "agent"), plural(removed.Groups, "group"))
	for _, name := range removed.Left {
		fmt.Fprintf(e.err, "testudo: etc/shared/%s holds files of somebody else and stays\n", name)
	}
	return err
}

// tellStatus is how often a line is written where there is no terminal.
const tellStatus = 5 * time.Second

// simulationScreen shows how a simulation goes.
type simulationScreen struct {
	out *screen.Screen

	mu   sync.Mutex
	what string
	bar  *screen.Progress
	next time.Duration // of the next line
}

// end takes a bar and the live line away.
func (s *simulationScreen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar.Done()
	s.bar, s.what = nil, ""
	s.out.Live("")
}

func (s *simulationScreen) step(text string) {
	s.end()
	s.out.Linef("%s ...", text)
}

func (s *simulationScreen) progress(what string, done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if what != s.what {
		s.bar.Done()
		s.bar, s.what = s.out.Progress(what, int64(total), screen.Pieces), what
	}
	s.bar.Set(int64(done))
}

func (s *simulationScreen) status(st simulate.Status) {
	line := fmt.Sprintf("%4.0fs  %.0f of %.0f keep-alives/s, %d missed; %d moved, %d left, %d back, %d changed groups; lag %s, groups %s; %d looked for",
		st.Elapsed.Seconds(), st.Achieved, st.Asked, st.Missed, st.Moved, st.Left, st.Returned, st.Groups,
		lagText(st.StateLag), lagText(st.GroupLag), st.Awaited)
	if st.Refused > 0 {
		line += fmt.Sprintf("; %d REFUSED", st.Refused)
	}
	s.line(st.Elapsed, line)
}

// line shows how it goes, on a terminal in place of the line before.
func (s *simulationScreen) line(elapsed time.Duration, line string) {
	if s.out.Terminal() {
		if cells := []rune(line); len(cells) >= s.out.Width() {
			line = string(cells[:s.out.Width()-1])
		}
		s.out.Live(line)
		return
	}
	if elapsed >= s.next {
		s.next = elapsed + tellStatus
		s.out.Linef("%s", line)
	}
}

func lagText(l simulate.Lag) string {
	if l.Samples == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %.0f p99 %.0f ms", l.P50, l.P99)
}

// simulationTable lays a report out for people.
func simulationTable(r simulate.Report) string {
	verdict := "yes"
	if !r.Converged {
		verdict = "NO: " + r.Problem
	}
	lag := func(l simulate.Lag) string {
		if l.Samples == 0 {
			return "not measured"
		}
		text := fmt.Sprintf("p50 %.0f, p90 %.0f, p99 %.0f, max %.0f ms of %d samples", l.P50, l.P90, l.P99, l.Max, l.Samples)
		if l.Late > 0 {
			text += fmt.Sprintf("; %d NOT SEEN in time", l.Late)
		}
		return text
	}
	rows := append(make([][]string, 0, 10+len(r.Examples)+len(r.Refusals)), [][]string{
		{"nodes", strings.Join(r.Nodes, ", ")},
		{"agents, groups", fmt.Sprintf("%d, %d", r.Agents, r.Groups)},
		{"registered on all nodes", fmt.Sprintf("%.1f s", r.RegisterSeconds)},
		{"groups assigned on the master", fmt.Sprintf("%.1f s", r.GroupsSeconds)},
		{"keep-alives", fmt.Sprintf("%.0f a second of %.0f asked, for %.0f s; %d missed", r.Achieved, r.Asked, r.RunSeconds, r.Missed)},
		{"events", fmt.Sprintf("%d moved, %d left, %d came back, %d changed groups", r.Moved, r.Left, r.Returned, r.Regrouped)},
		{"lag of state, worker to master", lag(r.StateLag)},
		{"lag of groups, master to workers", lag(r.GroupLag)},
		{"agreed after the end", fmt.Sprintf("%.1f s; %d rows differ", r.SettleSeconds, r.Wrong)},
		{"converged", verdict},
	}...)
	for _, text := range r.Examples {
		rows = append(rows, []string{"  for example", text})
	}
	for text, n := range r.Refusals {
		rows = append(rows, []string{"  refused", fmt.Sprintf("%d times: %s", n, text)})
	}
	return screen.Table([]screen.Column{{Title: "simulation"}, {Title: ""}}, rows, 0)
}
