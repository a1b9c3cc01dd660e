package integrity_test

import (
	"strings"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/integrity"
)

func TestMaster_Status(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		boss.Write("etc/rules/b.xml", "b")
		c.StartMaster()
		if _, known := boss.Master.Status("1"); known {
			t.Error("a worker that was never here has a status")
		}
		began := time.Now()
		c.Node("1").Write("etc/rules/b.xml", "another b")
		c.Node("1").Write("etc/lists/extra", "x")
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)

		s, known := boss.Master.Status("1")
		if !known || !s.Free || !s.Synced || s.Missing != 1 || s.Shared != 1 || s.Extra != 1 {
			t.Errorf("after the first synchronisation: %+v, %v", s, known)
		}
		for what, span := range map[string][2]time.Time{"check": {s.CheckStarted, s.CheckEnded}, "sync": {s.SyncStarted, s.SyncEnded}} {
			if span[0].Before(began) || span[1].Before(span[0]) || span[1].After(time.Now()) {
				t.Errorf("%s from %v to %v", what, span[0], span[1])
			}
		}
		time.Sleep(inStep)
		later, _ := boss.Master.Status("1")
		if !later.CheckEnded.After(s.CheckEnded) || later.SyncEnded != s.SyncEnded || later.Missing != 1 {
			t.Errorf("checks without a difference: %+v", later)
		}
		worker.Stop()
		time.Sleep(time.Second)
		if _, known := boss.Master.Status("1"); known {
			t.Error("a worker that has gone has a status")
		}
		c.StartWorker("1")
		time.Sleep(inStep)
		if s, known := boss.Master.Status("1"); !known || s.Synced || !s.SyncStarted.IsZero() || s.CheckEnded.IsZero() {
			t.Errorf("a new session in step: %+v, %v", s, known)
		}
		c.Verify()
	})
}

func TestReader_ReadsWhatChanged(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.StartMaster()
		boss.Write("etc/rules/a.xml", "a")
		reader := integrity.NewReader(boss.Tree)
		for _, content := range []string{"one", "two", "three"} {
			boss.Write("etc/rules/a.xml", content)
			m, err := reader.Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e, _ := m.Lookup("etc/rules/a.xml"); m.Len() != 1 || e.Size != int64(len(content)) {
				t.Errorf("after %q: %d files, %+v", content, m.Len(), e)
			}
		}
	})
}

// A worker that does not take a file stays behind, and the master can say why.
func TestMaster_Trouble(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		if _, known := boss.Master.Trouble("1"); known {
			t.Error("trouble of a worker that was never here")
		}
		c.Package.MemberBytes = 1000
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		trouble, known := boss.Master.Trouble("1")
		if !known || !trouble.Ready || trouble.InStepSince.IsZero() || !trouble.BehindSince.IsZero() || trouble.Err != nil || trouble.LeftCount > 0 {
			t.Errorf("in step: %+v, %v", trouble, known)
		}
		boss.Write("etc/rules/big.xml", incompressible(2000))
		changed := time.Now()
		time.Sleep(time.Minute)
		trouble, _ = boss.Master.Trouble("1")
		if !trouble.InStepSince.IsZero() || trouble.BehindSince.Before(changed) || trouble.BehindSince.After(changed.Add(inStep)) {
			t.Errorf("behind: %+v", trouble)
		}
		boss.Remove("etc/rules/big.xml")
		time.Sleep(inStep) // the trees are equal at once, but the master has to find out
		if trouble, _ := boss.Master.Trouble("1"); !trouble.BehindSince.IsZero() || trouble.Err != nil || trouble.LeftCount > 0 {
			t.Errorf("in step again: %+v", trouble)
		}
		worker.Stop()
		c.Verify(`.`)
	})
}

// The files that are named are few, whatever their number.
func TestMaster_TroubleNamesFewFiles(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.Config.Intervals.Communication.MaxZipSize = 10 << 10
		c.Config.Intervals.Communication.MinZipSize = 10 << 10
		c.Plain = true // to a Testudo worker large files go all the same
		for i := range 15 {
			boss.Write("etc/lists/big"+strings.Repeat("x", i), incompressible(11<<10))
		}
		c.StartMaster()
		c.StartWorker("1")
		time.Sleep(time.Minute)
		trouble, _ := boss.Master.Trouble("1")
		if len(trouble.Left) != 10 || trouble.LeftCount != 15 || trouble.Left[0].Path != "etc/lists/big" || !strings.Contains(trouble.Left[0].Reason, "too large") {
			t.Errorf("%+v", trouble)
		}
	})
}
