package integrity_test

import (
	"fmt"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/faultnet"
	"testudo/internal/filestate"
)

// What a worker shows of itself is true without its master, and while a file
// cannot be put into its place.
func TestWorker_ItsOwnLineStaysTrue(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		worker := c.StartWorker("1")
		shown := func(connected, inStep bool) {
			t.Helper()
			c.Wait(time.Minute, func() string {
				if n := worker.Store.NodeState("1"); n.Connected != connected || n.InStepSince.IsZero() == inStep {
					return fmt.Sprintf("shown as connected: %v, in step since %v", n.Connected, n.InStepSince)
				}
				return ""
			})
		}
		shown(true, true)
		n := worker.Store.NodeState("1")
		if n.LastSync.IsZero() || n.LastSync.After(time.Now()) || n.Role != "worker" || n.Files != 1 {
			t.Errorf("in step: %+v", n)
		}

		boss.Write("etc/rules/dir", "a file where the worker has a directory")
		worker.Write("etc/rules/dir/kept~", "never synchronised")
		shown(true, false)
		c.Wait(time.Minute, func() string {
			if row := worker.Store.File("1", "etc/rules/dir"); row.State != filestate.Failed {
				return fmt.Sprintf("the file in whose place a directory stands is %q", row.State)
			}
			return ""
		})
		worker.Remove("etc/rules/dir")
		shown(true, true)

		boss.Stop()
		shown(false, false)
		if again := worker.Store.NodeState("1"); again.Role != "worker" || again.Files == 0 {
			t.Errorf("without a master: %+v", again)
		}
		c.StartMaster()
		shown(true, true)
		c.WaitEqual(time.Minute)
		c.Verify(`.`)
	})
}

// A package that did not reach the worker is no synchronisation.
func TestMaster_LastSyncIsOneThatSucceeded(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/lists/large", incompressible(200_000))
		c.Faults.Script(func(int) []faultnet.Fault { return []faultnet.Fault{faultnet.Reset(faultnet.Read, 50_000)} })
		c.StartWorker("1")
		c.Wait(time.Minute, func() string { // each session shows its own
			if boss.Store.NodeState("1").LastCheck.IsZero() {
				return "not checked yet"
			}
			return ""
		})
		time.Sleep(inStep) // the bubble's
		if n := boss.Store.NodeState("1"); !n.LastSync.IsZero() {
			t.Errorf("with packages that are cut off: %+v", n)
		}
		c.Faults.Script(nil)
		c.WaitEqual(time.Minute)
		if boss.Store.NodeState("1").LastSync.IsZero() {
			t.Error("the package that arrived does not count")
		}
	})
}
