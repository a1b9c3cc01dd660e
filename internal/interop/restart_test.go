package interop

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// Either end ends, asked to or killed, between transfers and in the middle of
// one, and comes back.
func TestRestart(t *testing.T) {
	each(t, testRestart, oursUnderTheirs, theirsUnderOurs)
}

func testRestart(t *testing.T, p plan) {
	c := newCluster(t, p)
	c.explain(interrupted()...)
	c.start()
	c.waitInStep()
	number := 0
	for _, n := range c.nodes() {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			n.end(signal)
			number++
			c.master.write(fmt.Sprintf("%sbetween%d", lists, number), "while one of us was away\n")
			c.master.write(rules, fmt.Sprintf("<group name=\"g%d\"/>\n", number))
			c.comeBack(n)
			c.waitInStep()
			t.Log("in step after", signal, "to", n, "between transfers")
		}
	}
	for _, n := range c.nodes() {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			number++
			c.endInTransfer(n, signal, number)
			c.comeBack(n)
			c.waitInStep()
			t.Log("in step after", signal, "to", n, "in a transfer")
		}
	}
	c.verify()
}

// comeBack starts a node again and waits until both are connected.
func (c *cluster) comeBack(n *node) {
	c.t.Helper()
	before := make([]int, len(c.workers))
	for i, w := range c.workers {
		before[i] = w.count(connected)
	}
	if n == c.master {
		c.startMaster()
	} else {
		n.start()
	}
	for i, w := range c.workers {
		if n == c.master || n == w {
			w.waitFor(before[i], connected)
		}
	}
}

// endInTransfer ends a node at a random instant of a transfer of many files.
func (c *cluster) endInTransfer(n *node, signal syscall.Signal, number int) {
	c.t.Helper()
	const begun = `\[Integrity sync\] Starting\.`
	before := c.master.count(begun)
	for i := range 150 {
		c.master.write(fmt.Sprintf("%sgroup%d/%d", shared, i%3, i), noise(uint64(number), 20<<10))
	}
	c.master.write(lists+"large", noise(uint64(number), 6<<20))
	c.master.waitFor(before, begun)
	<-time.After(time.Duration(rand.IntN(150)) * time.Millisecond)
	n.end(signal)
}

// interrupted explains the lines of nodes whose peer has gone.
func interrupted() []explanation {
	return append(parting(), []explanation{
		mergedAnew(),
		{"our worker", `Could not connect to master\. Trying again in 1 seconds\.`, "nobody listens while the master is away"},
		{"their worker", `Could not connect to master\. Trying again in 10 seconds\.`, "the same; the number is a part of the text"},
		{"our worker", `Connection closed due to an unhandled error: (connection reset by peer|broken pipe|the connection was closed in the middle of a frame)$`, "a killed master takes no leave"},
		{"their worker", `Connection closed due to an unhandled error: \[Errno (32|104)\]`, "the same"},
		{"our master", `Error during connection with 'w1': (connection reset by peer|broken pipe|the connection was closed in the middle of a frame)\.$`, "a killed worker takes no leave"},
		{"their master", `Error during connection with 'w1': \[Errno (32|104)\]`, "the same"},
		{theirs.node(), `^Unhandled exception|Task exception was never retrieved`, "a real node does not catch all that an ended connection raises"},
		{"", `wazuh-db: ERROR: at run_worker\(\): `, "a real database daemon sees that its client was killed"},
		{"our worker", `Groups without a directory (not removed|are kept for the time being)\.`, "a real master that has just started has not looked at its files yet and has all of a worker's removed; the groups stay"},
	}...)
}

// Either end stands still for longer than the other is patient, and goes on.
func TestFrozen(t *testing.T) {
	eachAlone(t, testFrozen, oursUnderTheirs, theirsUnderOurs)
}

func testFrozen(t *testing.T, p plan) {
	c := newCluster(t, p, func(s map[string]string) {
		s["intervals.worker.keep_alive"] = "1"
		s["intervals.master.check_worker_lastkeepalive"] = "1"
		s["intervals.master.max_allowed_time_without_keepalive"] = "4"
		s["intervals.communication.timeout_cluster_request"] = "2"
	})
	c.explain(interrupted()...)
	c.explain(frozen()...)
	c.start()
	c.waitInStep()
	for _, n := range c.nodes() {
		before := c.workers[0].count(connected)
		if err := n.process.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.master.write(rules, "<group name=\"while "+n.name+" stood still\"/>\n")
		<-time.After(8 * time.Second)
		if err := n.process.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.workers[0].waitFor(before, connected)
		c.waitInStep()
		t.Log("in step after", n, "stood still")
	}
	c.verify()
}

// frozen explains the lines of nodes whose peer stands still.
func frozen() []explanation {
	const timeout = `Error 3020 - Timeout sending request: `
	return []explanation{
		{"", `\[Keep Alive\] (Error sending keep alive: ` + timeout + `echo-c|Maximum number of failed keep alives reached\. Disconnecting\.)$`, "the master does not answer"},
		{"", `\[Keep alive\] No keep alives have been received from w1 in the last minute\. Disconnecting$`, "the worker says nothing"},
		{"", `Error asking for permission: ` + timeout + `syn_[ai]_w_m_p$`, "the master does not answer"},
		{"", `Could not connect to master: ` + timeout + `hello\.`, "the master's system takes connections for it"},
		{"their master", `\[Main\] (There was an error while trying to send a string: )?` + timeout, "the worker does not answer"},
		{"", `Error 3028 - Worker node ID already exists: w1`, "a real master that goes on keeps the old connection for a moment"},
		{"their master", `\[Worker\] \[Main\] Error during handshake with incoming connection\.`, "so it takes leave of the second connection"},
		{"our master", `The worker has connected again and its old connection does not answer\.`, "the connections of the worker's tries were waiting"},
	}
}
