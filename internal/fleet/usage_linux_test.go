package fleet

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestUsage_OfAProcessAndAfterIt(t *testing.T) {
	f := made(t, Options{}, "")
	n := f.Master()
	if _, err := n.Usage(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the first start: %v", err)
	}
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	running, err := n.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if running.CPU <= 0 || running.RSS < 1<<20 || running.PeakRSS < running.RSS {
		t.Errorf("while it runs: %+v", running)
	}
	if err := n.ResetPeak(); err != nil {
		t.Error(err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, err := n.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if ended.CPU <= 0 || ended.RSS != 0 || ended.PeakRSS < 1<<20 {
		t.Errorf("after its end: %+v", ended)
	}
}

// The clock of another process is the one that the process itself would read.
func TestCPUOf_IsExact(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for time.Since(began) < 30*time.Millisecond { // burn
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if spent := after - before; spent <= 0 || spent > 10*time.Second || spent%(10*time.Millisecond) == 0 {
		t.Errorf("30 ms of work took %v of CPU", spent)
	}
	if _, err := cpuOf(1<<22 + 1); err == nil {
		t.Error("a process that is not there has a clock")
	}
}
