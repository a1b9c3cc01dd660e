package integrity_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/fault"
	"testudo/internal/faultnet"
	"testudo/internal/filestate"
	"testudo/internal/recording"
	"testudo/internal/session"
)

// incompressible is content that needs its own size on the wire.
func incompressible(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

func TestCluster_CorruptedConnections(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for i := range 40 {
			boss.Write(fmt.Sprintf("etc/shared/default/file%d", i), incompressible(500))
		}
		// Each connection has one byte turned over, a little later each time.
		c.Faults.Script(func(n int) []faultnet.Fault {
			if n > 30 {
				return nil
			}
			return []faultnet.Fault{faultnet.Corrupt(faultnet.Direction(n%2), int64(5+n*n*25), 0x10)}
		})
		c.StartMaster()
		c.StartWorker("1")
		c.WaitEqual(20 * time.Minute)
		c.Verify(`.`)
	})
}

func TestCluster_SlowConnections(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/lists/large", incompressible(2<<20))
		boss.Write("etc/lists/small", "small")
		c.Faults.Script(func(int) []faultnet.Fault {
			return []faultnet.Fault{faultnet.Delay(faultnet.Read, 0, 300*time.Millisecond), faultnet.Delay(faultnet.Write, 0, 300*time.Millisecond)}
		})
		c.StartMaster()
		c.StartWorker("1")
		c.WaitEqual(5 * time.Minute)
		c.Verify()
	})
}

func TestCluster_MasterIsReplacedByOneWithOtherFiles(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for i := range 30 {
			boss.Write(fmt.Sprintf("etc/rules/old%d.xml", i), "old")
		}
		boss.Write("etc/rules/both.xml", "old")
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		boss.Stop()
		if err := os.RemoveAll(boss.Home); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"queue/cluster", "queue/db"} {
			if err := os.MkdirAll(filepath.Join(boss.Home, dir), 0o770); err != nil {
				t.Fatal(err)
			}
		}
		boss.Write("etc/rules/both.xml", "new")
		boss.Write("etc/shared/group/agent.conf", "new")
		c.StartMaster()
		c.WaitEqual(time.Minute)
		if got := worker.Read("etc/rules/both.xml"); got != "new" {
			t.Errorf("the worker has %q", got)
		}
		c.Verify(`connect to master`, `Error during connection`)
	})
}

// Two live workers of one name never push each other out; when one goes the
// other has its place.
func TestCluster_TwoWorkersOfOneName(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "0")
		c.StartMaster()
		first, second := c.Node("1"), c.Node("2")
		first.Alias, second.Alias = "twin", "twin"
		c.StartWorker("1")
		c.Wait(inStep, func() string { return need("0", first.Read("etc/rules/a.xml")) })
		c.StartWorker("2")
		in, out := first, second
		for round := range 4 {
			want := fmt.Sprint(round + 1)
			boss.Write("etc/rules/a.xml", want)
			time.Sleep(2 * time.Minute) // the bubble's
			if got := in.Read("etc/rules/a.xml"); got != want {
				t.Errorf("round %d: the one connected has %q", round, got)
			}
			if got := out.Read("etc/rules/a.xml"); got == want {
				t.Errorf("round %d: the other got the change", round)
			}
			in.Stop()
			c.Wait(inStep, func() string { return need(want, out.Read("etc/rules/a.xml")) })
			c.StartWorker(in.Name)
			in, out = out, in
		}
		if !second.Log.Has(`already exists: twin`) {
			t.Error("the worker does not say why it is refused")
		}
		out.Stop()
		if err := os.RemoveAll(filepath.Join(out.Home, "etc/rules")); err != nil {
			t.Fatal(err)
		}
		in.Stop()
		c.StartWorker(out.Name)
		c.WaitEqual(time.Minute)
	})
}

