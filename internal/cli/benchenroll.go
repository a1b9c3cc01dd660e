package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"testudo/internal/bench"
	"testudo/internal/screen"
)

// benchEnrollCmd measures how agents get their keys.
type benchEnrollCmd struct {
	Many         int           `default:"100000" help:"Agents that the second cluster has at first; 0 leaves it out."`
	Clients      []int         `default:"1,32" help:"How many agents ask at a time, each the next as soon as one is done."`
	Rate         float64       `default:"200" help:"Measure also agents that begin at this rate, whose times count from when they should have begun; 0 leaves it out."`
	Duration     time.Duration `default:"5s" help:"How long each measurement takes."`
	Rounds       int           `default:"3" help:"How often all of them are made, in turn."`
	Servers      []string      `name:"server" aliases:"servers" placeholder:"ADDR[:PORT]" help:"Measure these running servers, of the original as well, instead of new clusters. The agents stay; 'testudo simulate enroll --cleanup' removes them."`
	PID          int           `name:"pid" help:"Process of the --server, to tell what it costs."`
	PasswordFile string        `placeholder:"FILE" help:"The password of the --server, from this file (- for standard input)."`
	Dir          string        `placeholder:"DIR" help:"Put the homes below this directory; its path must be short, as sockets' are."`
	JSON         bool          `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *benchEnrollCmd) Validate() error {
	switch {
	case c.Many < 0 || c.Rate < 0 || c.Rounds < 1 || len(c.Clients) == 0 || slices.Min(c.Clients) < 1 || c.Duration <= 0:
		return errors.New("--clients and --rounds must be at least 1, --many and --rate not negative, --duration positive")
	case len(c.Servers) != 1 && c.PID != 0:
		return errors.New("--pid is of one --server")
	case len(c.Servers) == 0 && c.PasswordFile != "":
		return errors.New("--password-file is of a --server")
	}
	return nil
}

// Run measures and prints.
func (c *benchEnrollCmd) Run(e *env) error {
	s := screen.New(e.err)
	o := bench.EnrolOptions{
		Many: c.Many, Clients: c.Clients, Rate: c.Rate, Time: c.Duration, Rounds: c.Rounds, Servers: c.Servers, PID: c.PID, Dir: c.Dir,
		Progress: func(text string) { s.Linef("%s", text) },
	}
	if c.PasswordFile != "" {
		var err error
		if o.Password, err = readSecret(c.PasswordFile, "password"); err != nil {
			return err
		}
	}
	report, err := bench.Enrol(e.ctx, o)
	if err != nil {
		return fmt.Errorf("bench enroll: %w", err)
	}
	if c.JSON {
		return writeJSON(e.out, report)
	}
	_, err = fmt.Fprint(e.out, report.Table())
	return err
}
