package integrity_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/clustertest"
	"testudo/internal/faultnet"
	"testudo/internal/filestate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inStep is how long a worker may take to get a change, with the default
// intervals: the master's scan, its own turn, the confirmation.
const inStep = 30 * time.Second

// run runs a test in a bubble of its own time, once with workers that use the
// extensions and once with workers that speak 4.7.5 only.
func run(t *testing.T, test func(t *testing.T, c *clustertest.Cluster)) {
	for _, plain := range []bool{false, true} {
		name := map[bool]string{false: "extended", true: "plain"}[plain]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(t)
				c.Plain = plain
				defer c.Stop()
				test(t, c)
			})
		})
	}
}

func TestCluster_WorkerGetsAllFiles(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/client.keys", "001 web01 any 0123456789abcdef\n")
		for i := range 300 {
			boss.Write(fmt.Sprintf("etc/shared/group%d/file%d.conf", i%7, i), strings.Repeat("x", i*10))
		}
		boss.Write("etc/rules/with separator.xml", "a|@@//@@|b|//@@//|c|@@//@@|@@//@@|")
		boss.Write("etc/shared/default/named.merged.conf", "a file whose name 4.7.5 nodes cannot synchronise")
		for _, name := range []string{"1", "2", "3"} {
			c.StartWorker(name)
		}
		c.WaitEqual(inStep)
		c.Verify()
	})
}

func TestCluster_ChangesFollow(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		for i := range 20 {
			boss.Write(fmt.Sprintf("etc/lists/list%d", i), "one")
		}
		boss.Write("etc/shared/web/agent.conf", "<agent_config/>")
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		boss.Write("etc/lists/list3", "two")
		boss.Write("etc/decoders/new.xml", "<decoder/>")
		boss.Remove("etc/lists/list4")
		boss.Remove("etc/shared/web")
		c.WaitEqual(inStep)
		if got := worker.Read("etc/lists/list3"); got != "two" {
			t.Errorf("list3 at the worker is %q", got)
		}
		if _, err := os.Stat(filepath.Join(worker.Home, "etc/shared/web")); !os.IsNotExist(err) {
			t.Errorf("the emptied group directory is still there: %v", err)
		}
		c.Verify()
	})
}

func TestCluster_WorkersOwnChangesAreUndone(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		c.StartMaster().Write("etc/rules/local.xml", "<group/>")
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		worker.Write("etc/rules/local.xml", "tampered")
		worker.Write("etc/rules/planted.xml", "planted")
		c.WaitEqual(inStep)
		c.Verify()
	})
}

func TestCluster_EitherEndRestarts(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/rules/a.xml", "a")
		boss.Write("etc/rules/b.xml", "b")
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		worker.Stop()
		boss.Write("etc/rules/a.xml", "while the worker was away")
		c.StartWorker("1")
		c.WaitEqual(inStep)

		boss.Stop()
		boss.Write("etc/rules/b.xml", "while the master was away")
		c.StartMaster()
		c.WaitEqual(time.Minute)
		c.Verify(`Could not connect to master`)
	})
}

func TestCluster_ConnectionIsCutAtEachPlace(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		for i := range 40 {
			boss.Write(fmt.Sprintf("etc/shared/default/file%d", i), strings.Repeat(fmt.Sprint(i), 500))
		}
		// Each connection breaks a little later than the one before.
		c.Faults.Script(func(n int) []faultnet.Fault {
			if n > 30 {
				return nil
			}
			return []faultnet.Fault{faultnet.Reset(faultnet.Direction(n%2), int64(150+n*n*20))}
		})
		c.StartWorker("1")
		c.WaitEqual(10 * time.Minute)
		c.Verify(`.`)
	})
}

func TestCluster_HalfOpenConnectionIsNoticed(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/rules/a.xml", "a")
		c.StartWorker("1")
		c.WaitEqual(inStep)
		for _, conn := range c.Faults.Conns() {
			conn.Inject(faultnet.HalfOpen(faultnet.Direction(0), 0), faultnet.HalfOpen(faultnet.Direction(1), 0))
		}
		boss.Write("etc/rules/a.xml", "b")
		c.WaitEqual(5 * time.Minute)
		c.Verify(`.`)
	})
}

