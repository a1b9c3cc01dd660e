package integrity_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/clustertest"
	"testudo/internal/filestate"
)

// bad are things that stand where a file was and cannot be read as one.
func bad() map[string]func(path string) error {
	return map[string]func(path string) error{
		"a FIFO":           func(p string) error { return unix.Mkfifo(p, 0o660) },
		"a dangling link":  func(p string) error { return os.Symlink("nowhere", p) },
		"a link to itself": func(p string) error { return os.Symlink(filepath.Base(p), p) },
		"a link to a FIFO": func(p string) error {
			if err := unix.Mkfifo(p+".lock", 0o660); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(p)+".lock", p)
		},
	}
}

// become puts something else in a file's place.
func become(t *testing.T, n *clustertest.Node, path string, what func(string) error) {
	t.Helper()
	n.Remove(path)
	if err := what(filepath.Join(n.Home, path)); err != nil {
		t.Fatal(err)
	}
}

// twoRules starts a master with two rules and a worker that has them.
func twoRules(c *clustertest.Cluster) (boss, worker *clustertest.Node) {
	boss = c.Node(clustertest.MasterName)
	boss.Write("etc/rules/a.xml", "a")
	boss.Write("etc/rules/b.xml", "b")
	c.StartMaster()
	worker = c.StartWorker("1")
	c.WaitEqual(inStep)
	return boss, worker
}

// What the master cannot read is deleted nowhere, is shown as failed with its
// reason, and does not keep anything else from arriving.
func TestCluster_UnreadableOnTheMaster(t *testing.T) {
	for name, what := range bad() {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, c *clustertest.Cluster) {
				boss, worker := twoRules(c)

				become(t, boss, "etc/rules/a.xml", what)
				boss.Write("etc/rules/b.xml", "changed")
				boss.Write("etc/rules/c.xml", "new")
				c.Wait(inStep, func() string { return need("changed", worker.Read("etc/rules/b.xml")) })
				c.Wait(inStep, func() string { return need("new", worker.Read("etc/rules/c.xml")) })
				time.Sleep(time.Minute) // the bubble's
				if got := worker.Read("etc/rules/a.xml"); got != "a" {
					t.Errorf("the worker's copy of what the master cannot read is %q", got)
				}
				for _, node := range []string{clustertest.MasterName, "1"} {
					if row := boss.Store.File(node, "etc/rules/a.xml"); row.State != filestate.Failed || row.Reason == "" {
						t.Errorf("at %s the file is %q: %s", node, row.State, row.Reason)
					}
				}
				// The worker has all else, and goes on to have it.
				before := boss.Store.NodeState("1")
				time.Sleep(time.Minute)
				if now := boss.Store.NodeState("1"); before.InStepSince.IsZero() || now.InStepSince != before.InStepSince || now.Lag != before.Lag {
					t.Errorf("in step since %v with a lag of %v, a minute later since %v, %v", before.InStepSince, before.Lag, now.InStepSince, now.Lag)
				}
				// It stays so over a restart.
				boss.Stop()
				c.StartMaster()
				time.Sleep(time.Minute) // the bubble's
				if got := worker.Read("etc/rules/a.xml"); got != "a" {
					t.Errorf("after a restart the worker's copy is %q", got)
				}
				boss.Remove("etc/rules/a.xml")
				boss.Write("etc/rules/a.xml", "readable")
				c.WaitEqual(inStep)
				c.Verify(`Can't read metadata`, `connect to master`, `Error during connection`)
			})
		})
	}
}

// Another file that becomes unreadable while one is given up, with no other
// change, is noticed: the deleted one goes at the workers too.
func TestCluster_UnreadableTakesTurns(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for _, f := range []string{"a", "b", "c", "d"} {
			boss.Write("etc/rules/"+f, f)
		}
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		become(t, boss, "etc/rules/a", bad()["a FIFO"])
		c.Wait(inStep, func() string { return isFailed(boss, "etc/rules/a") })
		boss.Remove("etc/rules/a")
		if err := unix.Mkfifo(filepath.Join(boss.Home, "etc/rules/new"), 0o660); err != nil {
			t.Fatal(err)
		}
		c.Wait(inStep, func() string {
			if _, err := os.Stat(filepath.Join(worker.Home, "etc/rules/a")); err == nil {
				return "the worker still has the deleted file"
			}
			return ""
		})
		c.Verify(`Can't read metadata`)
	})
}

