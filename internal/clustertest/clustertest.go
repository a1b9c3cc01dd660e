// Package clustertest runs a whole cluster in one process, on an in-memory
// network and real files, usually inside a testing/synctest bubble. Each test
// ends with Verify.
package clustertest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"testudo/internal/bundle"
	"testudo/internal/cluster"
	"testudo/internal/config"
	"testudo/internal/faultnet"
	"testudo/internal/filetree"
	"testudo/internal/health"
	"testudo/internal/integrity"
	"testudo/internal/manifest"
	"testudo/internal/memnet"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// Key is the cluster key of all nodes.
const Key = "0123456789abcdef0123456789ABCDEF"

// MasterName is the master's node name.
const MasterName = "boss"

// Cluster is one master and its workers.
type Cluster struct {
	T       *testing.T
	Dir     string
	Network *memnet.Network
	Faults  *faultnet.Control // on the workers' connections
	Config  *config.Config    // what all nodes share; change it before Start
	Plain   bool              // workers speak 4.7.5 only
	Package bundle.Limits     // of what workers take; change it before StartWorker

	key   *wire.Key
	nodes map[string]*Node
}

// New makes a cluster without nodes, with the default configuration.
func New(t *testing.T) *Cluster {
	t.Helper()
	key, err := wire.NewKey(Key)
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{
		T: t, Dir: t.TempDir(), Network: memnet.New(), Faults: faultnet.New(),
		Config: config.Default(""), key: key, nodes: make(map[string]*Node),
		Package: bundle.Limits{Members: 100_000, MemberBytes: 1 << 30, TotalBytes: 1 << 30},
	}
}

// Node is one node. Its home stays when it stops.
type Node struct {
	Name   string
	Alias  string // the node name it gives itself, when that is not Name
	Home   string
	Master *integrity.Master // of the master
	Worker *integrity.Worker // of a worker
	Tree   *filetree.Tree
	Store  *States
	Board  *health.Board
	Log    *Lines

	cluster *Cluster
	cancel  context.CancelFunc
	done    sync.WaitGroup
	close   []func()
}

// Node returns a node by name, with an empty home when it is new.
func (c *Cluster) Node(name string) *Node {
	c.T.Helper()
	if n := c.nodes[name]; n != nil {
		return n
	}
	n := &Node{Name: name, Home: filepath.Join(c.Dir, name), cluster: c, Log: &Lines{}, Store: &States{}}
	for _, dir := range []string{"etc/shared/default", "etc/rules", "etc/decoders", "etc/lists", "var/multigroups", "queue/cluster", "queue/db"} {
		if err := os.MkdirAll(filepath.Join(n.Home, dir), 0o770); err != nil {
			c.T.Fatal(err)
		}
	}
	c.nodes[name] = n
	return n
}

// StartMaster starts the master.
func (c *Cluster) StartMaster() *Node {
	c.T.Helper()
	n := c.Node(MasterName)
	root, tree, ctx := n.begin()
	com, own := c.Config.Intervals.Communication, c.Config.Intervals.Master
	spool, err := bundle.OpenSpool(root, "queue/cluster/.spool", 1<<30, com.CompressLevel)
	if err != nil {
		c.T.Fatal(err)
	}
	n.close = append(n.close, func() { _ = spool.Close() })
	n.Master = integrity.NewMaster(integrity.MasterConfig{
		Node: n.Name, Version: "4.7.5", Items: c.Config.Items, Recalculate: own.RecalculateIntegrity, MaxLocked: own.MaxLockedIntegrityTime,
		ReceiveTimeout: com.TimeoutReceivingFile, MaxZip: com.MaxZipSize, MinZip: com.MinZipSize,
		Tolerance: com.ZipLimitTolerance, Level: com.CompressLevel,
		Limits:     manifest.Limits{Entries: 100_000, Bytes: 16 << 20},
		HoldShrink: true, ShrinkRatio: 0.5, Decision: n.Store.takeDecision, Held: n.Store.SetHeld,
		Home: root, States: n.Store, Health: n.Board, Log: n.logger(),
	}, tree, spool)
	master := cluster.NewMaster(cluster.MasterConfig{
		NodeName: n.Name, Cluster: "wazuh", Version: "4.7.5", Session: c.session(root, n),
		Limits:     cluster.AdmissionLimits{Connections: 100, PerAddress: 100, StrangersPerAddress: 50},
		CheckEvery: own.CheckWorkerLastKeepAlive, MaxSilence: own.MaxAllowedTimeWithoutKeepAlive,
		ProbeTimeout: 5 * time.Second, Log: n.logger(),
	}, n.Master)
	listener, err := c.Network.Listen("10.0.0.1:1516")
	if err != nil {
		c.T.Fatal(err)
	}
	n.run(ctx, n.Master.Run)
	n.run(ctx, func(ctx context.Context) error { return master.Serve(ctx, listener) })
	return n
}

