package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"testudo/internal/filestate"
	"testudo/internal/screen"
)

// fileView is what the database says, all but the files themselves: these may
// be very many and are read while they are written.
type fileView struct {
	path    string
	filter  filestate.Filter
	summary bool // no files

	Held  *heldBack
	Nodes []nodeSummary
}

type heldBack struct {
	Since  time.Time `json:"since"`
	Detail string    `json:"detail"`
}

// nodeSummary is one node in short.
type nodeSummary struct {
	Node           string                  `json:"node"`
	Role           string                  `json:"role"`
	Version        string                  `json:"version,omitempty"`
	Address        string                  `json:"address,omitempty"`
	Connected      bool                    `json:"connected"`
	ConnectedSince *time.Time              `json:"connected_since,omitempty"`
	InStep         bool                    `json:"in_step"`
	Files          int                     `json:"files"`
	States         map[filestate.State]int `json:"states"`
	LastCheck      *time.Time              `json:"last_check,omitempty"`
	LastSync       *time.Time              `json:"last_sync,omitempty"`
	LagMS          int64                   `json:"lag_ms"`
}

// fileRow is one file of one node.
type fileRow struct {
	Node   string          `json:"node"`
	File   string          `json:"file"`
	State  filestate.State `json:"state"`
	Reason string          `json:"reason,omitempty"`
	Digest string          `json:"digest,omitempty"`
	Since  time.Time       `json:"since"`
}

func summarise(n filestate.NodeState, counts map[filestate.State]int) nodeSummary {
	s := nodeSummary{
		Node: n.Node, Role: n.Role, Version: n.Version, Address: n.Address,
		Connected: n.Connected, ConnectedSince: present(n.ConnectedSince), InStep: !n.InStepSince.IsZero(),
		Files: n.Files, States: map[filestate.State]int{}, LastCheck: present(n.LastCheck), LastSync: present(n.LastSync),
		LagMS: n.Lag.Milliseconds(),
	}
	for _, state := range filestate.States() {
		s.States[state] = counts[state]
	}
	return s
}

func present(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// atRest says that no node is connected: the one whose view it is does not run,
// and had perhaps no time to take that down.
func (v *fileView) atRest() {
	for i := range v.Nodes {
		v.Nodes[i].Connected = false
	}
}

// ownRole is the role of the node whose database it is: a worker's holds the
// worker alone. It is empty when nothing is known.
func (v *fileView) ownRole() string {
	role := ""
	for _, n := range v.Nodes {
		if n.Role == "master" {
			return n.Role
		}
		role = n.Role
	}
	return role
}

// writeJSON writes one document: held_back, nodes, files, and whether the limit
// left files out.
func (v *fileView) writeJSON(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriter(w)
	held, err := json.Marshal(v.Held)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	nodes, err := json.Marshal(append([]nodeSummary{}, v.Nodes...))
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	fmt.Fprintf(out, "{\"held_back\":%s,\n\"nodes\":%s,\n\"files\":[", held, nodes)
	count := 0
	more, err := v.walk(ctx, func(r filestate.Row) error {
		row := fileRow{Node: r.Node, File: r.File, State: r.State, Reason: r.Reason, Since: r.Since.UTC()}
		if !r.Digest.IsZero() {
			row.Digest = r.Digest.String()
		}
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if count++; count > 1 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintf(out, "\n%s", line)
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "],\n\"more\":%t}\n", more)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// walk hands the files to each, and says whether there are more than the limit.
func (v *fileView) walk(ctx context.Context, each func(filestate.Row) error) (more bool, err error) {
	if v.summary {
		return false, nil
	}
	filter, count := v.filter, 0
	if filter.Limit > 0 {
		filter.Limit++
	}
	err = filestate.Walk(ctx, v.path, filter, func(r filestate.Row) error {
		if count++; v.filter.Limit > 0 && count > v.filter.Limit {
			more = true
			return nil
		}
		return each(r)
	})
	return more, err
}

// pageRows is how many files are laid out together: a table needs all of its
// rows to know the widths.
const pageRows = 10000

// writeText writes tables.
func (v *fileView) writeText(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriter(w)
	width := screen.New(w).Width()
	if v.Held != nil {
		fmt.Fprintf(out, "HELD BACK since %s: %s. The workers keep what they have.\nTo go on: bring the files back, or 'testudo files --accept-shrink' when this is meant.\n\n",
			moment(&v.Held.Since), v.Held.Detail)
	}
	fmt.Fprint(out, screen.Table(summaryColumns(), v.summaryRows(), width))
	var page [][]string
	shown := 0
	flush := func() {
		if len(page) > 0 {
			fmt.Fprint(out, "\n"+screen.Table(fileColumns(), page, width))
		}
		shown += len(page)
		page = page[:0]
	}
	more, err := v.walk(ctx, func(r filestate.Row) error {
		page = append(page, []string{r.Node, r.File, string(r.State), moment(&r.Since), r.Reason})
		if len(page) == pageRows {
			flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	flush()
	if more {
		fmt.Fprintf(out, "\nThe first %d files; --limit 0 shows all, --state and --node fewer.\n", shown)
	} else if shown == 0 && !v.summary {
		fmt.Fprint(out, "\nNo such files.\n")
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the files: %w", err)
	}
	return nil
}

func summaryColumns() []screen.Column {
	return []screen.Column{
		{Title: "node"}, {Title: "role"}, {Title: "connected"}, {Title: "in step?"}, {Title: "files", Right: true},
		{Title: "synchronized", Right: true}, {Title: "pending", Right: true}, {Title: "failed", Right: true},
		{Title: "to be deleted", Right: true}, {Title: "last sync"}, {Title: "lag", Right: true},
	}
}

func (v *fileView) summaryRows() [][]string {
	rows := make([][]string, 0, len(v.Nodes))
	for _, n := range v.Nodes {
		connected, inStep := "no", "no"
		if n.Connected {
			connected = "since " + moment(n.ConnectedSince)
		}
		if n.InStep {
			inStep = "yes"
		}
		count := func(state filestate.State) string { return strconv.Itoa(n.States[state]) }
		rows = append(rows, []string{
			n.Node, n.Role, connected, inStep, strconv.Itoa(n.Files),
			count(filestate.Synchronized), count(filestate.Pending), count(filestate.Failed), count(filestate.ToBeDeleted),
			moment(n.LastSync), fmt.Sprintf("%d ms", n.LagMS),
		})
	}
	return rows
}

func fileColumns() []screen.Column {
	return []screen.Column{{Title: "node"}, {Title: "file"}, {Title: "state"}, {Title: "since"}, {Title: "reason"}}
}

// moment writes a time for people, the zero time as "-".
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
