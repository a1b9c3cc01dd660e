package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"testudo/internal/screen"
)

// Table lays a report out for people.
func (r *EnrolReport) Table() string {
	columns := append([]screen.Column{
		{Title: "enrolment"}, {Title: "agents before", Right: true}, {Title: "clients", Right: true}, {Title: "a second", Right: true},
		{Title: "median", Right: true}, {Title: "p99", Right: true}, {Title: "keys", Right: true},
	}, costColumns...)
	rows := make([][]string, 0, len(r.Bare)+len(r.Runs))
	var failed strings.Builder
	for _, run := range slices.Concat(r.Bare, r.Runs) {
		agents := fmt.Sprint(run.Agents)
		if run.Agents < 0 {
			agents = ""
		}
		rows = append(rows, append([]string{
			run.Where, agents, run.load(), fmt.Sprintf("%.0f", run.PerSecond),
			fmt.Sprintf("%.1fms", run.MS.Median), fmt.Sprintf("%.1fms", run.MS.P99), fmt.Sprint(run.Count),
		}, run.CPU.cells()...))
		for _, text := range slices.Sorted(maps.Keys(run.Failures)) {
			fmt.Fprintf(&failed, "%s, %s: %d times %s\n", run.Where, run.load(), run.Failures[text], text)
		}
	}
	return screen.Table(columns, rows, 0) +
		fmt.Sprintf("A line of a file is durable after %.2f ms (p99 %.2f ms) here. \"TLS alone\" has both ends in one process.\n", r.Sync.Median, r.Sync.P99) +
		failed.String()
}
