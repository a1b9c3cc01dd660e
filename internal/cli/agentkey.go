package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"testudo/internal/agent"
	"testudo/internal/nodekeys"
)

// agentKeyCmd prints a key.
type agentKeyCmd struct {
	homeFlag
	ID string `arg:"" name:"id" help:"The agent's id."`
}

// Validate is called by the parser.
func (c *agentKeyCmd) Validate() error { return checkIDs(c.ID) }

// Run prints it.
func (c *agentKeyCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	key, err := nodekeys.Find(dir, c.ID)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, nodekeys.Text(key))
	return err
}

// agentExportCmd writes all keys.
type agentExportCmd struct {
	homeFlag
	File string `arg:"" help:"The file, which must not exist: a line for each agent, as 'testudo agent key' prints it; - for standard output."`
}

// Run writes them.
func (c *agentExportCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	if c.File == "-" {
		if _, err := exportKeys(e, dir, e.out); err != nil {
			return fmt.Errorf("export the keys: %w", err)
		}
		return nil
	}
	file, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("export the keys: %w", err)
	}
	count, err := exportKeys(e, dir, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("export the keys: %w", errors.Join(err, os.Remove(c.File)))
	}
	_, err = fmt.Fprintf(e.out, "%s in %s, which only its owner can read.\n", plural(count, "key"), c.File)
	return err
}

func exportKeys(e *env, dir string, w io.Writer) (count int, err error) {
	out := bufio.NewWriter(w)
	bad, err := nodekeys.Each(dir, func(k agent.Key) {
		if !k.Removed {
			count++
			fmt.Fprintln(out, nodekeys.Text(k))
		}
	})
	for _, line := range bad {
		fmt.Fprintf(e.err, "testudo: etc/client.keys: %v\n", line)
	}
	return count, errors.Join(err, out.Flush())
}

// agentImportCmd adds agents that have keys.
type agentImportCmd struct {
	homeFlag
	File    string `arg:"" help:"What 'testudo agent key' or 'agent export' wrote, or lines of a client.keys; - for standard input."`
	Replace bool   `help:"Agents that have such a name, address or id are removed, whatever the node's settings say."`
	JSON    bool   `name:"json" help:"Write JSON."`
}

// importReport is what --json writes.
type importReport struct {
	Added  []agentReport  `json:"added"`
	Kept   []agentReport  `json:"kept"` // that were there already, with this key
	Failed []importFailed `json:"failed"`
}

type importFailed struct {
	agentReport
	Problem string `json:"problem"`
}

// Run adds them; one that cannot be added does not keep the others.
func (c *agentImportCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	list, err := c.read()
	if err != nil {
		return fmt.Errorf("import keys from %s: %w", c.File, err)
	}
	keys, err := openKeys(e, dir)
	if err != nil {
		return err
	}
	report := importReport{Added: []agentReport{}, Kept: []agentReport{}, Failed: []importFailed{}}
	err = keys.Import(e.ctx, list, c.Replace, func(k agent.Key, outcome nodekeys.Outcome, err error) {
		switch outcome {
		case nodekeys.Added:
			report.Added = append(report.Added, reportOf(k))
		case nodekeys.Kept:
			report.Kept = append(report.Kept, reportOf(k))
		case nodekeys.Failed:
			report.Failed = append(report.Failed, importFailed{reportOf(k), oneLine(err.Error())})
		}
	})
	if err = errors.Join(err, keys.Close()); err != nil {
		return fmt.Errorf("import keys: %w", err)
	}
	if c.JSON {
		err = writeJSON(e.out, report)
	} else {
		for _, f := range report.Failed {
			fmt.Fprintf(e.err, "testudo: agent %s, %s: %s\n", f.ID, f.Name, f.Problem)
		}
		_, err = fmt.Fprintf(e.out, "Added %s; %d had these keys already.\n", plural(len(report.Added), "agent"), len(report.Kept))
	}
	if len(report.Failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d could not be imported", len(report.Failed), len(list)))
	}
	return err
}

func (c *agentImportCmd) read() (list []agent.Key, err error) {
	var in io.Reader = os.Stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	err = nodekeys.Import(in, func(k agent.Key) { list = append(list, k) })
	if err == nil && len(list) == 0 {
		err = errors.New("there is no key in it")
	}
	return list, err
}
