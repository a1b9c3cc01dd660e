package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"testudo/internal/nodedb"
	"testudo/internal/screen"
)

// agentView writes agents and their counts.
type agentView struct {
	home     string
	filter   nodedb.Filter
	filtered bool // not all agents are wanted
	counts   bool // no agents
}

// writeJSON writes one document: total, agents, and whether the limit left
// agents out.
func (v *agentView) writeJSON(ctx context.Context, w io.Writer, r *nodedb.Reader) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, `{"agents":[`)
	count := 0
	last := ""
	total, err := r.List(ctx, v.filter, func(a nodedb.Agent) error {
		line, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		if count++; count > 1 {
			fmt.Fprint(out, ",")
		}
		last = a.ID
		_, err = fmt.Fprintf(out, "\n%s", line)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "],\n\"total\":%d", total)
	if v.more(count) {
		fmt.Fprintf(out, ",\n\"next_after\":%q", last)
	}
	fmt.Fprint(out, "}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// more says whether the limit may have left agents out.
func (v *agentView) more(shown int) bool { return v.filter.Limit > 0 && shown == v.filter.Limit }

// writeText writes tables, a page at a time.
func (v *agentView) writeText(ctx context.Context, w io.Writer, r *nodedb.Reader) error {
	out := bufio.NewWriter(w)
	width := screen.New(w).Width()
	var page [][]string
	shown, last := 0, ""
	flush := func() {
		if len(page) > 0 {
			fmt.Fprint(out, screen.Table(agentColumns(), page, width))
		}
		shown += len(page)
		page = page[:0]
	}
	total, err := r.List(ctx, v.filter, func(a nodedb.Agent) error {
		page = append(page, agentRow(a))
		last = a.ID
		if len(page) == pageRows {
			flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	flush()
	switch {
	case shown == 0 && v.filtered:
		fmt.Fprintln(out, "No such agents.")
	case shown == 0:
		fmt.Fprintln(out, "No agents.")
	case v.more(shown) && shown < total:
		fmt.Fprintf(out, "%d of %s; --after %s shows the next, --limit 0 all.\n", shown, plural(total, "agent"), last)
	default:
		fmt.Fprintln(out, plural(total, "agent")+".")
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the agents: %w", err)
	}
	return nil
}

func agentColumns() []screen.Column {
	return []screen.Column{
		{Title: "id"}, {Title: "name"}, {Title: "address"}, {Title: "state"}, {Title: "node"}, {Title: "version"},
		{Title: "groups"}, {Title: "last keep-alive"},
	}
}

func agentRow(a nodedb.Agent) []string {
	heard := "-"
	if a.LastKeepalive > 0 {
		t := time.Unix(a.LastKeepalive, 0)
		heard = moment(&t)
	}
	return []string{
		a.ID, a.Name, orDash(a.IP), a.Status, orDash(a.Node), orDash(strings.TrimPrefix(a.Version, "Wazuh ")),
		orDash(strings.Join(a.Groups, ",")), heard,
	}
}

func orDash(text string) string { return cmp.Or(text, "-") }

// writeCounts writes the table of counts.
func (v *agentView) writeCounts(w io.Writer, c nodedb.Counts) error {
	if _, err := io.WriteString(w, countTable(c, screen.New(w).Width())); err != nil {
		return fmt.Errorf("write the counts: %w", err)
	}
	return nil
}

// countTable has a line for each node and one for all.
func countTable(c nodedb.Counts, width int) string {
	statuses := nodedb.Statuses()
	columns := make([]screen.Column, 0, 2+len(statuses))
	columns = append(columns, screen.Column{Title: "node"}, screen.Column{Title: "agents", Right: true})
	for _, status := range statuses {
		columns = append(columns, screen.Column{Title: strings.ReplaceAll(status, "_", " "), Right: true})
	}
	line := func(name string, total int, by map[string]int) []string {
		cells := append(make([]string, 0, 2+len(statuses)), name, strconv.Itoa(total))
		for _, status := range statuses {
			cells = append(cells, strconv.Itoa(by[status]))
		}
		return cells
	}
	rows := make([][]string, 0, len(c.ByNode)+1)
	for _, node := range slices.Sorted(maps.Keys(c.ByNode)) {
		total := 0
		for _, n := range c.ByNode[node] {
			total += n
		}
		rows = append(rows, line(orDash(node), total, c.ByNode[node]))
	}
	return screen.Table(columns, append(rows, line("all", c.Total, c.ByStatus)), width)
}
