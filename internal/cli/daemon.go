package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A daemon is this program once more, in a session of its own, without
// standard streams. What it has to say while it starts it writes into a pipe;
// its last word there is that it is up. So
// the one who started it learns what became of it.

const (
	daemonVariable = "TESTUDO_DAEMON"
	daemonPipe     = 3 // its file descriptor
	// daemonUp ends what a daemon writes when it is up; no text holds it.
	daemonUp = "\x06"
)

// becomeDaemon starts this program again as a daemon with the same arguments
// and waits until it is up or has ended, passing on what it says. The exit code
// of a daemon that ended is a codeError.
func (e *env) becomeDaemon() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("become a daemon: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("become a daemon: %w", err)
	}
	defer read.Close()
	cmd := exec.Command(program, e.args[1:]...) //nolint:gosec // this very program, with the arguments it was given; it outlives us
	cmd.Args[0] = e.args[0]
	cmd.Env = append(os.Environ(), daemonVariable+"=yes")
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("become a daemon: %w", err)
	}
	said, err := io.ReadAll(read)
	if err != nil {
		return fmt.Errorf("wait for the daemon: %w", err)
	}
	text, up := strings.CutSuffix(string(said), daemonUp)
	if _, err := io.WriteString(e.err, text); err != nil || up {
		return nil
	}
	var ended *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return codeError(ended.ExitCode())
	case err != nil:
		return fmt.Errorf("the daemon ended: %w", err)
	}
	return nil
}

// daemonReport is the daemon's end of the pipe.
type daemonReport struct{ pipe *os.File }

// adoptDaemon makes the pipe our standard error when we are a daemon that
// starts; else it gives nil.
func adoptDaemon(e *env) *daemonReport {
	if os.Getenv(daemonVariable) == "" {
		return nil
	}
	_ = os.Unsetenv(daemonVariable) // no process of ours is to take it for its own
	var status syscall.Stat_t
	if err := syscall.Fstat(daemonPipe, &status); err != nil || status.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return nil
	}
	syscall.CloseOnExec(daemonPipe)
	report := &daemonReport{pipe: os.NewFile(daemonPipe, "daemon report")}
	e.err, e.daemon = report.pipe, report
	return report
}

// up tells that all is well, and ends the report.
func (r *daemonReport) up() {
	_, _ = io.WriteString(r.pipe, daemonUp) // who started us may be gone
	r.close()
}

func (r *daemonReport) close() { _ = r.pipe.Close() }