// A worker whose connection hangs on the master's side comes back within
// seconds and not when the master has noticed the silence.
func TestCluster_HangingSessionGivesUpItsPlace(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		for _, conn := range c.Faults.Conns() {
			conn.Inject(faultnet.HalfOpen(faultnet.Read, 0))
		}
		worker.Stop()
		boss.Write("etc/rules/a.xml", "b")
		c.StartWorker("1")
		c.WaitEqual(15 * time.Second)
		if !boss.Log.Has(`its old connection does not answer`) {
			t.Error("the master does not say that it ended the old connection")
		}
		c.Verify(`already exists`)
	})
}

// A worker that gets no byte for timeout_receiving_file calls the package off;
// the master then sends smaller ones, and larger ones again later.
func TestCluster_CalledOffPackageShrinksTheLimit(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		com := &c.Config.Intervals.Communication
		com.TimeoutReceivingFile, com.MaxZipSize, com.MinZipSize = 15*time.Second, 1<<20, 128<<10
		boss := c.Node(clustertest.MasterName)
		for i := range 6 {
			boss.Write(fmt.Sprintf("etc/lists/list%d", i), incompressible(150<<10))
		}
		c.StartMaster()
		c.Faults.Script(func(int) []faultnet.Fault {
			return []faultnet.Fault{faultnet.Delay(faultnet.Read, 400<<10, 20*time.Second), faultnet.Delay(faultnet.Read, 400<<10+1, 0)}
		})
		c.StartWorker("1")
		c.WaitEqual(10 * time.Minute)
		if !boss.Log.Has(`Sync size limit is now 0 MB`) {
			t.Error("the limit has not shrunk")
		}
		for i := range 6 {
			boss.Write(fmt.Sprintf("etc/lists/list%d", i), "small")
		}
		for i := range 12 { // quick ones
			boss.Write("etc/lists/list0", fmt.Sprint(i))
			c.WaitEqual(inStep)
		}
		if !boss.Log.Has(`Sync size limit is now 1 MB`) {
			t.Error("the limit has not grown again")
		}
		c.Verify(`cancel`, `Timeout`, `Error sending zip file`, `Error synchronizing files`, `receiv`)
	})
}

// cancel_task ends a transfer in its middle, and only the one it names.
func TestCluster_CancelInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/lists/large", incompressible(5<<20))
		c.StartMaster()
		c.Faults.Script(func(int) []faultnet.Fault {
			return []faultnet.Fault{faultnet.Delay(faultnet.Read, 0, 10*time.Millisecond)}
		})
		cancel := string(fault.New(fault.ReceiveTimeout, nil).JSON())
		begun := make(chan struct{}, 1)
		mux := session.NewMux()
		mux.Handle("syn_m_c", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			begun <- struct{}{}
			return session.OK("the-task"), nil
		})
		p, end := hostileWorker(t, c, "w", mux)
		defer end()
		c.Wait(time.Minute, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
		p.check(text("files_metadata.json", "{}"))
		<-begun
		c.Wait(time.Minute, func() string { return p.received(1 << 20) })
		p.ask("cancel_task", "another-task "+cancel)
		c.Wait(time.Minute, func() string { return p.received(3 << 20) })
		p.ask("cancel_task", "the-task "+cancel)
		c.Wait(5*time.Second, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
		if p.received(5<<20) == "" {
			t.Error("the whole file came all the same")
		}
		for _, line := range []string{`no task_id was received`, `was canceled due to`, `cancelled by the receiver`} {
			if !boss.Log.Has(line) {
				t.Errorf("the log does not say %q", line)
			}
		}
	})
}

// received says what is missing when less than so many bytes of an upload have
// come.
func (p *peer) received(atLeast int64) string {
	found, err := filepath.Glob(filepath.Join(p.home, "queue/cluster/*/*.zip"))
	if err != nil || len(found) != 1 {
		return fmt.Sprintf("uploads: %v, %v", found, err)
	}
	info, err := os.Stat(found[0])
	if err != nil {
		return err.Error()
	}
	if info.Size() < atLeast {
		return fmt.Sprintf("%d bytes have come", info.Size())
	}
	return ""
}

