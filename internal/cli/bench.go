package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"testudo/internal/bench"
	"testudo/internal/config"
	"testudo/internal/screen"
)

// benchCmd measures whole clusters on this machine.
type benchCmd struct {
	Integrity benchIntegrityCmd `cmd:"" help:"Measure how files get from the master to its workers."`
	Agents    benchAgentsCmd    `cmd:"" help:"Measure databases of agents, and how states and groups get from node to node."`
	DAPI      benchDAPICmd      `cmd:"" name:"dapi" help:"Measure local sockets, and the distributed API behind them."`
	Enroll    benchEnrollCmd    `cmd:"" help:"Measure how agents get their keys, at the master and through a worker."`

	BareSocket benchBareSocketCmd `cmd:"" name:"bare-socket" hidden:"" help:"Answer at the socket that is inherited; bench dapi starts it."`
}

// benchIntegrityCmd measures the synchronisation of files.
type benchIntegrityCmd struct {
	Files          int           `default:"10000" help:"Files on the master."`
	Size           string        `default:"2KiB" help:"Size of each."`
	Workers        int           `default:"1" help:"Workers."`
	Changes        int           `default:"20" help:"Files changed one after the other, each until all workers have it."`
	Rounds         int           `default:"20" help:"Intervals of rest whose CPU time is measured."`
	Interval       time.Duration `default:"1s" help:"Interval of the workers' checks, whole seconds."`
	Runs           int           `default:"3" help:"Runs, each with a new cluster."`
	Incompressible bool          `help:"Random bytes instead of text."`
	Dir            string        `placeholder:"DIR" help:"Put the homes below this directory."`
	JSON           bool          `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *benchIntegrityCmd) Validate() error {
	switch {
	case c.Files < 1 || c.Workers < 1 || c.Runs < 1 || c.Rounds < 1:
		return errors.New("--files, --workers, --runs and --rounds must be at least 1")
	case c.Changes < 0:
		return errors.New("--changes must not be negative")
	case c.Interval < time.Second || c.Interval%time.Second != 0:
		return errors.New("--interval must be whole seconds")
	}
	return nil
}

// Run measures and prints.
func (c *benchIntegrityCmd) Run(e *env) error {
	size, err := config.ParseByteSize(c.Size)
	if err != nil {
		return usageError{text: "--size: " + err.Error()}
	}
	s := screen.New(e.err)
	o := bench.Options{
		Tree:    bench.Tree{Files: c.Files, Size: int64(size), Compressible: !c.Incompressible},
		Workers: c.Workers, Interval: c.Interval, Changes: c.Changes, Rounds: c.Rounds, Runs: c.Runs, Dir: c.Dir,
		Progress: func(text string) { s.Linef("%s", text) },
	}
	bar := s.Progress("measuring", int64(o.Parts()), screen.Pieces)
	o.Done = func(parts int) { bar.Set(int64(parts)) }
	report, err := bench.Integrity(e.ctx, o)
	bar.Done()
	if err != nil {
		return fmt.Errorf("bench integrity: %w", err)
	}
	if c.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	_, err = fmt.Fprint(e.out, report.Table())
	return err
}
