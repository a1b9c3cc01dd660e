package integrity_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"testudo/internal/clustertest"
)

// A worker that cannot store packages is one failure, not a new one each round.
func TestCluster_PackagesThatCannotBeStoredAreToldOnce(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		worker := c.StartWorker("1")
		time.Sleep(inStep) // the bubble's
		worker.Remove("queue/cluster/1")
		worker.Write("queue/cluster/1", "in the way")
		for i := range 6 { // another file comes first each time
			boss.Write(fmt.Sprintf("etc/lists/%d", 9-i), incompressible(300_000))
			time.Sleep(10 * time.Second) // the bubble's
		}
		for node, line := range map[*clustertest.Node]string{boss: `Error sending zip file`, worker: `Unhandled error processing`} {
			if n := node.Log.Count(line); n != 1 {
				t.Errorf("%s: %d lines %q: %q", node.Name, n, line, node.Log.Errors())
			}
		}
		worker.Remove("queue/cluster/1")
		if err := os.Mkdir(filepath.Join(worker.Home, "queue/cluster/1"), 0o770); err != nil {
			t.Fatal(err)
		}
		c.WaitEqual(time.Minute)
		c.Verify(`.`)
	})
}

// A worker that has asked and is behind is not shown in step, though what it
// lacks cannot be found out while its metadata do not arrive.
func TestMaster_WorkerThatCannotBeCheckedIsBehind(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/rules/a.xml", "a")
		c.StartWorker("1")
		c.WaitEqual(inStep)
		time.Sleep(inStep) // the bubble's
		boss.Remove("queue/cluster/1")
		boss.Write("queue/cluster/1", "in the way")
		boss.Write("etc/rules/a.xml", "b")
		time.Sleep(inStep)
		if trouble, _ := boss.Master.Trouble("1"); trouble.Err == nil || !trouble.InStepSince.IsZero() {
			t.Errorf("trouble: %+v", trouble)
		}
		if n := boss.Store.NodeState("1"); !n.Connected || !n.InStepSince.IsZero() {
			t.Errorf("shown as %+v", n)
		}
		boss.Remove("queue/cluster/1")
		if err := os.Mkdir(filepath.Join(boss.Home, "queue/cluster/1"), 0o770); err != nil {
			t.Fatal(err)
		}
		c.WaitEqual(time.Minute)
		time.Sleep(inStep)
		if n := boss.Store.NodeState("1"); n.InStepSince.IsZero() {
			t.Error("in step again, and not shown so")
		}
		c.Verify(`.`)
	})
}
