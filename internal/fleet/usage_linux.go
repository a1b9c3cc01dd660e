package fleet

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes keep a node's process from the signals of our terminal (Ctrl-C is
// ours to pass on), and end it when we are killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// usageOf reads the figures of a process that runs.
func usageOf(pid int) (Usage, error) {
	cpu, err := cpuOf(pid)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{CPU: cpu}
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "VmHWM":
			u.PeakRSS = kilobytes(value)
		case "VmRSS":
			u.RSS = kilobytes(value)
		}
	}
	return u, lines.Err()
}

// cpuOf reads the CPU clock of another process, which is exact, unlike the
// hundredths of a second in /proc/PID/stat. The number of that clock holds the
// process's number (clock_getcpuclockid).
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // the clock of time on a CPU, user and system
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &spent); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}

// kilobytes reads "   1234 kB" as bytes.
func kilobytes(text string) int64 {
	number, _ := strings.CutSuffix(strings.TrimSpace(text), " kB")
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return value << 10
}

// resetPeak makes VmHWM what VmRSS is.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

func usageAfter(state *os.ProcessState) Usage {
	u := Usage{CPU: state.UserTime() + state.SystemTime()}
	if resources, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.PeakRSS = resources.Maxrss << 10
	}
	return u
}
