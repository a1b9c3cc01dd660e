package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/nodedb"
)

// agentsCmd shows the agents of a node.
type agentsCmd struct {
	homeFlag
	State   string        `placeholder:"STATE" help:"Only agents in this state: active, disconnected, pending, never_connected."`
	Group   string        `placeholder:"NAME" help:"Only agents of this group."`
	Node    string        `placeholder:"NAME" help:"Only agents that report to this node."`
	Version string        `placeholder:"VERSION" help:"Only agents of this version: 4.7.5."`
	Name    string        `placeholder:"TEXT" help:"Only agents whose name holds this text."`
	After   string        `placeholder:"ID" help:"Only agents with ids above this one: the next page."`
	Limit   int           `default:"100" help:"At most so many agents; 0 for all."`
	Count   bool          `help:"Only how many there are, by node and state."`
	Watch   bool          `help:"Show it again and again until Ctrl-C. With --json, a line each time."`
	Every   time.Duration `default:"2s" help:"How often --watch looks, at least 100ms."`
	JSON    bool          `name:"json" help:"Write JSON."`
}

// shortestLook bounds what --watch costs the node.
const shortestLook = 100 * time.Millisecond

// Validate is called by the parser.
func (c *agentsCmd) Validate() error {
	switch {
	case c.State != "" && !slices.Contains(nodedb.Statuses(), c.State):
		return fmt.Errorf("--state must be one of %s", strings.Join(nodedb.Statuses(), ", "))
	case c.Limit < 0:
		return errors.New("--limit must not be negative")
	case c.Every < shortestLook:
		return fmt.Errorf("--every must be at least %s", shortestLook)
	case c.Count && (c.filtered() || c.After != ""):
		return errors.New("--count counts all agents; leave the filters out, or see the total below a list")
	}
	if c.After != "" {
		if _, err := agent.ParseID(c.After); err != nil {
			return errors.New("--after must be the number of an agent")
		}
	}
	return nil
}

func (c *agentsCmd) filtered() bool {
	return c.State != "" || c.Group != "" || c.Node != "" || c.Version != "" || c.Name != ""
}

func (c *agentsCmd) filter() nodedb.Filter {
	after, err := agent.ParseID(c.After)
	if err != nil {
		after = 0 // nothing was given; Validate has seen it
	}
	return nodedb.Filter{
		Status: c.State, Node: c.Node, Version: fullVersion(c.Version), Group: c.Group, Name: c.Name, After: int64(after), Limit: c.Limit,
	}
}

// fullVersion writes a version as agents report theirs: "Wazuh v4.7.5".
func fullVersion(version string) string {
	number := strings.TrimPrefix(version, "v")
	if number == "" || number[0] < '0' || number[0] > '9' {
		return version
	}
	return "Wazuh v" + number
}

// Run shows them.
func (c *agentsCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	v := &agentView{filter: c.filter(), counts: c.Count, filtered: c.filtered(), home: dir}
	if c.Watch {
		return c.watch(e, dir, v)
	}
	reader, err := openAgents(e.ctx, dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	if reader.Origin() == nodedb.File {
		fmt.Fprintf(e.err, "testudo: no node runs in %s; this is what its database says\n", dir)
	}
	switch {
	case c.Count && c.JSON:
		counts, err := reader.Counts(e.ctx)
		if err != nil {
			return err
		}
		return writeJSON(e.out, counts)
	case c.Count:
		counts, err := reader.Counts(e.ctx)
		if err != nil {
			return err
		}
		return v.writeCounts(e.out, counts)
	case c.JSON:
		return v.writeJSON(e.ctx, e.out, reader)
	}
	return v.writeText(e.ctx, e.out, reader)
}

func openAgents(ctx context.Context, dir string) (*nodedb.Reader, error) {
	reader, err := nodedb.Open(ctx, dir)
	if errors.Is(err, nodedb.ErrNobody) {
		return nil, fmt.Errorf("nothing is known of the agents of %s: %w", dir, err)
	}
	return reader, err
}
