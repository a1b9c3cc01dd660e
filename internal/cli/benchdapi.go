package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"testudo/internal/bench"
	"testudo/internal/screen"
)

// benchDAPICmd measures local sockets and the distributed API.
type benchDAPICmd struct {
	Count    int           `default:"10000" help:"Agents that the nodes know."`
	Many     int           `default:"100000" help:"Agents of the one large answer; 0 leaves it out."`
	Clients  []int         `default:"1,10,50" help:"How many clients ask at a time."`
	Duration time.Duration `default:"3s" help:"How long each call is measured."`
	Socket   []string      `placeholder:"PATH" help:"Measure these sockets of nodes that run, of the original as well, instead of a new cluster."`
	Dir      string        `placeholder:"DIR" help:"Put the homes below this directory; its path must be short, as sockets' are."`
	JSON     bool          `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *benchDAPICmd) Validate() error {
	if c.Count < 1 || c.Many < 0 || len(c.Clients) == 0 || slices.Min(c.Clients) < 1 || c.Duration <= 0 {
		return errors.New("--count and --clients must be at least 1, --many not negative, --duration positive")
	}
	return nil
}

// Run measures and prints.
func (c *benchDAPICmd) Run(e *env) error {
	s := screen.New(e.err)
	report, err := bench.DAPI(e.ctx, bench.DAPIOptions{
		Agents: c.Count, Many: c.Many, Clients: c.Clients, Time: c.Duration, Sockets: c.Socket, Dir: c.Dir,
		Progress: func(text string) { s.Linef("%s", text) },
	})
	if err != nil {
		return fmt.Errorf("bench dapi: %w", err)
	}
	if c.JSON {
		return writeJSON(e.out, report)
	}
	_, err = fmt.Fprint(e.out, report.Table())
	return err
}

// benchBareSocketCmd is the other end of what bench dapi compares with.
type benchBareSocketCmd struct{}

// inheritedFile is the first file handed on by the process that has started us.
const inheritedFile = 3

// Run serves until standard input ends.
func (*benchBareSocketCmd) Run(*env) error {
	file := os.NewFile(inheritedFile, "listener")
	ln, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("bench bare-socket: it is for bench dapi to start: %w", err)
	}
	_ = file.Close() // the listener has its own
	return bench.BareSocket(ln, os.Stdin)
}
