package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/nodekeys"
)

// agentCmd manages the keys of agents, as the original's manage_agents.
type agentCmd struct {
	Add    agentAddCmd    `cmd:"" help:"Give an agent a key, on the master."`
	Remove agentRemoveCmd `cmd:"" help:"Take agents' keys away, on the master."`
	List   agentListCmd   `cmd:"" help:"Show the agents that have a key, and how they are."`
	Key    agentKeyCmd    `cmd:"" help:"Print the key of an agent in the form that is imported there. Nothing else shows a key."`
	Import agentImportCmd `cmd:"" help:"Add agents with the keys that they have, on the master."`
	Export agentExportCmd `cmd:"" help:"Write the keys of all agents to a new file that only its owner can read."`
}

// openKeys prepares a change of keys in a home and says when no node is asked.
func openKeys(e *env, dir string) (*nodekeys.Keys, error) {
	keys, err := nodekeys.Open(e.ctx, dir)
	switch {
	case errors.Is(err, nodekeys.ErrWorker):
		return nil, fmt.Errorf("%w, and %s is the home of a worker; do it at the master, and it comes here by itself. An agent may enrol at any node ('testudo enroll')", err, dir)
	case err != nil:
		return nil, err
	}
	if keys.Origin() == nodekeys.File {
		fmt.Fprintf(e.err, "testudo: nobody registers agents in %s, so its etc/client.keys is changed directly\n", dir)
	}
	return keys, nil
}

// agentReport is an agent as the verbs tell of it in JSON: never with its key.
type agentReport struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Address string `json:"address"`
}

func reportOf(k agent.Key) agentReport { return agentReport{k.Text, k.Name, k.Address} }

// agentAddCmd adds an agent.
type agentAddCmd struct {
	homeFlag
	Name    string   `arg:"" help:"Its name: 2 to 128 letters, digits, '-', '_' and '.'."`
	Address string   `default:"any" help:"Its address or network; any for whatever it is."`
	ID      string   `name:"id" placeholder:"ID" help:"Its id, which has three digits at least: 7 is 007. Without it the next."`
	Group   []string `placeholder:"NAME" help:"Its groups. A node must run."`
	KeyFile string   `placeholder:"FILE" help:"Its key, from this file (- for standard input); without it a new one."`
	Replace bool     `help:"An agent that has this name, address or id is removed, whatever the node's settings say."`
	JSON    bool     `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *agentAddCmd) Validate() error {
	if c.ID != "" {
		return checkIDs(c.ID)
	}
	return nil
}

// fullID is an id as nodes write it, with three digits at least. Of 7 and 007 a
// node makes two agents that share one row of its database.
func fullID(text string) string {
	if id, err := agent.ParseID(text); err == nil && len(text) < len(id.String()) {
		return id.String()
	}
	return text
}

func checkIDs(ids ...string) error {
	for _, id := range ids {
		if _, err := agent.ParseID(id); err != nil {
			return fmt.Errorf("%.20q is not the number of an agent", id)
		}
	}
	return nil
}

// Run adds it.
func (c *agentAddCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	a := nodekeys.Addition{Name: c.Name, Address: c.Address, ID: fullID(c.ID), Groups: c.Group, Replace: c.Replace}
	if c.KeyFile != "" {
		if a.Key, err = readSecret(c.KeyFile, "key"); err != nil {
			return err
		}
	}
	keys, err := openKeys(e, dir)
	if err != nil {
		return err
	}
	added, err := keys.Add(e.ctx, a)
	if err = errors.Join(err, keys.Close()); err != nil {
		return fmt.Errorf("add agent %.128s: %w", c.Name, err)
	}
	if c.JSON {
		return writeJSON(e.out, reportOf(added))
	}
	_, err = fmt.Fprintf(e.out, "Added agent %s, %s (%s). 'testudo agent key %s' prints its key.\n", added.Text, added.Name, added.Address, added.Text)
	return err
}

// readSecret reads a password or key from the first line of a file, or from
// standard input: what is among the arguments, all users of the machine can read.
func readSecret(name, what string) (agent.Secret, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, 4<<10))
	} else {
		text, err = readSmall(name)
	}
	if err != nil {
		return agent.Secret{}, fmt.Errorf("read the %s: %w", what, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimRight(first, "\r"); first == "" {
		return agent.Secret{}, fmt.Errorf("read the %s: %s is empty", what, name)
	}
	return agent.NewSecret(first), nil
}

// agentRemoveCmd removes agents.
type agentRemoveCmd struct {
	homeFlag
	IDs   []string `arg:"" name:"id" help:"Their ids."`
	Purge bool     `help:"Keep no line of them in client.keys, whatever the node's settings say."`
	JSON  bool     `name:"json" help:"Write JSON."`
}

// Validate is called by the parser.
func (c *agentRemoveCmd) Validate() error { return checkIDs(c.IDs...) }

// Run removes them; one that cannot be removed does not keep the others.
func (c *agentRemoveCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	keys, err := openKeys(e, dir)
	if err != nil {
		return err
	}
	removed := []agentReport{}
	var failed []error
	for _, id := range c.IDs {
		k, err := nodekeys.Find(dir, id)
		if err == nil {
			err = keys.Remove(e.ctx, k.Text, c.Purge)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("nothing removed: %w", err))
			continue
		}
		removed = append(removed, reportOf(k))
	}
	failed = append(failed, keys.Close())
	if c.JSON {
		err = writeJSON(e.out, map[string]any{"removed": removed})
	} else {
		for _, r := range removed {
			_, err = fmt.Fprintf(e.out, "Removed agent %s, %s.\n", r.ID, r.Name)
		}
	}
	return errors.Join(append(failed, err)...)
}