func TestCluster_TooLargeForPlainWorkers(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Config.Intervals.Communication.MaxZipSize = 100_000
		c.Config.Intervals.Communication.MinZipSize = 50_000
		boss := c.StartMaster()
		boss.Write("etc/lists/large", strings.Repeat("0123456789", 20_000))
		boss.Write("etc/lists/small", "small")
		worker := c.StartWorker("1")
		if !c.Plain {
			c.WaitEqual(inStep)
			c.Verify()
			return
		}
		c.Wait(inStep, func() string {
			row := boss.Store.File("1", "etc/lists/large")
			if row.State != filestate.Failed || !strings.Contains(row.Reason, "too large") {
				return fmt.Sprintf("state of the large file is %q %q", row.State, row.Reason)
			}
			if got := worker.Read("etc/lists/small"); got != "small" {
				return "the small file did not arrive: " + got
			}
			return ""
		})
		if n := boss.Log.Count("too large"); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
	})
}

func TestCluster_ManyPackages(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Config.Intervals.Communication.MaxZipSize = 4_000
		c.Config.Intervals.Communication.MinZipSize = 2_000
		boss := c.StartMaster()
		for i := range 50 {
			boss.Write(fmt.Sprintf("etc/lists/list%d", i), fmt.Sprint(i*i*i*i))
		}
		c.StartWorker("1")
		c.WaitEqual(10 * time.Minute)
		c.Verify()
	})
}

func TestCluster_ShrinkIsHeldBack(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/client.keys", "001 web01 any 0123456789abcdef\n")
		for i := range 20 {
			boss.Write(fmt.Sprintf("etc/rules/%d.xml", i), "rule")
		}
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		boss.Write("etc/client.keys", "")
		c.Wait(inStep, held(boss, "client.keys has become empty"))
		if h := boss.Store.Held(); h == nil || !strings.Contains(h.Detail, "client.keys") {
			t.Errorf("recorded as held back: %v", h)
		}
		boss.Write("etc/client.keys", "2 b any 0\n") // somebody enrols
		c.Wait(inStep, held(boss, "most of its keys are still missing"))
		boss.Write("etc/client.keys", "001 web01 any 0123456789abcdef\n2 b any 0\n")
		c.Wait(inStep, held(boss, ""))
		if h := boss.Store.Held(); h != nil {
			t.Errorf("still recorded as held back: %v", h)
		}

		// A restart does not forget what was accepted.
		boss.Stop()
		boss.Remove("etc/rules")
		c.StartMaster()
		c.Wait(inStep, held(boss, "20 of 21 synchronised files are gone"))
		time.Sleep(time.Minute) // the bubble's
		if got := worker.Read("etc/rules/7.xml"); got != "rule" {
			t.Errorf("the worker lost a held back file: %s", got)
		}
		boss.Store.AcceptShrink()
		c.WaitEqual(time.Minute)
		c.Verify(`held back`, `Could not connect to master`)
	})
}

func held(boss *clustertest.Node, want string) func() string {
	return func() string {
		for _, cond := range boss.Board.All() {
			if cond.Name == "shrink-held" {
				if want != "" && strings.Contains(cond.Detail, want) {
					return ""
				}
				return "held: " + cond.Detail
			}
		}
		if want == "" {
			return ""
		}
		return "not held"
	}
}

func TestCluster_NobodyIsComparedBeforeTheFirstScan(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.Node("1").Write("etc/rules/a.xml", "a")
		c.StartWorker("1")
		c.StartMaster()
		c.WaitEqual(time.Minute)
		if c.Node("1").Log.Has("Sync required") {
			t.Error("a worker that had everything was told to synchronise")
		}
		c.Verify(`Could not connect to master`)
	})
}

func TestCluster_WhatIsShownOfAnAbsentWorkerStaysTrue(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		boss.Write("etc/rules/b.xml", "b")
		c.StartMaster()
		worker := c.StartWorker("1")
		c.Wait(inStep, func() string {
			if boss.Store.NodeState("1").InStepSince.IsZero() {
				return "not in step"
			}
			return ""
		})
		worker.Stop()
		boss.Write("etc/rules/a.xml", "changed meanwhile")
		c.Wait(inStep, func() string {
			a, b := boss.Store.File("1", "etc/rules/a.xml"), boss.Store.File("1", "etc/rules/b.xml")
			if a.State != filestate.Pending || b.State != filestate.Synchronized {
				return fmt.Sprintf("shown as %q and %q", a.State, b.State)
			}
			if n := boss.Store.NodeState("1"); n.Connected || !n.InStepSince.IsZero() {
				return "still shown as connected or in step"
			}
			return ""
		})
		c.StartWorker("1")
		c.WaitEqual(inStep)
		c.Verify()
	})
}
