package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"testudo/internal/fleet"
	"testudo/internal/nodedb"
)

const (
	diskKiB    = 6 << 10 // of the small file system
	roomyKiB   = 64 << 10
	fullAgents = 60
	unable     = "The agent database cannot be written."
	ableAgain  = "The agent database can be written again."
)

// fill takes all space that a file system has left; the space comes back when
// the test says so, by growing it.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "ballast"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if err := errors.Join(f.Close(), ignore(err, unix.ENOSPC)); err != nil {
		t.Fatal(err)
	}
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// press writes to a node's database until so many writes were refused for want
// of space, or as many answered when none is to be refused.
func (r *reporter) press(ctx context.Context, home string, answers, refusals int) error {
	conn, err := dialDatabase(ctx, home)
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		id, command, after := r.next()
		r.touched[id] = true
		err := conn.Do(ctx, command)
		refused := new(nodedb.RefusedError)
		switch {
		case err == nil:
			r.answered[id] = after
			answers--
		case refusals > 0 && errors.As(err, &refused) && noRoom(refused.Text):
			refusals--
		default:
			return fmt.Errorf("%w, to %s", err, command)
		}
		if answers <= 0 && refusals <= 0 {
			return nil
		}
	}
	return fmt.Errorf("%d answers and %d refusals still awaited: %w", answers, refusals, ctx.Err())
}

// noRoom tells whether an answer speaks of a disk that is full. Two requests of
// the original have texts of their own for whatever goes wrong.
func noRoom(text string) bool {
	return strings.Contains(text, "database or disk is full") || strings.Contains(text, "disk I/O error") ||
		text == "An error occurred during the set of the groups"
}

func pressAll(t *testing.T, n *fleet.Node, crowd []*reporter, answers, refusals int) {
	t.Helper()
	g, ctx := errgroup.WithContext(within(t, time.Minute))
	for _, r := range crowd {
		g.Go(func() error { return r.press(ctx, n.Home, answers, refusals) })
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v; its log ends:\n%s", err, said(n))
	}
}

// said is all that a node has said: its log, and what went to standard error
// because the log could not be written.
func said(n *fleet.Node) string {
	output, err := os.ReadFile(filepath.Join(filepath.Dir(n.Home), n.Name+".out"))
	if err != nil {
		return err.Error()
	}
	return logText(n) + string(output)
}

// A disk that is full under a node: what is not written is not answered "ok",
// what there is can be read and stays whole, the node goes on and says what is
// wrong, and all is well by itself when there is space again.
func TestFull_DiskOfTheNode(t *testing.T) {
	for _, tc := range []struct{ name, node, sub string }{
		{"a worker's databases", "worker1", "queue/db"},
		{"all of a worker", "worker1", "."},
		{"a master's databases", "master", "queue/db"},
		{"all of a master", "master", "."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // mostly they wait
			f, n, dir := mounted(t, tc.node, tc.sub, diskKiB)
			full := &fullNode{Fleet: f, node: n, dir: dir, all: tc.sub == "."}
			full.begin(t)
			full.endure(t)
			full.heal(t)
		})
	}
}

// fullNode is a cluster, one of its nodes and that node's small disk.
type fullNode struct {
	*fleet.Fleet
	node  *fleet.Node
	dir   string
	all   bool // the disk holds all of the node, and not the databases alone
	crowd []*reporter
	pid   int
	old   string // client.keys before the disk was full
	large string // a file that finds no room at the worker
}

func (f *fullNode) onWorker() bool { return f.node.Role == "worker" }