func isFailed(n *clustertest.Node, file string) string {
	if row := n.Store.File(n.Name, file); row.State != filestate.Failed {
		return fmt.Sprintf("%s is %q", file, row.State)
	}
	return ""
}

// Agents' keys that cannot be read and come back empty are still an accident.
func TestCluster_UnreadableKeysDoNotOpenTheGate(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		const keys = "001 web01 any 0123456789abcdef\n"
		boss.Write("etc/client.keys", keys)
		boss.Write("etc/rules/a.xml", "a")
		boss.Write("etc/rules/b.xml", "b")
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		become(t, boss, "etc/client.keys", bad()["a FIFO"])
		boss.Write("etc/rules/a.xml", "not held back")
		c.Wait(inStep, func() string { return need("not held back", worker.Read("etc/rules/a.xml")) })
		boss.Remove("etc/client.keys")
		boss.Write("etc/client.keys", "")
		c.Wait(inStep, held(boss, "client.keys has become empty"))
		if got := worker.Read("etc/client.keys"); got != keys {
			t.Errorf("the worker's keys are %q", got)
		}
		boss.Write("etc/client.keys", keys)
		c.WaitEqual(inStep)
		c.Verify(`Can't read metadata`, `held back`)
	})
}

// Whatever a worker has in the place of a file, the file comes.
func TestCluster_UnreadableOnAWorker(t *testing.T) {
	for name, what := range bad() {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, c *clustertest.Cluster) {
				boss, worker := twoRules(c)
				become(t, worker, "etc/rules/a.xml", what)
				boss.Write("etc/rules/b.xml", "changed")
				c.WaitEqual(inStep)
				if got := worker.Read("etc/rules/a.xml"); got != "a" {
					t.Errorf("the worker's file is %q", got)
				}
				worker.Remove("etc/rules/a.xml.lock")
				c.Verify(`Can't read metadata`)
			})
		})
	}
}

// Files become directories and directories files, on either end.
func TestCluster_FilesAndDirectoriesTradePlaces(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/shared/x", "file")
		boss.Write("etc/shared/y/one", "below")
		boss.Write("etc/shared/y/two/three", "further below")
		boss.Write("etc/lists/z", "file")
		for i := range 10 {
			boss.Write(fmt.Sprintf("etc/rules/%d.xml", i), "stays")
		}
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		boss.Remove("etc/shared/x")
		boss.Write("etc/shared/x/inside", "now a directory")
		boss.Remove("etc/shared/y")
		boss.Write("etc/shared/y", "now a file")
		c.WaitEqual(inStep)

		worker.Remove("etc/shared/y")
		worker.Write("etc/shared/y/own/deep", "own")
		worker.Remove("etc/shared/x")
		worker.Write("etc/shared/x", "own")
		become(t, worker, "etc/lists/z", func(p string) error { return os.MkdirAll(filepath.Join(p, "empty/below"), 0o770) })
		c.WaitEqual(inStep)
		if got := worker.Read("etc/lists/z"); got != "file" {
			t.Errorf("z at the worker is %q", got)
		}
		c.Verify()
	})
}

// A whole directory that cannot be read keeps its files at the workers.
func TestCluster_UnreadableDirectoryOnTheMaster(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for i := range 10 {
			boss.Write(fmt.Sprintf("etc/lists/%d", i), "list")
		}
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		become(t, boss, "etc/lists", func(p string) error { return os.WriteFile(p, nil, 0o660) })
		boss.Write("etc/rules/a.xml", "b")
		c.Wait(inStep, func() string { return need("b", worker.Read("etc/rules/a.xml")) })
		if got := worker.Read("etc/lists/7"); got != "list" {
			t.Errorf("the worker's list is %q", got)
		}
		if row := boss.Store.File("1", "etc/lists"); row.State != filestate.Failed || !strings.Contains(row.Reason, "directory") {
			t.Errorf("the directory is %q: %s", row.State, row.Reason)
		}
		boss.Remove("etc/lists")
		for i := range 10 {
			boss.Write(fmt.Sprintf("etc/lists/%d", i), "list")
		}
		c.WaitEqual(inStep)
		c.Verify(`Can't read metadata`)
	})
}
