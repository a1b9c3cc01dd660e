package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/config"
	"testudo/internal/metrics"
	"testudo/internal/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// homeOf makes the home of a node and its configuration. The path is short, for
// the socket.
func homeOf(t *testing.T, name string, role config.Role, port int) *config.Config {
	t.Helper()
	dir := shortdir.New(t)
	for _, below := range []string{"etc/shared/default", "queue/db", "queue/cluster", "var/multigroups", "backup/db"} {
		if err := os.MkdirAll(filepath.Join(dir, below), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	keys := "001 web-01 any " + strings.Repeat("a", 64) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/client.keys"), []byte(keys), 0o640); err != nil {
		t.Fatal(err)
	}
	c := config.Default(dir)
	c.Cluster.Disabled, c.Cluster.NodeName, c.Cluster.Role = false, name, role
	c.Cluster.Key, c.Cluster.BindAddr, c.Cluster.Nodes, c.Cluster.Port = config.Secret(strings.Repeat("k", 32)), "127.0.0.1", []string{"127.0.0.1"}, port
	c.Testudo.Metrics.Address = ""
	c.Intervals.Master.AgentGroupStartDelay, c.Intervals.Master.SyncAgentGroups = 100*time.Millisecond, 100*time.Millisecond
	return c
}

func build(t *testing.T, c *config.Config) (*Node, error) {
	t.Helper()
	return New(t.Context(), Options{
		Config: c, Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(c.Cluster.NodeName, string(c.Cluster.Role)), UID: -1, GID: -1,
	})
}

// run runs a node until the test ends.
func run(t *testing.T, c *config.Config) *Node {
	t.Helper()
	n, err := build(t, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		n.Close()
	})
	return n
}

// taken listens on a free port.
func taken(t *testing.T) (ln net.Listener, port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).Port
}

// A node that cannot be built leaves no socket that nobody answers.
func TestNew_LeavesNoSocket(t *testing.T) {
	_, port := taken(t)
	c := homeOf(t, "m", config.Master, port)
	if _, err := build(t, c); err == nil {
		t.Fatal("the port is taken, and nobody minds")
	}
	if _, err := os.Lstat(filepath.Join(c.Home, databaseSocket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there: %v", err)
	}
}

// What a removal of a group left that a crash cut short is gone with the next start.
func TestNew_CleansUpAfterRemovedGroups(t *testing.T) {
	_, port := taken(t)
	c := homeOf(t, "m", config.Master, port)
	left := filepath.Join(c.Home, "etc/.testudo-removed-"+strings.Repeat("A", 26))
	if err := os.MkdirAll(filepath.Join(left, "sub"), 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t, c); err == nil {
		t.Fatal("the port is taken, and nobody minds")
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// The master's status says how agents' states and groups travel.
func TestStatus_Agents(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	master := run(t, homeOf(t, "m", config.Master, port))
	worker := run(t, homeOf(t, "w1", config.Worker, port))
	soon := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// The agent comes with its key; until then there is nothing to update.
		if err := worker.agents.store.UpdateKeepalive(t.Context(), 1, "active", "syncreq"); err != nil {
			t.Fatal(err)
		}
		s := master.status().(Status)
		if len(s.Workers) == 1 {
			w := s.Workers[0]
			reported := w.AgentInfoFree != nil && w.LastAgentInfo != nil && w.LastAgentInfo.Chunks > 0 && w.LastAgentInfo.Ended != nil
			if reported && w.LastAgentGroup != nil && w.LastAgentGroup.Ended != nil {
				return
			}
		}
		if time.Now().After(soon) {
			t.Fatalf("%+v", s)
		}
		<-tick.C
	}
}

// Who finds a node ready finds the groups of its directories in the database.
func TestReady_GroupsOfAFirstStart(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	master, worker := homeOf(t, "m", config.Master, port), homeOf(t, "w1", config.Worker, port)
	for i := range 100 {
		dir := filepath.Join(master.Home, "etc/shared", fmt.Sprintf("group-%02d", i))
		if err := os.Mkdir(dir, 0o770); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte("<agent_config/>\n"), 0o660); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*config.Config{master, worker} {
		n := run(t, c)
		awaitReady(t, n)
		if names, err := n.agents.store.GroupNames(t.Context()); err != nil || len(names) != 101 {
			t.Errorf("%s is ready with %d groups, %v", c.Cluster.NodeName, len(names), err)
		}
	}
}

func awaitReady(t *testing.T, n *Node) {
	t.Helper()
	soon := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !n.ready() {
		select {
		case <-soon:
			t.Fatal("the node does not become ready")
		case <-tick.C:
		}
	}
}
