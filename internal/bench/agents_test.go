package bench_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"testudo/internal/bench"
)

func TestAgents_MeasuresRealNodes(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp") // short, for the sockets
	var steps []string
	r, err := bench.Agents(t.Context(), bench.AgentOptions{
		Agents: 300, Many: 500, Runs: 2, Rate: 200, RateTime: time.Second, Samples: 3, Progress: func(s string) { steps = append(steps, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*bench.ExchangeReport{"full": r.InfoFull, "keep-alives": r.InfoKeepalive, "groups": r.Groups} {
		if e == nil || e.Wall.Samples != 2 || e.Wall.Median <= 0 || e.Logged.Median <= 0 || e.MasterPeak == 0 || e.WorkerPeak == 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if r.InfoFull.Workers != 1 || r.Groups.Workers != 2 {
		t.Error("another number of workers")
	}
	if r.Rate.Achieved <= 0 || r.Rate.ReadMS.Samples == 0 || r.Rate.WriteMS.Samples == 0 || r.Rate.PeakRSS == 0 {
		t.Errorf("rate: %+v", r.Rate)
	}
	if len(r.Queries.Queries) != 8 || r.Queries.Queries[0].MS.Samples != 3 || r.Queries.Agents != 500 {
		t.Errorf("queries: %+v", r.Queries)
	}
	for _, want := range []string{"300 agents all changed, worker to master (1)", "queries of 500 agents", "a read beside them"} {
		if !strings.Contains(r.Table(), want) {
			t.Errorf("no %q in\n%s", want, r.Table())
		}
	}
	if len(steps) < 10 {
		t.Errorf("steps told: %q", steps)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestAgents_UnknownPart(t *testing.T) {
	if _, err := bench.Agents(t.Context(), bench.AgentOptions{Parts: []string{"everything"}}); !errors.Is(err, bench.ErrPart) {
		t.Errorf("got %v", err)
	}
}
