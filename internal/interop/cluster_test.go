package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"testudo/internal/home"
)

// key is the key of all clusters here.
const key = "0123456789abcdefGHIJKLMNOPQRSTUV"

// plan says whose nodes a cluster has.
type plan struct {
	master  maker
	workers []maker
	keeping keeping // of the agent databases; usually each node has its maker's
	enrols  bool    // agents enrol at all nodes
}

// The ways in which two makers meet.
var (
	oursUnderTheirs = plan{master: theirs, workers: []maker{ours}}
	theirsUnderOurs = plan{master: ours, workers: []maker{theirs}}
	theirsOverOurs  = plan{master: theirs, workers: []maker{theirs}, keeping: served}
	oursOverTheirs  = plan{master: ours, workers: []maker{ours}, keeping: external}
	mixedUnder      = func(m maker) plan { return plan{master: m, workers: []maker{ours, theirs}} }
)

func (p plan) String() string {
	names := make([]string, 0, len(p.workers))
	for _, w := range p.workers {
		names = append(names, string(w)+" worker")
	}
	text := strings.Join(names, " and ") + " under " + string(p.master) + " master"
	if p.keeping != "" {
		text += ", " + string(p.keeping)
	}
	return text
}

// each runs a test for some plans, beside other tests.
func each(t *testing.T, test func(t *testing.T, p plan), plans ...plan) {
	t.Helper()
	needReference(t)
	t.Parallel()
	eachAlone(t, test, plans...)
}

// eachAlone is each for what needs a machine that has time: no other tests run.
func eachAlone(t *testing.T, test func(t *testing.T, p plan), plans ...plan) {
	t.Helper()
	needReference(t)
	for _, p := range plans {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// cluster is a master and its workers.
type cluster struct {
	t         *testing.T
	reference string
	program   string
	dir       string
	port      int
	settings  map[string]string // of cluster.json, by path
	keeping   keeping
	enrols    bool
	master    *node
	workers   []*node
	made      []*node // all of them, to be removed
	known     []explanation
}

// quick are the settings of all nodes: seconds instead of minutes.
func quick() map[string]string {
	return map[string]string{
		"intervals.worker.sync_integrity":              "1",
		"intervals.worker.sync_agent_info":             "2",
		"intervals.worker.keep_alive":                  "2",
		"intervals.worker.connection_retry":            "1",
		"intervals.worker.agent_groups_mismatch_limit": "2",
		"intervals.master.recalculate_integrity":       "1",
		"intervals.master.sync_agent_groups":           "2",
		"intervals.master.agent_group_start_delay":     "2",
		"intervals.master.check_worker_lastkeepalive":  "2",
	}
}

// newCluster makes the homes of a cluster. change may alter the settings. The
// workers begin with no synchronised file at all.
func newCluster(t *testing.T, p plan, change ...func(settings map[string]string)) *cluster {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A short name: the sockets of real nodes are below it.
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, reference: needReference(t), program: executable, dir: dir, port: freePort(t), settings: quick(), keeping: p.keeping, enrols: p.enrols}
	t.Cleanup(c.close)
	for _, f := range change {
		f(c.settings)
	}
	c.master = c.add(p.master, master, "m", "m")
	for i, m := range p.workers {
		c.workers = append(c.workers, c.addWorker(m, fmt.Sprintf("w%d", i+1)))
	}
	return c
}

// addWorker makes the home of a worker that has no synchronised file yet.
func (c *cluster) addWorker(m maker, name string) *node { return c.addWorkerIn(name, m, name) }

// addWorkerIn is addWorker with a home of another name. The node is not yet one
// of the cluster's.
func (c *cluster) addWorkerIn(dir string, m maker, name string) *node {
	c.t.Helper()
	n := c.add(m, worker, name, dir)
	for _, path := range n.files() {
		n.remove(path)
	}
	return n
}

func (c *cluster) add(m maker, role, name, dir string) *node {
	c.t.Helper()
	n := &node{maker: m, role: role, name: name, home: filepath.Join(c.dir, dir), keeping: c.keeping, cluster: c}
	c.made = append(c.made, n)
	var err error
	switch {
	case n.isExternal(), n.isInstalled():
		err = c.makeExternal(n)
	case m == ours:
		err = c.makeOurs(n)
	default:
		err = c.makeTheirs(n)
	}
	if err != nil {
		c.t.Fatalf("make %s: %v", n, err)
	}
	return n
}

func (c *cluster) makeOurs(n *node) error {
	spec := home.Spec{Role: n.role, Name: n.name, Key: key, Master: "127.0.0.1", Bind: "127.0.0.1", Port: c.port, Metrics: "off", EnrolPort: -1}
	if c.enrols {
		n.enrolPort = freePort(c.t)
		spec.EnrolPort, spec.EnrolBind = n.enrolPort, "127.0.0.1"
	}
	if _, err := home.Init(n.home, spec, false); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.home, "etc/cluster.json"), c.clusterJSON(), 0o640)
}

