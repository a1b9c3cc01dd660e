package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"testudo/internal/screen"
	"testudo/internal/simulate"
)

// simulateEnrollCmd has agents that do not exist enrol.
type simulateEnrollCmd struct {
	Servers      []string      `placeholder:"ADDR[:PORT]" help:"Ports where agents enrol, of any nodes or of a load balancer before them; the agents take them in turn."`
	Rate         float64       `default:"200" help:"Agents a second that begin, however those before fare; 0 for the next as soon as one is done."`
	Count        int           `default:"20000" help:"Agents."`
	Clients      int           `default:"256" help:"Agents that ask at a time, at most. When all are busy the next begins late; its time counts from when it should have begun."`
	Duration     time.Duration `help:"No agent begins after this time; without it all of them do."`
	Tries        int           `default:"1" help:"How often an agent asks that gets no key, the next server each time."`
	Pause        time.Duration `default:"1s" help:"Time between two tries."`
	Timeout      time.Duration `default:"10s" help:"How long one try may take."`
	Group        []string      `placeholder:"NAME" help:"Groups that each agent asks for."`
	PasswordFile string        `placeholder:"FILE" help:"The password for enrolment, from this file (- for standard input)."`
	CA           string        `name:"ca" placeholder:"FILE" help:"Certificate that the servers' must be signed by, or be; without it any is taken."`
	Mark         string        `placeholder:"HEX" help:"Hexadecimal digits in the names of the agents, sim-enrol-HEX-N; without it random ones."`
	Check        []string      `placeholder:"HOME" help:"Homes of nodes on this machine: wait until their client.keys have every key that was given."`
	Patience     time.Duration `default:"1m" help:"How long --check waits."`
	Cleanup      string        `placeholder:"HOME" help:"Only remove the agents of earlier runs, those with --mark if that is given, at the master that lives there."`
	JSON         bool          `name:"json" help:"Write the result as JSON."`
}

// Validate is called by the parser.
func (c *simulateEnrollCmd) Validate() error {
	switch {
	case c.Cleanup == "" && len(c.Servers) == 0:
		return errors.New("--servers must say where to enrol, or --cleanup what to remove")
	case c.Cleanup != "" && len(c.Servers)+len(c.Check) > 0:
		return errors.New("--cleanup does nothing but remove; leave --servers and --check out")
	case c.Patience < 0:
		return errors.New("--patience must not be negative")
	}
	return nil
}

// Run simulates.
func (c *simulateEnrollCmd) Run(e *env) error {
	told := &simulationScreen{out: screen.New(e.err)}
	if c.Cleanup != "" {
		return c.cleanup(e, told)
	}
	o := simulate.EnrolOptions{
		Servers: c.Servers, Rate: c.Rate, Count: c.Count, Clients: c.Clients, Duration: c.Duration, Tries: c.Tries, Pause: c.Pause,
		Timeout: c.Timeout, Groups: c.Group, CA: c.CA, Mark: c.Mark, Status: told.enrolStatus,
	}
	if c.PasswordFile != "" {
		var err error
		if o.Password, err = readSecret(c.PasswordFile, "password"); err != nil {
			return err
		}
	}
	run, err := simulate.NewEnrolment(o)
	if errors.Is(err, simulate.ErrOptions) {
		return usageError{text: err.Error()}
	}
	if err != nil {
		return err
	}
	run.Run(e.ctx)
	told.end()
	if len(c.Check) > 0 && e.ctx.Err() == nil {
		told.step("Looking for the keys in " + strings.Join(c.Check, ", "))
		if err := run.CheckHomes(e.ctx, c.Check, c.Patience); err != nil && e.ctx.Err() == nil {
			return fmt.Errorf("look for the keys: %w", err)
		}
	}
	report := run.Report()
	if c.JSON {
		err = writeJSON(e.out, report)
	} else {
		_, err = fmt.Fprint(e.out, enrolTable(report))
	}
	if err != nil {
		return err
	}
	told.out.Linef("The agents stay. To remove them: testudo simulate enroll --mark %s --cleanup HOME", report.Mark)
	if report.Problem != "" {
		return errors.New(report.Problem)
	}
	return nil
}

func (c *simulateEnrollCmd) cleanup(e *env, told *simulationScreen) error {
	dir, err := homeFlag{Home: c.Cleanup}.locate("")
	if err != nil {
		return err
	}
	keys, err := openKeys(e, dir)
	if err != nil {
		return err
	}
	defer keys.Close()
	removed, err := simulate.CleanupEnrolled(e.ctx, keys, c.Mark, func(done, total int) { told.progress("Agents removed", done, total) })
	told.end()
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(e.out, map[string]any{"agents": removed})
	}
	_, err = fmt.Fprintf(e.out, "Removed %s.\n", plural(removed, "agent"))
	return err
}

// enrolStatus shows how agents enrol.
func (s *simulationScreen) enrolStatus(st simulate.EnrolStatus) {
	line := fmt.Sprintf("%4.0fs  %d begun, %d have keys (%.0f/s), %d ask; %s", st.Elapsed.Seconds(), st.Begun, st.Enrolled,
		float64(st.Enrolled)/st.Elapsed.Seconds(), st.Open, latencyText(st.Latency))
	if st.Failed > 0 {
		line += fmt.Sprintf("; %d tries FAILED", st.Failed)
	}
	s.line(st.Elapsed, line)
}

func latencyText(l simulate.Latency) string {
	if l.Samples == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f ms", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// enrolTable lays a report out for people.
func enrolTable(r simulate.EnrolReport) string {
	asked := fmt.Sprintf("%.0f a second", r.Asked)
	if r.Asked == 0 {
		asked = "as fast as they are answered"
	}
	rows := [][]string{
		{"agents", fmt.Sprintf("%d, sim-enrol-%s-...", r.Agents, r.Mark)},
		{"asked", asked},
		{"got a key", fmt.Sprintf("%d, %.1f a second for %.1f s", r.Enrolled, r.Achieved, r.Seconds)},
		{"gave up", fmt.Sprint(r.GaveUp)},
		{"time to the key", latencyText(r.Latency)},
		{"latest beginning", fmt.Sprintf("%.0f ms after its time", r.Late)},
	}
	if len(r.Servers) > 1 {
		for _, s := range r.Servers {
			rows = append(rows, []string{"  at " + s.Server, fmt.Sprintf("%d keys, %d failures; %s", s.Enrolled, s.Failures, latencyText(s.Latency))})
		}
	}
	for _, text := range slices.Sorted(maps.Keys(r.Failures)) {
		rows = append(rows, []string{"  without a key", fmt.Sprintf("%d times: %s", r.Failures[text], text)})
	}
	for _, h := range r.Homes {
		text := fmt.Sprintf("all %d, %.1f s after the end", h.Have, h.Seconds)
		if h.Missing+h.Other > 0 {
			text = fmt.Sprintf("%d; %d MISSING, %d OTHERS after %.1f s", h.Have, h.Missing, h.Other, h.Seconds)
		}
		rows = append(rows, []string{"keys in " + h.Home, text})
	}
	verdict := "yes"
	if r.Problem != "" {
		verdict = "NO: " + r.Problem
	}
	rows = append(rows, []string{"all well", verdict})
	return screen.Table([]screen.Column{{Title: "enrolment"}, {Title: ""}}, rows, 0)
}
