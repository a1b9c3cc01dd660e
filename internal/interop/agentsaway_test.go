package interop

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// A transfer of each exchange has begun on both ends' logs.
const (
	infoArrives   = `INFO: \[Worker [^\]]+\] \[Agent-info sync\] Starting\.` // at the master
	groupsArrive  = `INFO: \[Worker [^\]]+\] \[Agent-groups recv\] Starting\.`
	infoStored    = `INFO: \[Worker w1\] \[Agent-info sync\] Finished in \d+\.\d{3}s\. Updated [1-9]\d* chunks\.`
	databaseGone  = `ERROR: .*Could not obtain data from wazuh-db: `
	databaseBreak = `(ERROR|WARNING): .*(Error 200[57]|wazuh-db|wdb socket)`
)

// Either end is killed in the middle of either exchange, and comes back.
func TestAgents_Killed(t *testing.T) {
	each(t, testAgentsKilled, oursUnderTheirs, theirsUnderOurs,
		oursOverTheirs)
}

func testAgentsKilled(t *testing.T, p plan) {
	c := newCluster(t, p)
	k := newCrowd(c, 600)
	c.explain(interrupted()...)
	c.explain(interruptedAgents()...)
	c.start()
	k.enrol()
	all := k.ids(nil)
	k.report(0, all)
	k.assign(someGroups(all, 0))
	k.waitAlike()
	w := c.workers[0]
	for round, n := range []*node{w, c.master, w, c.master} {
		round++
		before := c.master.count(infoArrives)
		k.report(round, all)
		c.master.waitFor(before, infoArrives)
		c.killSoon(n)
		if w.maker == theirs { // what a real worker has read out it does not send again
			k.stayAlive(all)
		}
		k.waitAlike()
		t.Log("alike after the end of", n, "amid agents' states")

		before = w.count(groupsArrive)
		k.assign(someGroups(all, round))
		w.waitFor(before, groupsArrive)
		c.killSoon(n)
		k.waitAlike()
		t.Log("alike after the end of", n, "amid groups")
	}
	k.verify()
}

// killSoon ends a node at a random instant that is near, and starts it again.
func (c *cluster) killSoon(n *node) {
	c.t.Helper()
	<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
	n.end(syscall.SIGKILL)
	c.comeBack(n)
}

// interruptedAgents explains the lines of the two exchanges whose peer has gone.
func interruptedAgents() []explanation {
	return []explanation{
		{"our worker", namesDiffering, "after a restart it gets everything, before or instead of what has changed"},
	}
}

// Agents go to another worker, and what the old one says of them afterwards is
// old.
func TestAgents_Move(t *testing.T) {
	each(t, testAgentsMove, plan{master: ours, workers: []maker{theirs, theirs}}, mixedUnder(ours))
}

func testAgentsMove(t *testing.T, p plan) {
	c := newCluster(t, p)
	k := newCrowd(c, 40)
	c.start()
	k.enrol()
	k.report(0, k.ids(nil))
	k.waitAlike()
	from, to := c.workers[0], c.workers[1]
	moving := k.ids(from)[:10]
	for round := 1; round <= 3; round++ {
		for _, id := range moving {
			k.at[id] = to
		}
		<-time.After(1100 * time.Millisecond) // their times are in seconds
		k.report(round, moving)
		k.waitAlike()
		// The old worker finds them silent, and says so.
		stored := `\[Worker ` + from.name + `\] \[Agent-info sync\] Finished in .* Updated [1-9]\d* chunks\.`
		before := c.master.count(stored)
		for _, id := range moving {
			from.tell("global update-status-code " + text(map[string]any{"id": id, "status_code": 4, "version": "Wazuh v4.0.0", "sync_status": "syncreq"}))
		}
		c.master.waitFor(before, stored)
		k.waitAlike()
		t.Log("alike after they went from", from, "to", to)
		from, to = to, from
	}
	k.verify()
}

// A real database daemon ends beside our node, and comes back.
func TestAgents_DatabaseAway(t *testing.T) {
	each(t, testDatabaseAway, plan{master: theirs, workers: []maker{ours}, keeping: external},
		plan{master: ours, workers: []maker{theirs}, keeping: external})
}

func testDatabaseAway(t *testing.T, p plan) {
	c := newCluster(t, p)
	k := newCrowd(c, 40)
	c.explain(
		explanation{ours.node(), databaseBreak, "its database is not there"},
		explanation{"their master", `There was an error while processing agent-groups on the peer: .* Could not connect to wdb socket`, "our worker says so of its database"},
	)
	c.start()
	k.enrol()
	all := k.ids(nil)
	k.report(0, all)
	k.waitAlike()
	n := c.workers[0]
	if c.master.isExternal() {
		n = c.master
	}
	n.stopDatabase()
	n.waitFor(0, databaseGone)
	c.master.write(rules, "<group name=\"meanwhile\"/>\n")
	c.waitEqual()
	n.startDatabase()
	k.report(1, all)
	k.assign(someGroups(all, 1))
	k.waitAlike()
	k.verify()
}
