package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"testudo/internal/atomicfile"
)

// ErrInUse is returned (inside a *InUseError) when another process runs a node
// in the home.
var ErrInUse = errors.New("home is in use")

// InUseError says who runs a node in a home.
type InUseError struct {
	Home string
	PID  int    // 0 when not known
	As   string // the program as which it was started, as StartedAs gives it
}

// Error names the home and the process.
func (e *InUseError) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("%s is in use by process %d", e.Home, e.PID)
	}
	return e.Home + " is in use by another process"
}

// Unwrap gives ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

// CleanQueue empties the working directory of a home, where a crash can have
// left anything, and removes what writings of package atomicfile that were cut
// off left beside the node's own files. The socket of local programs stays. A
// missing directory is made. The caller holds the home's lock.
func CleanQueue(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("clean %s: %w", QueueDir, err)
	}
	defer root.Close()
	if _, err := makeDirectories(root, leadingTo(QueueDir)); err != nil {
		return err
	}
	queue, err := root.OpenRoot(QueueDir)
	if err != nil {
		return fmt.Errorf("clean %s: %w", QueueDir, err)
	}
	defer queue.Close()
	entries, err := fs.ReadDir(queue.FS(), ".")
	if err != nil {
		return fmt.Errorf("clean %s: %w", QueueDir, err)
	}
	var failed []error
	for _, e := range entries {
		if e.Name() == Socket && e.Type() == fs.ModeSocket {
			continue // whoever listens there next looks whether somebody still does
		}
		if err := queue.RemoveAll(e.Name()); err != nil {
			failed = append(failed, fmt.Errorf("clean %s: %w", QueueDir, err))
		}
	}
	for _, d := range []string{stateDir, RunDir} {
		failed = append(failed, cleanTemporary(root, d))
	}
	return errors.Join(failed...)
}

// cleanTemporary removes the temporary files of one directory, which need not
// be there.
func cleanTemporary(root *os.Root, dir string) error {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clean %s: %w", dir, err)
	}
	var failed []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !atomicfile.IsTemporary(e.Name()) {
			continue
		}
		if err := root.Remove(dir + "/" + e.Name()); err != nil {
			failed = append(failed, fmt.Errorf("clean %s: %w", dir, err))
		}
	}
	return errors.Join(failed...)
}

// Daemon is the name by which pid files are found.
const Daemon = "wazuh-clusterd"

func pidPath(pid int) string { return fmt.Sprintf("%s/%s-%d.pid", RunDir, Daemon, pid) }

// WritePID leaves the pid file of a running node, by which the control script
// and others see that it runs.
func WritePID(dir string, pid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	defer root.Close()
	o := atomicfile.Options{Mode: 0o640, UID: atomicfile.Keep, GID: atomicfile.Keep}
	if err := atomicfile.Write(root, pidPath(pid), []byte(strconv.Itoa(pid)+"\n"), o); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// RemovePID removes the pid file of pid. One that is gone already is fine.
func RemovePID(dir string, pid int) error {
	err := os.Remove(filepath.Join(dir, pidPath(pid)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}

var pidFile = regexp.MustCompile(`^` + Daemon + `\w*-([0-9]{1,10})\.pid$`)

// ClearPIDs removes the pid files, of the daemon and of the original's child
// processes, that a crash left. It returns the pids that they named.
//
// Where such a process of the original still runs in this home, it is left
// alone and a *InUseError returned. The original kills whatever has the number
// by now; ours looks whether it is what the file says. Nodes of our own are kept
// apart by Lock, which comes first.
func ClearPIDs(dir string) (removed []int, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, RunDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for pid files: %w", err)
	}
	for _, e := range entries {
		parts := pidFile.FindStringSubmatch(e.Name())
		if parts == nil {
			continue
		}
		pid, err := strconv.Atoi(parts[1])
		if err == nil && runsOriginal(pid, dir) {
			return removed, &InUseError{Home: dir, PID: pid}
		}
		if err := os.Remove(filepath.Join(dir, RunDir, e.Name())); err != nil {
			return removed, fmt.Errorf("remove old pid file: %w", err)
		}
		removed = append(removed, pid)
	}
	return removed, nil
}

// originalScript is the program that a process of the original shows as its
// first argument.
const originalScript = "wazuh_clusterd.py"

// runsOriginal says whether pid is a process of the original's daemon in the
// home. Without /proc nothing can be known and the answer is no.
func runsOriginal(pid int, dir string) bool {
	if pid == os.Getpid() {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && isOriginal(string(line), dir)
}

func isOriginal(commandLine, dir string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	for argument := range strings.SplitSeq(commandLine, "\x00") {
		inHome := strings.HasPrefix(argument, filepath.Clean(dir)+"/") || strings.HasPrefix(argument, real+"/")
		if inHome && filepath.Base(argument) == originalScript {
			return true
		}
	}
	return false
}
