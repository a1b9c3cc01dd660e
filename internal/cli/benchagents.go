package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"testudo/internal/bench"
	"testudo/internal/screen"
)

// benchAgentsCmd measures databases of agents.
type benchAgentsCmd struct {
	Count    int           `default:"100000" help:"Agents of all parts but queries."`
	Many     int           `default:"1000000" help:"Agents of the part queries."`
	What     []string      `placeholder:"PART" help:"Only these parts: info-full, info-keepalive, groups, keepalive-rate, queries."`
	Runs     int           `default:"5" help:"Runs of each exchange."`
	Rate     int           `default:"20000" help:"Keep-alives a second, of keepalive-rate."`
	Duration time.Duration `default:"1m" help:"How long keepalive-rate takes."`
	Samples  int           `default:"200" help:"How often each query is asked."`
	Dir      string        `placeholder:"DIR" help:"Put the homes below this directory; its path must be short, as sockets' are."`
	JSON     bool          `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *benchAgentsCmd) Validate() error {
	for _, part := range c.What {
		if !slices.Contains(bench.AgentParts(), part) {
			return fmt.Errorf("--what must be of %s", strings.Join(bench.AgentParts(), ", "))
		}
	}
	if min(c.Count, c.Many, c.Runs, c.Rate, c.Samples) < 1 || c.Duration < time.Second {
		return errors.New("--count, --many, --runs, --rate and --samples must be at least 1, --duration 1s")
	}
	return nil
}

// Run measures and prints.
func (c *benchAgentsCmd) Run(e *env) error {
	s := screen.New(e.err)
	report, err := bench.Agents(e.ctx, bench.AgentOptions{
		Agents: c.Count, Many: c.Many, Parts: c.What, Runs: c.Runs, Rate: c.Rate, RateTime: c.Duration, Samples: c.Samples, Dir: c.Dir,
		Progress: func(text string) { s.Linef("%s", text) },
	})
	if err != nil {
		return fmt.Errorf("bench agents: %w", err)
	}
	if c.JSON {
		return writeJSON(e.out, report)
	}
	_, err = fmt.Fprint(e.out, report.Table())
	return err
}
