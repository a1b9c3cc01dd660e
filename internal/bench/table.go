package bench

import (
	"fmt"

	"testudo/internal/screen"
)

// Table lays a report out for people.
func (r *Report) Table() string {
	columns := []screen.Column{
		{Title: fmt.Sprintf("%d files of %s, %d workers, %d runs", r.Files, screen.Size(r.Size), r.Workers, r.Runs)},
		{Title: "median", Right: true}, {Title: "p99", Right: true}, {Title: "samples", Right: true},
	}
	row := func(name string, f Figure) []string {
		return []string{name, fmt.Sprintf("%.3fs", f.Median), fmt.Sprintf("%.3fs", f.P99), fmt.Sprint(f.Samples)}
	}
	rows := [][]string{
		row("machine's limit (one TCP connection, files written, one sync)", r.Limit),
		row("first sync, connected to in step", r.FirstSync),
		{"  times the limit", fmt.Sprintf("%.2f", r.Ratio), "", ""},
		row("changed file to a worker", r.Change),
		row("changed file to all workers", r.AllHave),
		row("first sync, CPU of the master", r.Master.SyncCPU),
		row("first sync, CPU of a worker", r.Worker.SyncCPU),
		row("unchanged round, CPU of the master per worker", r.Master.RoundCPU),
		row("unchanged round, CPU of a worker", r.Worker.RoundCPU),
		{"peak memory of the master", screen.Size(r.Master.PeakRSS), "", ""},
		{"peak memory of a worker", screen.Size(r.Worker.PeakRSS), "", ""},
	}
	return screen.Table(columns, rows, 0)
}
