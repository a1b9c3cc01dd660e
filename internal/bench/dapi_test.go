package bench_test

import (
	"strings"
	"testing"
	"time"

	"testudo/internal/bench"
)

func TestDAPI_MeasuresARealCluster(t *testing.T) {
	report, err := bench.DAPI(t.Context(), bench.DAPIOptions{Agents: 30, Clients: []int{1, 3}, Time: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, c := range append(report.Calls, report.Frozen...) {
		rows[c.Where]++
		if c.PerSecond <= 0 || c.MS.Median <= 0 || c.MS.P99 < c.MS.Median {
			t.Errorf("%+v", c)
		}
		if c.CPU.Client <= 0 {
			t.Errorf("no cost: %+v", c)
		}
	}
	// The socket alone by each number of clients, six calls by each, and six
	// beside a stopped node.
	if rows["alone"] != 2 || rows["master"] != 18 || rows["worker"] != 18 {
		t.Errorf("%v", rows)
	}
	table := report.Table()
	for _, title := range []string{"a socket without a node", "get_agents, limit 500", "beside 20 calls to a stopped node"} {
		if !strings.Contains(table, title) {
			t.Errorf("no %q in\n%s", title, table)
		}
	}
}
