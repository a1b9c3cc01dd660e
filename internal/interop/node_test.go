package interop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// maker says whose program a node is.
type maker string

const (
	ours   maker = "our"
	theirs maker = "their"
)

const (
	master = "master"
	worker = "worker"
)

// node is how explanations name all nodes of a maker.
func (m maker) node() string { return string(m) + " " }

// node is one node of a cluster: a home, and a process when it runs.
type node struct {
	maker   maker
	role    string
	name    string
	home    string
	keeping keeping
	cluster *cluster

	enrolPort int      // where agents enrol, when they do
	authd     *process // the original's enrolment server, when it runs

	process  *process
	leaving  int       // how long the log was when the test began to end the nodes; 0 before
	database *database // nil where the node itself, or its program, sees to it

	sentMu sync.Mutex
	sent   []string // to agents
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and was waited for
}

// String is "our worker ours1".
func (n *node) String() string { return n.kind() + " " + n.name }

// kind is "our worker", as explanations name it.
func (n *node) kind() string { return string(n.maker) + " " + n.role }

// start starts the node's process and waits until it has begun its log.
func (n *node) start() {
	t := n.cluster.t
	t.Helper()
	if n.process != nil {
		t.Fatalf("%s runs already", n)
	}
	n.startDatabase()
	output, err := os.OpenFile(n.outputPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close() // the process has its own handle
	p := &process{cmd: n.command(), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = n.home, output, output, attributes()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", n, err)
	}
	go func() { // ended by stop or kill at the end of the test
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	n.process = p
}

func (n *node) command() *exec.Cmd {
	if n.maker == theirs {
		cmd := exec.Command(filepath.Join(n.cluster.reference, "run"), n.home, "-d")
		cmd.Env = n.environment()
		return cmd
	}
	if n.isExternal() && n.role == worker {
		cmd := exec.Command(n.cluster.program, "-f", "-r", "-d")
		cmd.Args[0] = replaced
		cmd.Env = append(os.Environ(), "TESTUDO_HOME="+n.home, "NOTIFY_SOCKET=")
		return cmd
	}
	cmd := exec.Command(n.cluster.program, "node", "--home", n.home, "-r", "-q", "-d")
	cmd.Args[0] = program
	cmd.Env = append(os.Environ(), "TESTUDO_HOME=", "NOTIFY_SOCKET=")
	return cmd
}

// environment is that of what the reference runs for a home.
func (n *node) environment() []string {
	env := append(os.Environ(), "REFERENCE_DAEMONS=fake")
	if n.isServed() || n.isInstalled() {
		return append(env, "REFERENCE_WDB=no")
	}
	return env
}

func (n *node) outputPath() string { return n.home + ".out" }

// stop asks the process to end, and waits.
func (n *node) stop() { n.end(syscall.SIGTERM) }

// end sends a signal and waits for the end.
func (n *node) end(signal syscall.Signal) {
	t := n.cluster.t
	t.Helper()
	p := n.process
	if p == nil {
		return
	}
	n.process = nil
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%s to %s: %v", signal, n, err)
	}
	select {
	case <-p.ended:
		return
	case <-time.After(20 * time.Second):
		t.Errorf("%s does not end on %s", n, signal)
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// write saves a file in the node's home, whole at once, as an editor does: a real
// master that looks at a file during its last write never looks again.
func (n *node) write(path, content string) {
	t := n.cluster.t
	t.Helper()
	full := filepath.Join(n.home, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o770); err != nil {
		t.Fatal(err)
	}
	beside := full + ".tmp" // which no node synchronises
	if err := os.WriteFile(beside, []byte(content), 0o660); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(beside, full); err != nil {
		t.Fatal(err)
	}
}

// remove deletes a file or directory of the node's home. Our master may write the
// merged file of a group while its directory goes.
func (n *node) remove(path string) {
	n.cluster.t.Helper()
	wait(n.cluster.t, patience, func() string {
		if err := os.RemoveAll(filepath.Join(n.home, path)); err != nil {
			return err.Error()
		}
		return ""
	})
}

// read gives a file of the node's home, or what is wrong with it.
func (n *node) read(path string) string {
	content, err := os.ReadFile(filepath.Join(n.home, path))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// has says whether a path is there.
func (n *node) has(path string) bool {
	_, err := os.Lstat(filepath.Join(n.home, path))
	return err == nil
}

// replace changes a text of a file of the node's home.
func (n *node) replace(path, old, by string) {
	t := n.cluster.t
	t.Helper()
	full := filepath.Join(n.home, path)
	content, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(content), old, by)
	if changed == string(content) {
		t.Fatalf("%s of %s holds no %q", path, n, old)
	}
	if err := os.WriteFile(full, []byte(changed), 0o640); err != nil {
		t.Fatal(err)
	}
}

// removeHome removes all of an ended node. A real node leaves a process behind
// that clears up after it, for which this waits.
func (n *node) removeHome() error {
	var err error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); pause() {
		if left, _ := filepath.Glob(filepath.Join(n.home, "var/run/wazuh-db-*.pid")); len(left) > 0 {
			continue
		}
		if err = os.RemoveAll(n.home); err == nil {
			break
		}
	}
	if _, statErr := os.Stat(n.home); err == nil && !errors.Is(statErr, fs.ErrNotExist) {
		err = fmt.Errorf("%s does not get empty", n.home)
	}
	return err
}

// turn is how often a condition is looked at.
const turn = 50 * time.Millisecond

func pause() { <-time.After(turn) }

// wait polls until nothing is wrong any more.
func wait(t *testing.T, limit time.Duration, wrong func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		why := wrong()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, why)
		}
		pause()
	}
}
