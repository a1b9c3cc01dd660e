package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrRunning is returned when a node is started that runs already.
	ErrRunning = errors.New("runs already")
	// ErrNotRunning is returned when a node has no process.
	ErrNotRunning = errors.New("does not run")
	// ErrEnded is returned when a process ended instead of becoming ready.
	ErrEnded = errors.New("ended before it was ready")
)

const (
	// askEvery is how often a node is asked whether it is ready.
	askEvery = 20 * time.Millisecond
	// tailBytes is how much of its output is told of a process that ended.
	tailBytes = 2 << 10
)

// Node is one node of a fleet. Its methods may be called from any goroutine.
type Node struct {
	Name    string
	Role    string // "master" or "worker"
	Home    string
	Port    int    // of the cluster, the same for all nodes
	Metrics string // host:port of /metrics, /readyz and /status

	EnrolPort int // where agents enrol at it

	fleet *Fleet

	mu   sync.Mutex
	last *process // the present one or the one before; nil before the first
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and was waited for
	err   error         // how it ended; valid once ended is closed
}

// Start starts the node's process and does not wait for it.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last != nil && !n.last.over() {
		return fmt.Errorf("start %s: %w", n.Name, ErrRunning)
	}
	if err := n.fleet.life.Err(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	output, err := os.OpenFile(n.outputPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	defer output.Close() // the process has its own handle
	p := &process{cmd: n.command(output), ended: make(chan struct{})}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	go func() { // Close waits for it
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	n.last = p
	return nil
}

func (n *Node) command(output *os.File) *exec.Cmd {
	args := append([]string{"node", "--home", n.Home, "-r", "-q"}, n.fleet.options.Flags...)
	cmd := exec.CommandContext(n.fleet.life, n.fleet.program, args...) //nolint:gosec // this very program
	cmd.Args[0] = "testudo"
	cmd.Dir = n.Home
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// environment is ours without what would mislead a node.
func environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if name != "TESTUDO_HOME" && name != "NOTIFY_SOCKET" {
			env = append(env, pair)
		}
	}
	return env
}

func (n *Node) outputPath() string { return filepath.Join(n.fleet.dir, n.Name+".out") }

func (n *Node) current() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// running gives the present process.
func (n *Node) running() (*process, error) {
	if p := n.current(); p != nil && !p.over() {
		return p, nil
	}
	return nil, fmt.Errorf("%s %w", n.Name, ErrNotRunning)
}

// PID is the process, 0 when none runs.
func (n *Node) PID() int {
	p, err := n.running()
	if err != nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Ended is closed when the process that runs now has ended; at once when none
// runs.
func (n *Node) Ended() <-chan struct{} {
	if p := n.current(); p != nil {
		return p.ended
	}
	none := make(chan struct{})
	close(none)
	return none
}

// Signal sends a signal to the process.
func (n *Node) Signal(signal os.Signal) error {
	p, err := n.running()
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %s to %s: %w", signal, n.Name, err)
	}
	return nil
}

// Kill ends the process without asking it (kill -9) and waits for its end.
func (n *Node) Kill() error {
	p, err := n.running()
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", n.Name, err)
	}
	<-p.ended
	return nil
}

// Stop asks the process to end (SIGTERM) and waits for it. When ctx ends before
// that, the process is killed and the error of ctx returned. A process that
// ended with an exit code is an error, too.
func (n *Node) Stop(ctx context.Context) error {
	p, err := n.running()
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", n.Name, err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop %s: %w", n.Name, ctx.Err()), n.Kill())
	}
	if code := p.cmd.ProcessState.ExitCode(); code > 0 {
		return fmt.Errorf("stop %s: %w%s", n.Name, p.err, n.tail())
	}
	return nil
}

// WaitReady waits until the node says that it is ready. A process that ended
// before that is ErrEnded, with the end of what it wrote.
func (n *Node) WaitReady(ctx context.Context) error {
	p := n.current()
	if p == nil {
		return fmt.Errorf("%s %w", n.Name, ErrNotRunning)
	}
	turn := time.NewTicker(askEvery)
	defer turn.Stop()
	for {
		if _, err := n.Get(ctx, "/readyz"); err == nil {
			return nil
		}
		select {
		case <-turn.C:
		case <-p.ended:
			return fmt.Errorf("%s %w: %w%s", n.Name, ErrEnded, result(p), n.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w%s", n.Name, ctx.Err(), n.tail())
		}
	}
}

func result(p *process) error {
	if p.err != nil {
		return p.err
	}
	return errors.New("exit status 0")
}

// tail is the end of what the node's processes wrote, for an error.
func (n *Node) tail() string {
	file, err := os.Open(n.outputPath())
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	text := make([]byte, tailBytes)
	read, err := file.ReadAt(text, max(info.Size()-tailBytes, 0))
	if err != nil && !errors.Is(err, io.EOF) || read == 0 {
		return ""
	}
	return ":\n" + strings.TrimSpace(string(text[:read]))
}
