package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/nodedb"
	"testudo/internal/nodekeys"
	"testudo/internal/screen"
)

// agentListCmd shows the agents that have a key.
type agentListCmd struct {
	homeFlag
	Name    string `placeholder:"TEXT" help:"Only agents whose name holds this text."`
	Removed bool   `help:"Only agents that were removed and of which a line was kept."`
	JSON    bool   `name:"json" help:"Write JSON."`
}

// listedAgent is a line of the list. There is no key in it.
type listedAgent struct {
	agentReport
	number agent.ID
	State  string `json:"state,omitempty"` // empty when the database does not know the agent, or cannot be asked
}

// Run shows them.
func (c *agentListCmd) Run(e *env) error {
	dir, err := c.locate("")
	if err != nil {
		return err
	}
	list := []listedAgent{}
	bad, err := nodekeys.Each(dir, func(k agent.Key) {
		if k.Removed == c.Removed && strings.Contains(k.Name, c.Name) {
			list = append(list, listedAgent{agentReport: reportOf(k), number: k.ID})
		}
	})
	if err != nil {
		return err
	}
	for _, line := range bad {
		fmt.Fprintf(e.err, "testudo: etc/client.keys: %v\n", line)
	}
	slices.SortStableFunc(list, func(a, b listedAgent) int { return cmp.Compare(a.number, b.number) })
	if err := c.states(e, dir, list); err != nil {
		return err
	}
	if c.JSON {
		return writeListJSON(e.out, list)
	}
	return writeList(e.out, list, c.Removed)
}

// states asks the node's database how the agents are.
func (c *agentListCmd) states(e *env, dir string, list []listedAgent) error {
	if len(list) == 0 || c.Removed {
		return nil
	}
	reader, err := nodedb.Open(e.ctx, dir)
	if err == nil {
		defer reader.Close()
		states := make(map[agent.ID]string, len(list))
		_, err = reader.List(e.ctx, nodedb.Filter{Name: c.Name}, func(a nodedb.Agent) error {
			id, err := agent.ParseID(a.ID)
			states[id] = a.Status
			return err
		})
		for i := range list {
			if id, err := agent.ParseID(list[i].ID); err == nil {
				list[i].State = states[id]
			}
		}
	}
	if err != nil && e.ctx.Err() != nil {
		return err
	}
	if err != nil {
		fmt.Fprintf(e.err, "testudo: how the agents are is not known: %s\n", oneLine(err.Error()))
	}
	return nil
}

func writeListJSON(w io.Writer, list []listedAgent) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, `{"agents":[`)
	for i, a := range list {
		line, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintf(out, "\n%s", line)
	}
	fmt.Fprintf(out, "],\n\"total\":%d}\n", len(list))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

func writeList(w io.Writer, list []listedAgent, removed bool) error {
	out := bufio.NewWriter(w)
	columns := []screen.Column{{Title: "id"}, {Title: "name"}, {Title: "address"}, {Title: "state"}}
	width := screen.New(w).Width()
	for rest := list; len(rest) > 0; {
		page := rest[:min(len(rest), pageRows)]
		rest = rest[len(page):]
		rows := make([][]string, 0, len(page))
		for _, a := range page {
			state := orDash(a.State)
			if removed {
				state = "removed"
			}
			rows = append(rows, []string{a.ID, a.Name, a.Address, state})
		}
		fmt.Fprint(out, screen.Table(columns, rows, width))
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "No such agents.")
	} else {
		fmt.Fprintln(out, plural(len(list), "agent")+".")
	}
	if err := out.Flush(); err != nil {
		return errors.Join(errors.New("write the agents"), err)
	}
	return nil
}
