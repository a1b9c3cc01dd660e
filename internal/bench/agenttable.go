package bench

import (
	"fmt"
	"strings"

	"testudo/internal/screen"
)

// Table lays a report out for people, a table for each part.
func (r *AgentReport) Table() string {
	var tables []string
	for _, e := range []struct {
		title  string
		report *ExchangeReport
	}{
		{"all changed, worker to master", r.InfoFull},
		{"keep-alives only, worker to master", r.InfoKeepalive},
		{"all assigned to other groups, master to workers", r.Groups},
	} {
		if e.report != nil {
			tables = append(tables, e.report.table(fmt.Sprintf("%d agents %s (%d)", r.Agents, e.title, e.report.Workers)))
		}
	}
	if r.Rate != nil {
		tables = append(tables, r.Rate.table(r.Agents))
	}
	if r.Queries != nil {
		tables = append(tables, r.Queries.table())
	}
	return strings.Join(tables, "\n")
}

func figureColumns(title string) []screen.Column {
	return []screen.Column{
		{Title: title}, {Title: "median", Right: true}, {Title: "p99", Right: true}, {Title: "samples", Right: true},
	}
}

func figureRow(name string, f Figure, unit string) []string {
	return []string{name, fmt.Sprintf("%.3f%s", f.Median, unit), fmt.Sprintf("%.3f%s", f.P99, unit), fmt.Sprint(f.Samples)}
}

func (e *ExchangeReport) table(title string) string {
	return screen.Table(figureColumns(title), [][]string{
		figureRow("committed to visible and confirmed", e.Wall, "s"),
		figureRow("the exchange, as the nodes log it", e.Logged, "s"),
		figureRow("CPU of the master", e.MasterCPU, "s"),
		figureRow("CPU of a worker", e.WorkerCPU, "s"),
		{"peak memory of the master, start and first report", screen.Size(e.FirstMasterPeak), "", ""},
		{"peak memory of a worker, start and first report", screen.Size(e.FirstWorkerPeak), "", ""},
		{"peak memory of the master, exchanges", screen.Size(e.MasterPeak), "", ""},
		{"peak memory of a worker, exchanges", screen.Size(e.WorkerPeak), "", ""},
	}, 0)
}

func (r *RateReport) table(agents int) string {
	return screen.Table(figureColumns(fmt.Sprintf("keep-alives of %d agents for %.0f s", agents, r.Seconds)), [][]string{
		{"keep-alives a second", fmt.Sprintf("%.0f", r.Achieved), "", ""},
		{"  of those asked for", fmt.Sprintf("%.0f", r.Asked), "", ""},
		figureRow("a keep-alive, until answered", r.WriteMS, "ms"),
		figureRow("a read beside them", r.ReadMS, "ms"),
		{"CPU of the node, a second", fmt.Sprintf("%.2fs", r.CPU), "", ""},
		{"peak memory of the node", screen.Size(r.PeakRSS), "", ""},
	}, 0)
}

func (q *QueryReport) table() string {
	rows := make([][]string, 0, len(q.Queries)+2)
	rows = append(rows, []string{"start of the node", fmt.Sprintf("%.1fs", q.Start), "", ""})
	for _, each := range q.Queries {
		rows = append(rows, figureRow(each.Query, each.MS, "ms"))
	}
	rows = append(rows, []string{"peak memory of the node", screen.Size(q.PeakRSS), "", ""})
	return screen.Table(figureColumns(fmt.Sprintf("queries of %d agents", q.Agents)), rows, 0)
}
