package bench

import (
	"fmt"
	"syscall"
	"time"

	"testudo/internal/screen"
)

// CPUCost is the processor time that something has cost, in microseconds. Unlike
// a latency it says the same on a machine that others use, too.
type CPUCost struct {
	Master float64 `json:"master"`
	Worker float64 `json:"worker"` // the one that is asked
	Client float64 `json:"client"` // this program
}

// costs begins to measure; each gives the costs since then, parted by the number
// of calls.
func (b *dapiBench) costs() (each func(calls int) (CPUCost, error), err error) {
	began, err := b.spent()
	return func(calls int) (CPUCost, error) {
		now, err := b.spent()
		n := float64(max(calls, 1))
		return CPUCost{
			Master: (now.Master - began.Master) / n, Worker: (now.Worker - began.Worker) / n, Client: (now.Client - began.Client) / n,
		}, err
	}, err
}

// spent is what the processes have cost so far.
func (b *dapiBench) spent() (c CPUCost, err error) {
	if c.Client, err = ownCPU(); err != nil || b.fleet == nil {
		return c, err
	}
	master, err := b.fleet.Master().Usage()
	if err != nil {
		return c, err
	}
	worker, err := b.fleet.Workers()[0].Usage()
	c.Master, c.Worker = micros(master.CPU), micros(worker.CPU)
	return c, err
}

// ownCPU is what this process has cost so far, in microseconds.
func ownCPU() (float64, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("measure our own processor time: %w", err)
	}
	return micros(time.Duration(own.Utime.Nano() + own.Stime.Nano())), nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cells are the costs in a table, nothing where they are not known.
func (c CPUCost) cells() []string {
	cell := func(us float64) string {
		if us == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f", us)
	}
	return []string{cell(c.Master), cell(c.Worker), cell(c.Client)}
}

// costColumns are those of cells.
var costColumns = []screen.Column{
	{Title: "CPU us: master", Right: true}, {Title: "worker", Right: true}, {Title: "client", Right: true},
}
