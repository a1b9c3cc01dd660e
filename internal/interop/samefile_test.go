package interop

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// snapshot is all that a database says.
type snapshot struct {
	Tables    *tables
	Schema    []row
	Inventory []row
}

func (k *crowd) snapshot(n *node) *snapshot {
	t := k.c.t
	t.Helper()
	tables, err := n.readTables()
	if err != nil {
		t.Fatal(err)
	}
	// Tables of our own would have such names.
	// Tables of our own are of no concern to the real daemon (docs/agentdb.md §8).
	schema, err := n.rows("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE substr(tbl_name, 1, 2) <> 't_' ORDER BY type, name")
	if err != nil {
		t.Fatal(err)
	}
	s := &snapshot{Tables: tables, Schema: schema}
	for _, id := range []string{"001", "002"} {
		s.Inventory = append(s.Inventory, row{id: n.tell("agent " + id + " sql SELECT * FROM sys_programs ORDER BY name, version")})
	}
	return s
}

func (k *crowd) sameAs(before *snapshot, who string) {
	k.c.t.Helper()
	if diff := cmp.Diff(before, k.snapshot(k.c.master), cmp.AllowUnexported(tables{})); diff != "" {
		k.c.t.Errorf("%s reads something else: %s", who, short(diff))
	}
}

// change writes something of each kind into the master's database.
func (k *crowd) change(round int) *snapshot {
	k.c.t.Helper()
	all := k.ids(nil)
	k.report(round, all[round:])
	k.stayAlive(all[:round+1])
	k.assign(someGroups(all[round:], round))
	for _, id := range []string{"001", "002"} {
		k.c.master.tell("agent " + id + " dbsync packages INSERTED " + text(map[string]any{
			"scan_time": "2026/01/01 00:00:00", "name": "paket-ü", "version": strings.Repeat("1.", round) + "0", "architecture": "amd64",
			"format": "deb", "location": "", "priority": "optional", "groups": "utils", "size": 100 * round, "vendor": "someone",
			"install_time": nil, "multiarch": nil, "source": nil, "description": "packt \"ein\"", "checksum": agentKey(round), "item_id": agentKey(round),
		}))
	}
	return k.snapshot(k.c.master)
}

// embed makes an external node one that keeps its database itself, in the same
// home, and back.
func (n *node) embed(embedded bool) {
	n.cluster.t.Helper()
	who := "external"
	n.keeping = external
	if embedded {
		who, n.keeping = "embedded", ""
	}
	settings := "metrics:\n  address: \"\"\nservices:\n  agentdb: " + who + "\n"
	if err := os.WriteFile(filepath.Join(n.home, "etc/testudo.yaml"), []byte(settings), 0o640); err != nil {
		n.cluster.t.Fatal(err)
	}
}

// One file, and the real daemon and our node in turns, each reading what the
// other wrote.
func TestSameFile(t *testing.T) {
	each(t, testSameFile, plan{master: ours, keeping: external})
}

func testSameFile(t *testing.T, p plan) {
	c := newCluster(t, p)
	k := newCrowd(c, 40)
	m := c.master
	m.startDatabase()
	k.insert(m)
	written := k.change(1)
	for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		round := 2 + 2*i
		m.stopDatabase()
		m.embed(true)
		c.startMaster()
		k.sameAs(written, "our node")
		written = k.change(round)
		m.end(signal)
		m.embed(false)
		m.startDatabase()
		k.sameAs(written, "the real daemon")
		if got := m.tell("global sql PRAGMA integrity_check"); got != `[{"integrity_check":"ok"}]` {
			t.Errorf("integrity check after %v: %s", signal, got)
		}
		written = k.change(round + 1)
	}
	m.stopDatabase()
	m.embed(true)
	c.startMaster()
	k.sameAs(written, "our node")
	m.stop()
	c.checkLogs()
}

// Our node does not open a database that a real daemon has open.
func TestSameFile_InUse(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		k := newCrowd(c, 5)
		m := c.master
		m.startDatabase()
		k.insert(m)
		before := k.change(1)
		m.embed(true)
		m.start()
		ended := m.process.ended
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("our node runs beside a real database daemon", m.tail())
		}
		if code := m.process.cmd.ProcessState.ExitCode(); code == 0 {
			t.Error("it ends as if all were well")
		}
		m.process = nil
		const refusal = `global.db.* agent database is in use by another process: stop that, or set "services.agentdb: external" to be its client`
		output, err := os.ReadFile(m.outputPath())
		if err != nil || !matches(refusal, string(output)) {
			t.Errorf("%v, %s", err, output)
		}
		c.explain(explanation{"our master", refusal, "a real database daemon runs there"})
		k.sameAs(before, "the real daemon")
		c.checkLogs()
	}, plan{master: ours, keeping: external})
}