// makeExternal makes a home of theirs for a node of ours. One that leaves the
// database to the daemon there is told so by a setting as a master, and by its
// name as a worker.
func (c *cluster) makeExternal(n *node) error {
	if err := c.makeTheirs(n); err != nil {
		return err
	}
	settings := "metrics:\n  address: \"\"\n"
	if n.isExternal() && n.role == master {
		settings += "services:\n  agentdb: external\n"
	}
	if c.enrols {
		settings += "services:\n  enrolment: external\n"
	}
	if err := os.WriteFile(filepath.Join(n.home, "etc/testudo.yaml"), []byte(settings), 0o640); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.home, "etc/cluster.json"), c.clusterJSON(), 0o640)
}

func (c *cluster) makeTheirs(n *node) error {
	cmd := exec.Command(filepath.Join(c.reference, "mkhome"), n.home, n.role, n.name, key, fmt.Sprint(c.port), "127.0.0.1", "wazuh")
	settings := make([]string, 0, len(c.settings))
	for path, value := range c.settings {
		settings = append(settings, path+"="+value)
	}
	cmd.Env = append(n.environment(), "REFERENCE_SET="+strings.Join(settings, " "))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkhome: %w: %s", err, output)
	}
	if c.enrols {
		return n.addAuth()
	}
	return nil
}

// clusterJSON writes the settings as the file that our nodes read.
func (c *cluster) clusterJSON() []byte {
	sections := map[string][]string{}
	for path, value := range c.settings {
		part := strings.Split(path, ".")
		sections[part[1]] = append(sections[part[1]], fmt.Sprintf("%q: %s", part[2], value))
	}
	var text []string
	for section, values := range sections {
		text = append(text, fmt.Sprintf("%q: {%s}", section, strings.Join(values, ", ")))
	}
	return []byte(`{"intervals": {` + strings.Join(text, ", ") + "}}\n")
}

// explain takes it as right that nodes of a kind write a line.
func (c *cluster) explain(e ...explanation) { c.known = append(c.known, e...) }

// nodes is all of them, the master first.
func (c *cluster) nodes() []*node { return append([]*node{c.master}, c.workers...) }

// start starts all nodes, the master first, and waits until all workers are
// connected.
func (c *cluster) start() {
	c.t.Helper()
	c.startMaster()
	for _, w := range c.workers {
		w.start()
	}
	for _, w := range c.workers {
		w.waitFor(0, connected)
	}
}

// What both makers' nodes write.
const (
	serving   = `INFO: \[Master\] \[Main\] Serving on \('127\.0\.0\.1', \d+\)`
	connected = `INFO: \[Worker [^\]]+\] \[Main\] Successfully connected to master\.`
	inStep    = `INFO: \[Worker [^\]]+\] \[Integrity check\] Finished in \d+\.\d{3}s\. Sync not required\.`
)

// startMaster starts the master and waits until it listens.
func (c *cluster) startMaster() {
	c.t.Helper()
	before := c.master.count(serving)
	c.master.start()
	c.master.waitFor(before, serving)
}

// close ends all nodes and removes their homes; a failed test shows the logs.
func (c *cluster) close() {
	for _, n := range slices.Backward(c.made) {
		n.stop()
		n.stopDatabase()
		if c.t.Failed() {
			c.t.Log(n.tail())
		}
	}
	if c.t.Failed() && os.Getenv("INTEROP_KEEP") != "" {
		c.t.Log("homes are kept in", c.dir)
		return
	}
	for _, n := range c.made {
		if err := n.removeHome(); err != nil {
			c.t.Error(err)
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}

// freePort finds a port that nobody listens on, below those that the system
// gives to outgoing connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 12000 + rand.IntN(20000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
