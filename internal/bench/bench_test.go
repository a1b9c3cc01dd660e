package bench_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/bench"
	"testudo/internal/cli"
)

// TestMain lets the test binary stand in for the program, whose processes the
// bench starts.
func TestMain(m *testing.M) {
	if os.Args[0] == "testudo" {
		os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

func TestIntegrity_MeasuresARealCluster(t *testing.T) {
	var steps []string
	parts := 0
	o := bench.Options{
		Tree: bench.Tree{Files: 40, Size: 2048, Compressible: true}, Workers: 2, Interval: time.Second,
		Changes: 2, Rounds: 1, Runs: 1, Progress: func(s string) { steps = append(steps, s) },
		Done: func(n int) { parts = n },
	}
	r, err := bench.Integrity(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.FirstSync.Samples != 1 || r.Change.Samples != 4 || r.AllHave.Samples != 2 || r.Limit.Median <= 0 || r.FirstSync.Median <= 0 {
		t.Errorf("figures are missing: %+v", r)
	}
	if parts != o.Parts() || parts != 5 {
		t.Errorf("%d of %d parts done", parts, o.Parts())
	}
	if r.Master.PeakRSS == 0 || r.Worker.PeakRSS == 0 {
		t.Error("no memory was measured")
	}
	if len(steps) < 4 {
		t.Errorf("steps told: %q", steps)
	}
	if table := r.Table(); !strings.Contains(table, "40 files of 2.0 KiB, 2 workers") {
		t.Errorf("table:\n%s", table)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestTree_IsTheSameForASeed(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	tree := bench.Tree{Files: 3, Size: 100, Seed: 7}
	for _, dir := range []string{a, b} {
		if err := tree.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tree.Files {
		one, _ := os.ReadFile(filepath.Join(a, tree.Path(i)))
		two, _ := os.ReadFile(filepath.Join(b, tree.Path(i)))
		if len(one) != 100 || string(one) != string(two) {
			t.Errorf("file %d: %d bytes, equal: %v", i, len(one), string(one) == string(two))
		}
	}
}

func TestSamples(t *testing.T) {
	var s bench.Samples
	if s.Median() != 0 || s.P99() != 0 {
		t.Error("no samples, but figures")
	}
	for i := 1; i <= 100; i++ {
		s.Add(time.Duration(i) * time.Second)
	}
	if s.Median() != 51 || s.P99() != 100 {
		t.Errorf("median %v, p99 %v", s.Median(), s.P99())
	}
}