// A worker that refuses syn_m_c is told nothing and asked for nothing more; its
// files are shown as failed, and its next check is answered.
func TestCluster_RefusedSync(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		asked := make(chan struct{}, 10)
		mux := session.NewMux()
		mux.Handle("syn_m_c", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			asked <- struct{}{}
			return session.Reply{}, errors.New("not today")
		})
		p, end := hostileWorker(t, c, "w", mux)
		defer end()
		for range 3 {
			c.Wait(time.Minute, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
			p.check(text("files_metadata.json", "{}"))
			<-asked
		}
		c.Wait(time.Minute, func() string {
			row := boss.Store.File("w", "etc/rules/a.xml")
			if row.State != filestate.Failed || !strings.Contains(row.Reason, "not today") {
				return fmt.Sprintf("the file is %q: %s", row.State, row.Reason)
			}
			return ""
		})
		if n := boss.Log.Count(`Error sending zip file`); n != 1 {
			t.Errorf("%d lines about the same refusal", n)
		}
	})
}

// What a worker cannot apply, and why, is known at the master at once.
func TestCluster_FailuresAreReportedToTheMaster(t *testing.T) {
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss, worker := c.Node(clustertest.MasterName), c.Node("1")
		boss.Write("etc/rules/a.xml", "a")
		boss.Write("etc/rules/b.xml", "b")
		worker.Write("etc/rules/a.xml/in the way.tmp", "no business of the cluster")
		c.StartMaster()
		c.StartWorker("1")
		c.Wait(inStep, func() string { return need("b", worker.Read("etc/rules/b.xml")) })
		for _, n := range []*clustertest.Node{boss, worker} {
			if n == boss && c.Plain {
				continue
			}
			c.Wait(time.Second, func() string {
				row := n.Store.File("1", "etc/rules/a.xml")
				if row.State != filestate.Failed || !strings.Contains(row.Reason, "in the way") {
					return fmt.Sprintf("at %s the file is %q: %s", n.Name, row.State, row.Reason)
				}
				return ""
			})
		}
		worker.Remove("etc/rules/a.xml")
		c.WaitEqual(inStep)
		c.Wait(inStep, func() string {
			if row := boss.Store.File("1", "etc/rules/a.xml"); row.State != filestate.Synchronized {
				return fmt.Sprintf("the healed file is %q: %s", row.State, row.Reason)
			}
			return ""
		})
		c.Verify(`Error processing`)
	})
}

// The real rules, decoders and lists reach every worker byte for byte.
func TestCluster_RealRuleset(t *testing.T) {
	source := recording.Path(t, "data/ruleset")
	run(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for _, dir := range []string{"rules", "decoders", "lists"} {
			to := filepath.Join(boss.Home, "etc", dir)
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(to, os.DirFS(filepath.Join(source, dir))); err != nil {
				t.Fatal(err)
			}
		}
		c.StartMaster()
		for _, name := range []string{"1", "2"} {
			c.StartWorker(name)
		}
		c.WaitEqual(time.Minute)
		c.Verify()
		for _, name := range []string{"1", "2"} {
			sameFiles(t, boss, c.Node(name))
		}
	})
}

// sameFiles compares two homes byte for byte.
func sameFiles(t *testing.T, a, b *clustertest.Node) {
	t.Helper()
	seen := 0
	for _, dir := range []string{"etc/rules", "etc/decoders", "etc/lists"} {
		err := filepath.WalkDir(filepath.Join(a.Home, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(a.Home, path)
			if err == nil && a.Read(rel) != b.Read(rel) {
				t.Errorf("%s differs", rel)
			}
			seen++
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 100 {
		t.Errorf("only %d files", seen)
	}
}
