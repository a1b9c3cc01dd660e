package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"testudo/internal/ctl"
	"testudo/internal/fault"
	"testudo/internal/nodeinfo"
	"testudo/internal/screen"
)

// ctlCmd shows the cluster of a running node. The options of the original's
// program are understood here, too (docs/ctl.md §2).
type ctlCmd struct {
	Nodes  ctlNodesCmd  `cmd:"" help:"List the nodes."`
	Agents ctlAgentsCmd `cmd:"" help:"List the agents of the cluster."`
	Health ctlHealthCmd `cmd:"" help:"Show how the nodes are."`
	Why    ctlWhyCmd    `cmd:"" help:"Say why a node is behind or gone, and what to do."`
	Watch  ctlWatchCmd  `cmd:"" help:"Show the cluster live."`
}

// asControl gives the words of `testudo ctl -l` and the like, which are meant as
// those of cluster_control; nil when they are not.
func asControl(args []string) []string {
	if len(args) < 3 || args[1] != "ctl" {
		return nil
	}
	for _, word := range args[2:] {
		switch controlFlags[word] {
		case "list", "agents", "health", "usage", "node", "state":
			return args[2:]
		}
	}
	return nil
}

// nodeFlags choose the node that is asked and how it is shown.
type nodeFlags struct {
	homeFlag
	JSON bool `name:"json" help:"Write JSON."`
}

// client finds the node.
func (f *nodeFlags) client() (*ctl.Client, string, error) {
	dir, err := f.locate("")
	if err != nil {
		return nil, "", err
	}
	return ctl.New(dir), dir, nil
}

// advised adds what to do to an error that has a number.
func advised(err error, dir string) error {
	var f *fault.Error
	switch {
	case fault.Has(err, fault.NotRunning):
		return fmt.Errorf("no node answers in %s: start it, or see what is wrong with 'testudo doctor'", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not ask the node in %s (%w): ask as root, or as the account that runs the node", dir, fs.ErrPermission)
	case errors.Is(err, ctl.ErrSilent):
		return fmt.Errorf("%w. The node in %s takes questions, but has not answered this one: 'testudo doctor' says whether it is stopped; see how busy the machine is, and logs/cluster.log", err, dir)
	case errors.Is(err, ctl.ErrClosed):
		return fmt.Errorf("%w. The node in %s closed the connection without an answer: it is ending, or too many programs ask it (local.connections in etc/testudo.yaml); its log says which", err, dir)
	case fault.Has(err, fault.NotConnected):
		return fmt.Errorf("%w; 'testudo ctl why' says why", err)
	case fault.Has(err, fault.NodeAbsent):
		return fmt.Errorf("%w; 'testudo ctl nodes' lists those that are connected", err)
	case errors.As(err, &f) && f.Code.Advice() != "":
		return fmt.Errorf("%w. %s", err, f.Code.Advice())
	}
	return err
}

type ctlNodesCmd struct {
	nodeFlags
	Names []string `arg:"" optional:"" name:"node" help:"Only these nodes."`
}

// Run shows them.
func (c *ctlNodesCmd) Run(e *env) error {
	client, dir, err := c.client()
	if err != nil {
		return err
	}
	nodes, err := client.Nodes(e.ctx, c.Names)
	switch {
	case err != nil:
		return advised(err, dir)
	case c.JSON:
		return writeJSON(e.out, map[string]any{"nodes": orEmpty(nodes)})
	}
	return e.say(ctl.NodesTable(nodes, screen.New(e.out).Width()))
}

// orEmpty makes a list that is written as one.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type ctlAgentsCmd struct {
	nodeFlags
	Node  []string `placeholder:"NAME" help:"Only agents that report to this node; may be given more than once."`
	State []string `placeholder:"STATE" help:"Only agents in this state; may be given more than once."`
}

// Run shows them.
func (c *ctlAgentsCmd) Run(e *env) error {
	client, dir, err := c.client()
	if err != nil {
		return err
	}
	agents, err := client.Agents(e.ctx, c.Node, c.State)
	switch {
	case err != nil:
		return advised(err, dir)
	case c.JSON:
		return writeJSON(e.out, map[string]any{"agents": orEmpty(agents)})
	}
	return e.say(ctl.AgentsTable(agents, screen.New(e.out).Width()))
}

type ctlHealthCmd struct {
	nodeFlags
	More  bool     `help:"All that is known of each node."`
	Names []string `arg:"" optional:"" name:"node" help:"Only these nodes."`
}

// Run shows it.
func (c *ctlHealthCmd) Run(e *env) error {
	client, dir, err := c.client()
	if err != nil {
		return err
	}
	h, err := client.Health(e.ctx, c.Names)
	if err == nil && len(h.Nodes) < len(c.Names) {
		err = missing(h, c.Names)
	}
	switch {
	case err != nil:
		return advised(err, dir)
	case c.JSON:
		return writeJSON(e.out, json.RawMessage(h.AppendJSON(nil)))
	case c.More:
		return e.say(ctl.HealthText(h, time.Now()))
	}
	return e.say(ctl.HealthTable(h, time.Now(), screen.New(e.out).Width()))
}

// missing says which of the names no node has that is connected.
func missing(h nodeinfo.Health, names []string) error {
	for _, name := range names {
		found := false
		for i := range h.Nodes {
			found = found || h.Nodes[i].Name == name
		}
		if !found {
			return fmt.Errorf("no node %s is connected; 'testudo ctl why %[1]s' says what is known of it", name)
		}
	}
	return nil
}
