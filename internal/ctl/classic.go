package ctl

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"testudo/internal/nodeinfo"
)

// ClassicNodes is the table of nodes as the original prints it.
func ClassicNodes(nodes []nodeinfo.Node) string {
	rows := make([][]string, 0, len(nodes)+1)
	rows = append(rows, []string{"NAME", "TYPE", "VERSION", "ADDRESS"})
	for _, n := range nodes {
		rows = append(rows, []string{n.Name, n.Type, n.Version, n.Address})
	}
	return classicTable(rows)
}

// ClassicAgents is the table of agents as the original prints it.
func ClassicAgents(agents []Agent) string {
	rows := make([][]string, 0, len(agents)+1)
	rows = append(rows, []string{"ID", "NAME", "IP", "STATUS", "VERSION", "NODE NAME"})
	for _, a := range agents {
		row := []string{a.ID, a.Name, a.IP, a.Status, a.Version, a.Node}
		for i := range row {
			row[i] = cmp.Or(row[i], "unknown")
		}
		rows = append(rows, row)
	}
	return classicTable(rows)
}

// classicTable makes each column two wider than its longest cell, the last one
// too.
func classicTable(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = clean(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i])+2)
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&b, "%-*s", widths[i], cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ClassicHealth is the health of nodes as the original prints it, in short.
func ClassicHealth(cluster string, h nodeinfo.Health) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cluster name: %s\n\nLast completed synchronization for connected nodes (%d):\n", clean(cluster), h.Workers)
	for _, n := range byName(h.Nodes) {
		if s := n.Status; s != nil {
			fmt.Fprintf(&b, "    %s (%s): Integrity check: %s | Integrity sync: %s | Agents-info: %s | Agent-groups: %s | Agent-groups full: %s | Last keep alive: %s.\n",
				clean(n.Name), clean(n.Address), date(s.Check.Ended), date(s.Sync.Ended), date(s.AgentInfo.Ended), date(s.Groups.Ended),
				date(s.FullGroups.Ended), date(s.LastKeepAlive))
		}
	}
	return b.String() + "\n"
}

// ClassicHealthMore is the health of nodes as the original prints it with more.
func ClassicHealthMore(cluster string, h nodeinfo.Health) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cluster name: %s\n\nConnected nodes (%d):\n", clean(cluster), h.Workers)
	for _, n := range byName(h.Nodes) {
		fmt.Fprintf(&b, "\n    %s (%s)\n        Version: %s\n        Type: %s\n        Active agents: %d\n",
			clean(n.Name), clean(n.Address), clean(n.Version), clean(n.Type), n.ActiveAgents)
		if n.Status != nil {
			classicStatus(&b, n.Status)
		}
	}
	return b.String() + "\n"
}

func classicStatus(b *strings.Builder, s *nodeinfo.Status) {
	b.WriteString("        Status:\n")
	fmt.Fprintf(b, "            Last keep Alive:\n                Last received: %s.\n", date(s.LastKeepAlive))
	fmt.Fprintf(b, "            Integrity check:\n                Last integrity check: %s.\n                Permission to check integrity: %s.\n",
		span(s.Check), truth(s.IntegrityFree))
	fmt.Fprintf(b, "            Integrity sync:\n                Last integrity synchronization: %s.\n                Synchronized files: Shared: %d | Missing: %d | Extra: %d.\n",
		span(s.Sync), s.Files.Shared, s.Files.Missing, s.Files.Extra)
	transfer := func(title string, t nodeinfo.Transfer) {
		fmt.Fprintf(b, "            %s:\n                Last synchronization: %s.\n                Number of synchronized chunks: %d.\n", title, span(t.Span), t.Chunks)
	}
	transfer("Agents-info", s.AgentInfo)
	fmt.Fprintf(b, "                Permission to synchronize agent-info: %s.\n", truth(s.AgentInfoFree))
	transfer("Agents-groups", s.Groups)
	transfer("Agents-groups full", s.FullGroups)
}

func byName(nodes []nodeinfo.NodeHealth) []nodeinfo.NodeHealth {
	return slices.SortedFunc(slices.Values(nodes), func(a, b nodeinfo.NodeHealth) int { return strings.Compare(a.Name, b.Name) })
}

func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func date(t time.Time) string {
	if t.IsZero() {
		return "n/a"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// span is how long something took, from when to when.
func span(s nodeinfo.Span) string {
	took := "n/a"
	if !s.Started.IsZero() && !s.Ended.IsZero() {
		took = seconds(s.Ended.Sub(s.Started))
	}
	return fmt.Sprintf("%s (%s - %s)", took, date(s.Started), date(s.Ended))
}

// seconds writes a duration with one to three decimals, at least 0.001s.
func seconds(d time.Duration) string {
	text := strconv.FormatFloat(max(math.RoundToEven(d.Seconds()*1000)/1000, 0.001), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text + "s"
}

// clean takes out what could steer a terminal: names come from other machines.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