// StartWorker starts a worker.
func (c *Cluster) StartWorker(name string) *Node {
	c.T.Helper()
	n := c.Node(name)
	root, tree, ctx := n.begin()
	com, own := c.Config.Intervals.Communication, c.Config.Intervals.Worker
	n.Worker = integrity.NewWorker(integrity.WorkerConfig{
		Node: name, Items: c.Config.Items, Interval: own.SyncIntegrity, ReceiveTimeout: com.TimeoutReceivingFile, Level: com.CompressLevel,
		Package: c.Package,
		Limits:  manifest.Limits{Entries: 100_000, Bytes: 16 << 20},
		States:  n.Store, Health: n.Board, Log: n.logger(),
	}, tree)
	host := c.Network.Host("10.0.1." + name)
	dial := c.Faults.Dialer(host.DialContext)
	worker := cluster.NewWorker(cluster.WorkerConfig{
		Hello:  session.Hello{Name: cmp.Or(n.Alias, name), Cluster: "wazuh", Type: "worker", Version: "4.7.5"},
		Master: "10.0.0.1", Port: 1516, Session: c.session(root, n),
		KeepAlive: own.KeepAlive, MaxFailed: own.MaxFailedKeepAlives, Retry: own.ConnectionRetry,
		Plain: c.Plain,
		Dial:  func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) },
		Log:   n.logger(),
	}, n.Worker)
	n.run(ctx, n.Worker.Run)
	n.run(ctx, worker.Run)
	return n
}

func (c *Cluster) session(root *os.Root, n *Node) session.Config {
	return session.Config{Key: c.key, Home: root, RequestTimeout: c.Config.Intervals.Communication.TimeoutRequest, Log: n.logger()}
}

func (n *Node) begin() (*os.Root, *filetree.Tree, context.Context) {
	t := n.cluster.T
	t.Helper()
	n.Board = health.New()
	root, err := os.OpenRoot(n.Home)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := filetree.Open(n.Home, filetree.Options{Items: n.cluster.Config.Items, CacheFile: "queue/db/testudo-digests", Workers: 1, UID: -1, GID: -1, Log: n.logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.cancel, n.Tree = cancel, tree
	n.close = []func(){func() { _ = root.Close() }, func() { _ = tree.Close() }}
	return root, tree, ctx
}

func (n *Node) run(ctx context.Context, task func(context.Context) error) {
	n.done.Go(func() {
		if err := task(ctx); err != nil && ctx.Err() == nil {
			n.cluster.T.Errorf("%s ended: %v", n.Name, err)
		}
	})
}

// Stop stops a node and waits for all of it.
func (n *Node) Stop() {
	if n.cancel == nil {
		return
	}
	n.cancel()
	n.done.Wait()
	for _, f := range slices.Backward(n.close) {
		f()
	}
	n.cancel = nil
}

// Stop stops all nodes.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		n.Stop()
	}
}

// Write saves a file in a node's home.
func (n *Node) Write(path, content string) {
	n.cluster.T.Helper()
	full := filepath.Join(n.Home, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o770); err != nil {
		n.cluster.T.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o660); err != nil {
		n.cluster.T.Fatal(err)
	}
}

// Remove deletes a file or directory of a node's home.
func (n *Node) Remove(path string) {
	n.cluster.T.Helper()
	if err := os.RemoveAll(filepath.Join(n.Home, path)); err != nil {
		n.cluster.T.Fatal(err)
	}
}

// Read returns a file's content, or what went wrong in angle brackets.
func (n *Node) Read(path string) string {
	content, err := os.ReadFile(filepath.Join(n.Home, path))
	if err != nil {
		return fmt.Sprintf("<%v>", err)
	}
	return string(content)
}

func (n *Node) logger() *slog.Logger { return slog.New(n.Log) }
