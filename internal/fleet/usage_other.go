//go:build !linux

package fleet

import (
	"errors"
	"os"
	"syscall"
)

// attributes keep a node's process from the signals of our terminal.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func usageOf(int) (Usage, error) { return Usage{}, errors.ErrUnsupported }

func resetPeak(int) error { return errors.ErrUnsupported }

func usageAfter(state *os.ProcessState) Usage {
	return Usage{CPU: state.UserTime() + state.SystemTime()}
}
