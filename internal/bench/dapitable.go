package bench

import (
	"fmt"

	"testudo/internal/screen"
)

// Table lays a report out for people.
func (r *DAPIReport) Table() string {
	title := "call, a connection each"
	if r.Agents > 0 {
		title = fmt.Sprintf("call, a connection each; %d agents", r.Agents)
	}
	text := callTable(title, r.Calls)
	if len(r.Frozen) > 0 {
		text += "\n" + callTable(fmt.Sprintf("the same, beside %d calls to a stopped node", frozenCalls), r.Frozen)
	}
	if l := r.Large; l != nil {
		text += "\n" + screen.Table([]screen.Column{{Title: "one large answer through a worker"}, {Title: "", Right: true}}, [][]string{
			{"bytes", screen.Size(int64(l.Bytes))},
			{"time", fmt.Sprintf("%.2fs", l.Seconds)},
			{"CPU of master, worker, client", fmt.Sprintf("%.2fs, %.2fs, %.2fs", l.CPU.Master/1e6, l.CPU.Worker/1e6, l.CPU.Client/1e6)},
			{"memory of the master, before and peak", screen.Size(l.MasterBase) + ", " + screen.Size(l.MasterPeak)},
			{"memory of the worker, before and peak", screen.Size(l.WorkerBase) + ", " + screen.Size(l.WorkerPeak)},
		}, 0)
	}
	return text
}

func callTable(title string, calls []CallReport) string {
	columns := append([]screen.Column{
		{Title: title}, {Title: "where"}, {Title: "clients", Right: true}, {Title: "a second", Right: true},
		{Title: "median", Right: true}, {Title: "p99", Right: true},
	}, costColumns...)
	rows := make([][]string, 0, len(calls))
	for _, c := range calls {
		rows = append(rows, append([]string{
			c.Call, c.Where, fmt.Sprint(c.Clients), fmt.Sprintf("%.0f", c.PerSecond),
			fmt.Sprintf("%.2fms", c.MS.Median), fmt.Sprintf("%.2fms", c.MS.P99),
		}, c.CPU.cells()...))
	}
	return screen.Table(columns, rows, 0)
}
