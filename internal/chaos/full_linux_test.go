package chaos

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/filestate"
	"testudo/internal/fleet"
)

// small mounts a file system of so many KiB, with room to grow, or skips.
func small(t *testing.T, dir string, kib int) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("no small file system can be mounted here (mount: %v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func grow(t *testing.T, dir string, kib int) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Fatal(err)
	}
}

// mounted makes a cluster of a master and a worker, one of which has only so
// much space for one of its directories ("." for all of it).
func mounted(t *testing.T, name, sub string, kib int) (f *fleet.Fleet, n *fleet.Node, dir string) {
	t.Helper()
	top := t.TempDir()
	if sub == "." {
		dir = filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o770); err != nil {
			t.Fatal(err)
		}
		small(t, dir, kib)
	}
	f = cluster(t, fleet.Options{Workers: 1, Dir: top, Keep: true})
	for _, n = range f.Nodes() {
		if n.Name == name {
			break
		}
	}
	if sub != "." {
		dir = filepath.Join(n.Home, sub)
		small(t, dir, kib)
	}
	return f, n, dir
}

func bytesOf(t *testing.T, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// A full disk costs a worker nothing it has: its files stay whole, log and file
// states say what is wrong, and all is well when there is space again.
func TestFull_DiskOfTheWorker(t *testing.T) {
	for _, tc := range []struct {
		name, sub string
		kib       int
		ownLog    bool // the worker can still write its log
		states    bool // and the states of its files
	}{
		{"all of it", ".", 2048, false, false},
		{"where packages arrive", "queue/cluster", 512, true, false},
		{"where files belong", "etc/lists", 512, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, dir := mounted(t, "worker1", tc.sub, tc.kib)
			fullDisk(t, f, dir, tc.ownLog, tc.states)
		})
	}
}

func fullDisk(t *testing.T, f *fleet.Fleet, dir string, ownLog, states bool) {
	if err := f.Start(within(t, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	boss, worker := f.Master(), f.Workers()[0]
	old, large := chaosDirs[2]+"/chaos-old", chaosDirs[2]+"/chaos-large"
	for _, path := range []string{old, large} {
		put(t, boss, path, string(describe(path, bytesOf(t, 20<<10))))
	}
	waitEqual(t, f, 15*time.Second)
	before := tree(t, worker)

	put(t, boss, large, string(describe(large, bytesOf(t, 3<<20))))
	eventually(t, 30*time.Second, func() string {
		if row := failedRow(t, boss, worker.Name, large); !strings.Contains(row.Reason, "no space left") {
			return fmt.Sprintf("the master says %q: %s; the worker's log ends:\n%s", row.State, row.Reason, tail(worker, 5))
		}
		return ""
	})
	if ownLog && !strings.Contains(logText(worker), "no space left") {
		t.Errorf("the worker's log does not say why:\n%s", tail(worker, 10))
	}
	if states {
		eventually(t, 10*time.Second, func() string {
			if row := failedRow(t, worker, worker.Name, large); !strings.Contains(row.Reason, "no space left") {
				return fmt.Sprintf("the worker says %q: %s", row.State, row.Reason)
			}
			return ""
		})
	}
	checkWhole(t, worker)
	for _, e := range before.Entries() {
		if _, err := os.Stat(filepath.Join(worker.Home, e.Path)); err != nil {
			t.Errorf("lost: %v", err)
		}
	}
	pause(t, 2*time.Second) // some rounds with a full disk
	grow(t, dir, 64<<10)
	waitEqual(t, f, 30*time.Second)
	eventually(t, 10*time.Second, func() string {
		if row := failedRow(t, boss, worker.Name, large); row.State == filestate.Failed {
			return "it is still failed: " + row.Reason
		}
		return ""
	})
	verify(t, f)
}

// failedRow is what a node says of a file that failed at a node; a zero row
// when it has not.
func failedRow(t *testing.T, at *fleet.Node, node, file string) filestate.Row {
	t.Helper()
	rows, err := filestate.Query(t.Context(), filepath.Join(at.Home, "queue/db/cluster.db"),
		filestate.Filter{Node: node, State: filestate.Failed, FilePrefix: file})
	if err != nil {
		return filestate.Row{Reason: err.Error()}
	}
	for _, r := range rows {
		if r.File == file {
			return r
		}
	}
	return filestate.Row{}
}
