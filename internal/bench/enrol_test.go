package bench_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/bench"
)

func TestEnrol_MeasuresRealNodes(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "enrol") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var steps []string
	r, err := bench.Enrol(t.Context(), bench.EnrolOptions{
		Many: 200, Clients: []int{2}, Rate: 20, Time: 300 * time.Millisecond, Rounds: 2, Dir: dir,
		Progress: func(s string) { steps = append(steps, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 8 || len(r.Bare) != 1 || r.Sync.Samples == 0 {
		t.Fatalf("got %+v", r)
	}
	want := []string{
		"master 0 2 0", "master 0 512 20", "worker 0 2 0", "worker 0 512 20",
		"master 200 2 0", "master 200 512 20", "worker 200 2 0", "worker 200 512 20",
	}
	for i, run := range r.Runs {
		if got := fmt.Sprint(run.Where, " ", run.Agents, " ", run.Clients, " ", run.Rate); got != want[i] {
			t.Errorf("run %d is %s, want %s", i, got, want[i])
		}
		if run.Count == 0 || run.PerSecond <= 0 || run.MS.Median <= 0 || run.CPU.Master <= 0 || run.CPU.Client <= 0 || len(run.Failures) > 0 {
			t.Errorf("%s: %+v", want[i], run)
		}
		if run.Where == "worker" && run.CPU.Worker <= 0 {
			t.Errorf("%s: the worker costs nothing: %+v", want[i], run.CPU)
		}
	}
	table := r.Table()
	for _, part := range []string{"TLS alone", " master ", " worker ", "20/s", "A line of a file is durable after"} {
		if !strings.Contains(table, part) {
			t.Errorf("no %q in\n%s", part, table)
		}
	}
	if len(steps) < 18 {
		t.Errorf("steps told: %q", steps)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEnrol_NobodyThere(t *testing.T) {
	_, err := bench.Enrol(t.Context(), bench.EnrolOptions{
		Clients: []int{1}, Time: 50 * time.Millisecond, Rounds: 1, Servers: []string{"127.0.0.1:1"},
	})
	if err == nil || !strings.Contains(err.Error(), "nobody gets a key at 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}
