package ctl

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"testudo/internal/nodeinfo"
	"testudo/internal/screen"
)

// NodesTable lays nodes out. width is the longest line wanted, 0 for any.
func NodesTable(nodes []nodeinfo.Node, width int) string {
	rows := make([][]string, 0, len(nodes))
	for _, n := range nodes {
		rows = append(rows, []string{n.Name, n.Type, n.Address, n.Version})
	}
	return screen.Table([]screen.Column{{Title: "node"}, {Title: "role"}, {Title: "address"}, {Title: "version"}}, rows, width)
}

// AgentsTable lays agents out.
func AgentsTable(agents []Agent, width int) string {
	rows := make([][]string, 0, len(agents))
	for _, a := range agents {
		rows = append(rows, []string{a.ID, cmp.Or(a.Name, "-"), cmp.Or(a.IP, "-"), cmp.Or(a.Status, "-"), cmp.Or(a.Version, "-"), cmp.Or(a.Node, "-")})
	}
	columns := []screen.Column{{Title: "id", Right: true}, {Title: "name"}, {Title: "address"}, {Title: "state"}, {Title: "version"}, {Title: "reports to"}}
	return screen.Table(columns, rows, width)
}

// HealthTable lays out how nodes are, one line each; times are as of now.
func HealthTable(h nodeinfo.Health, now time.Time, width int) string {
	rows := make([][]string, 0, len(h.Nodes))
	for i := range h.Nodes {
		n := &h.Nodes[i]
		row := []string{n.Name, n.Type, n.Address, strconv.Itoa(n.ActiveAgents), "-", "-", "-", "-", "-"}
		if s := n.Status; s != nil {
			row[4] = Ago(now, s.LastKeepAlive)
			row[5] = Ago(now, s.Check.Ended)
			if !s.IntegrityFree {
				row[5] = "now"
			}
			row[6] = Ago(now, s.Sync.Ended)
			row[7] = Ago(now, s.AgentInfo.Ended)
			row[8] = Ago(now, s.Groups.Ended)
		}
		rows = append(rows, row)
	}
	return screen.Table([]screen.Column{
		{Title: "node"}, {Title: "role"}, {Title: "address"}, {Title: "agents", Right: true}, {Title: "keep-alive", Right: true},
		{Title: "checked", Right: true}, {Title: "sent", Right: true}, {Title: "agent-info", Right: true}, {Title: "groups", Right: true},
	}, rows, width)
}

// HealthText tells all about each node.
func HealthText(h nodeinfo.Health, now time.Time) string {
	var b []byte
	line := func(format string, args ...any) { b = append(fmt.Appendf(b, format, args...), '\n') }
	for i := range h.Nodes {
		n := &h.Nodes[i]
		if i > 0 {
			line("")
		}
		line("%s, %s at %s, version %s, %d active agents", clean(n.Name), clean(n.Type), clean(n.Address), clean(n.Version), n.ActiveAgents)
		s := n.Status
		if s == nil {
			continue
		}
		line("  last keep-alive   %s", moment(now, s.LastKeepAlive))
		line("  files compared    %s", took(now, s.Check))
		if !s.IntegrityFree {
			line("                    a comparison is under way")
		}
		line("  files sent        %s", took(now, s.Sync))
		if s.Files.Any {
			line("                    to create %d, to update %d, to delete %d", s.Files.Missing, s.Files.Shared, s.Files.Extra)
		}
		line("  agents stored     %s", took(now, s.AgentInfo.Span)+parts(s.AgentInfo.Chunks))
		line("  groups stored     %s", took(now, s.Groups.Span)+parts(s.Groups.Chunks))
		line("  all groups stored %s", took(now, s.FullGroups.Span)+parts(s.FullGroups.Chunks))
	}
	return string(b)
}

func parts(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", parts: %d", n)
}

func took(now time.Time, s nodeinfo.Span) string {
	switch {
	case s.Started.IsZero():
		return "not yet"
	case s.Ended.IsZero():
		return "since " + moment(now, s.Started) + ", not done yet"
	}
	return moment(now, s.Ended) + ", took " + seconds(s.Ended.Sub(s.Started))
}

// moment is a time for people, with how long ago it is.
func moment(now, t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return fmt.Sprintf("%s (%s ago)", t.Local().Format("2006-01-02 15:04:05"), Ago(now, t))
}

// Ago is how long ago something was, in at most two units; "-" for the zero
// time.
func Ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
