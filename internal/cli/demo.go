package cli

import (
	"context"
	"errors"
	"path/filepath"

	"testudo/internal/demo"
	"testudo/internal/screen"
)

// demoCmd shows a cluster.
type demoCmd struct {
	Once    bool `help:"End after the show: 0 when all nodes converged, else 1. The last line on standard output is JSON; all else goes to standard error."`
	Workers int  `default:"2" help:"Workers beside the master, 2 to 50."`
	Keep    bool `help:"Leave the nodes' homes in place at the end."`
}

// Validate is called by the parser.
func (c *demoCmd) Validate() error {
	if c.Workers < 2 || c.Workers > 50 {
		return errors.New("--workers must be between 2 and 50")
	}
	return nil
}

// Run shows it.
func (c *demoCmd) Run(e *env) error {
	out := screen.New(e.out)
	if c.Once {
		out = screen.New(e.err)
	}
	result, err := demo.Run(e.ctx, demo.Options{
		Screen: out, Workers: c.Workers, Once: c.Once, Keep: c.Keep, Command: quoteArg(command(e.args[0])),
	})
	if c.Once {
		if err := writeLine(e.out, result); err != nil {
			return err
		}
	} else if e.signal() != 0 && errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// command is how this program was called, so that it can be called again from
// anywhere.
func command(called string) string {
	if filepath.Base(called) == called {
		return called
	}
	if full, err := filepath.Abs(called); err == nil {
		return full
	}
	return called
}