// begin starts the nodes and has agents report while there is space.
func (f *fullNode) begin(t *testing.T) {
	t.Helper()
	boss, seed := f.Master(), seedOf(t)
	for i := range 4 {
		put(t, boss, fmt.Sprintf("etc/shared/g%d/agent.conf", i), "<agent_config/>")
	}
	keys(t, boss, fullAgents)
	if err := f.Start(within(t, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, f.Fleet, 15*time.Second)
	eventually(t, 30*time.Second, func() string { return agentsMissing(t, f.node) })
	eventually(t, 30*time.Second, func() string { return groupsMissing(t, f.node) })
	const writers = 3
	for w := range writers {
		r := &reporter{Rand: rand.New(rand.NewPCG(seed, uint64(w))), onWorker: f.onWorker(), answered: map[int]written{}, touched: map[int]bool{}}
		for id := 1 + w; id <= fullAgents; id += writers {
			if f.onWorker() {
				r.agents = append(r.agents, id)
			} else {
				r.fresh = append(r.fresh, id) // enrolment follows the key
			}
		}
		f.crowd = append(f.crowd, r)
	}
	pressAll(t, f.node, f.crowd, 40, 0)
	f.pid, f.old = f.node.PID(), content(t, f.node, "etc/client.keys")
}

func agentsMissing(t *testing.T, n *fleet.Node) string {
	t.Helper()
	conn, err := dialDatabase(within(t, time.Minute), n.Home)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	ids := make([]int, fullAgents)
	for i := range ids {
		ids[i] = i + 1
	}
	if rows := asked(t, conn, ids); len(rows) < fullAgents {
		return fmt.Sprintf("%d of %d agents are there", len(rows), fullAgents)
	}
	return ""
}

func content(t *testing.T, n *fleet.Node, path string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(n.Home, path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// endure fills the disk and looks at what goes on.
func (f *fullNode) endure(t *testing.T) {
	t.Helper()
	boss, worker := f.Master(), f.Workers()[0]
	fill(t, f.dir)
	pressAll(t, f.node, f.crowd, 0, 25)
	f.read(t) // nothing refused was written
	f.change(t)
	pressAll(t, f.node, f.crowd, 0, 25)
	if f.onWorker() && f.all {
		eventually(t, 30*time.Second, func() string {
			if row := failedRow(t, boss, worker.Name, f.large); !strings.Contains(row.Reason, "no space left") {
				return fmt.Sprintf("the master says %q: %s; the worker's log ends:\n%s", row.State, row.Reason, tail(worker, 5))
			}
			return ""
		})
		if now := content(t, worker, "etc/client.keys"); now != f.old && now != content(t, boss, "etc/client.keys") {
			t.Errorf("client.keys is neither the old one nor the new one: %d bytes", len(now))
		}
	}
	checkWhole(t, worker)
	if times := strings.Count(said(f.node), unable); times != 1 {
		t.Errorf("it was said %d times that %q:\n%s", times, unable, said(f.node))
	}
	f.read(t)
	if pid := f.node.PID(); pid != f.pid {
		t.Errorf("process %d became %d", f.pid, pid)
	}
}

// read looks at the node while its disk is full. Rows that are behind what was
// answered cannot follow then, and a reading of them says that.
func (f *fullNode) read(t *testing.T) {
	t.Helper()
	conn, err := dialDatabase(within(t, time.Minute), f.node.Home)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _, err = conn.Call(t.Context(), "global sql SELECT max(last_keepalive) AS latest FROM agent")
	if refused := new(nodedb.RefusedError); errors.As(err, &refused) && noRoom(refused.Text) {
		return
	}
	look(t, f.node, f.crowd, true)
}

// change changes the master's files, as far as it has room for that.
func (f *fullNode) change(t *testing.T) {
	t.Helper()
	boss := f.Master()
	f.large = chaosDirs[2] + "/" + magic + "-large"
	if !f.onWorker() && f.all {
		from, to := filepath.Join(boss.Home, "etc/shared/g0/agent.conf"), filepath.Join(boss.Home, "etc/shared/g1/other.conf")
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		return
	}
	keys(t, boss, fullAgents+20)
	put(t, boss, f.large, string(describe(f.large, bytesOf(t, 1<<20))))
}

// heal makes room again.
func (f *fullNode) heal(t *testing.T) {
	t.Helper()
	grow(t, f.dir, roomyKiB)
	waitEqual(t, f.Fleet, 30*time.Second)
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(said(f.node), ableAgain) {
			return fmt.Sprintf("the end was not told; its log ends:\n%s", tail(f.node, 10))
		}
		return ""
	})
	pressAll(t, f.node, f.crowd, 40, 0)
	look(t, f.node, f.crowd, true)
	if f.onWorker() {
		eventually(t, 30*time.Second, func() string { return f.reportsMissing(t) })
	}
	if pid := f.node.PID(); pid != f.pid {
		t.Errorf("process %d became %d", f.pid, pid)
	}
	if err := os.Remove(filepath.Join(f.dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	verify(t, f.Fleet)
	soundAgents(t, f.node)
	if err := f.node.Start(); err != nil {
		t.Fatal(err)
	}
	look(t, f.node, f.crowd, true) // after a restart, too
	if err := f.node.Stop(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

// reportsMissing says which agent's data have not reached the master.
func (f *fullNode) reportsMissing(t *testing.T) string {
	t.Helper()
	conn, err := dialDatabase(within(t, time.Minute), f.Master().Home)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	for _, r := range f.crowd {
		rows := asked(t, conn, r.agents)
		for id, want := range r.answered {
			want.Alive = 0 // a keep-alive need not come at once
			if why := want.lacks(rows[id]); why != "" {
				return fmt.Sprintf("agent %d at the master: %s", id, why)
			}
		}
	}
	return ""
}
