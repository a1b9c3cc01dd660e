package fleet

import (
	"fmt"
	"time"
)

// Usage is what a process has cost so far.
type Usage struct {
	CPU     time.Duration // user and system, all threads
	RSS     int64         // resident memory now, bytes; 0 once the process has ended
	PeakRSS int64         // the most it ever was, bytes, or since ResetPeak
}

// Usage tells what the node's process costs, or what the last one had cost when
// none runs.
func (n *Node) Usage() (Usage, error) {
	p := n.current()
	if p == nil {
		return Usage{}, fmt.Errorf("%s %w", n.Name, ErrNotRunning)
	}
	if !p.over() {
		u, err := usageOf(p.cmd.Process.Pid)
		switch {
		case err == nil && u.PeakRSS > 0:
			return u, nil
		case err == nil: // it has ended under our eyes and has no memory left
			<-p.ended
		case !p.over():
			return Usage{}, fmt.Errorf("measure %s: %w", n.Name, err)
		}
	}
	return usageAfter(p.cmd.ProcessState), nil
}

// ResetPeak lets Usage.PeakRSS begin anew from the memory in use now, for as long
// as the process runs: after its end Usage tells the peak of its whole life.
func (n *Node) ResetPeak() error {
	p, err := n.running()
	if err != nil {
		return err
	}
	if err := resetPeak(p.cmd.Process.Pid); err != nil {
		return fmt.Errorf("reset the peak memory of %s: %w", n.Name, err)
	}
	return nil
}

// UsageOf tells what any process costs that runs on this machine.
func UsageOf(pid int) (Usage, error) {
	u, err := usageOf(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("measure process %d: %w", pid, err)
	}
	return u, nil
}
