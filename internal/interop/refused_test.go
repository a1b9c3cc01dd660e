package interop

import "testing"

// refusal is a worker that must not get in.
type refusal struct {
	name string
	// spoil makes it one, and repair undoes that.
	spoil, repair func(c *cluster, w *node)
	// What the ends write, whoever made them.
	master, worker string
}

func refusals() []refusal {
	conf := func(old, by string) (spoil, repair func(*cluster, *node)) {
		return func(_ *cluster, w *node) { w.replace("etc/ossec.conf", old, by) },
			func(_ *cluster, w *node) { w.replace("etc/ossec.conf", by, old) }
	}
	otherKey, sameKey := conf(key, "VUTSRQPONMLKJIHGfedcba9876543210")
	otherName, sameName := conf("<name>wazuh</name>", "<name>other</name>")
	return []refusal{
		{
			name: "wrong key", spoil: otherKey, repair: sameKey,
			master: `ERROR: \[Worker\] \[Main\] Error during handshake with incoming connection: Error 3025 - Could not decrypt message\.`,
			worker: `\[Worker w1\] \[Main\] The master closed the connection`,
		},
		refused("wrong cluster name", "Error 3030 - Worker does not belong to the same cluster", otherName, sameName),
		refused("wrong version", "Error 3031 - Worker and master versions are not the same", otherVersion, sameVersion),
	}
}

// refused is a refusal that the master gives a reason for.
func refused(name, reason string, spoil, repair func(*cluster, *node)) refusal {
	return refusal{
		name: name, spoil: spoil, repair: repair,
		master: `ERROR: \[Worker[^\]]*\] \[Main\] Internal error processing request 'b'hello'': ` + reason,
		worker: `ERROR: \[Worker w1\] \[Main\] Could not connect to master: ` + reason,
	}
}

// Only our nodes can pretend to be of another version.
func otherVersion(c *cluster, _ *node) {
	for _, n := range c.nodes() {
		if n.maker == ours {
			n.write("etc/testudo.yaml", "version: 4.7.4\nmetrics:\n  address: \"\"\n")
			if n == c.master {
				n.stop()
				c.startMaster()
			}
		}
	}
}

func sameVersion(c *cluster, _ *node) {
	for _, n := range c.nodes() {
		if n.maker == ours {
			n.write("etc/testudo.yaml", "metrics:\n  address: \"\"\n")
			if n == c.master {
				n.stop()
				c.startMaster()
			}
		}
	}
}

// A worker that does not belong to the cluster gets nothing, both ends say why,
// and it gets in once the cause is mended.
func TestRefused(t *testing.T) {
	each(t, testRefused, oursUnderTheirs, theirsUnderOurs)
}

func testRefused(t *testing.T, p plan) {
	c := newCluster(t, p)
	w := c.workers[0]
	c.explain(parting()...)
	c.startMaster()
	for _, r := range refusals() {
		r.spoil(c, w)
		atMaster, atWorker, accepted := c.master.count(r.master), w.count(r.worker), w.count(connected)
		w.start()
		w.waitFor(atWorker, r.worker)
		c.master.waitFor(atMaster, r.master)
		if w.maker == theirs { // ours write it once and go on trying
			w.waitFor(atWorker+1, r.worker)
		}
		c.explain(
			explanation{"", r.master, r.name},
			explanation{"", r.worker, r.name},
			explanation{theirs.node(), `^Unhandled exception`, "a real node does not catch all that an ended connection raises"},
		)
		if w.count(connected) > accepted {
			t.Errorf("%s: %s says that it is connected", r.name, w)
		}
		if files := w.files(); len(files) > 0 {
			t.Errorf("%s: %s got %q", r.name, w, files)
		}
		w.stop()
		r.repair(c, w)
		w.start()
		w.waitFor(accepted, connected)
		c.waitInStep()
		w.stop()
		for _, path := range w.files() {
			w.remove(path)
		}
		t.Log("refused, and in step afterwards:", r.name)
	}
	w.start()
	c.verify()
}

// A second worker of the same name is kept out while the first one lives, and
// gets in when it has gone.
func TestDuplicateName(t *testing.T) {
	each(t, testDuplicateName, oursUnderTheirs, theirsUnderOurs)
}

func testDuplicateName(t *testing.T, p plan) {
	c := newCluster(t, p)
	c.explain(parting()...)
	c.start()
	c.waitInStep()
	first, other := c.workers[0], ours
	if first.maker == ours {
		other = theirs
	}
	second := c.addWorkerIn("twin", other, first.name)
	r := refused("", "Error 3028 - Worker node ID already exists: w1", nil, nil)
	c.explain(explanation{"", r.master, "two workers of one name"}, explanation{"", r.worker, "two workers of one name"})
	c.explain(explanation{
		"their master", `\[Worker\] \[Main\] Error during handshake with incoming connection\.`,
		"so a real master takes leave of a connection that it gave no name, such as the second worker's",
	})
	second.start()
	second.waitFor(0, r.worker)
	c.master.waitFor(0, r.master)
	c.waitInStep() // the first one, undisturbed
	if files := second.files(); len(files) > 0 || first.count(connected) != 1 {
		t.Errorf("the second got %q; the first has connected %d times", files, first.count(connected))
	}
	first.stop()
	c.workers = []*node{second}
	second.waitFor(0, connected)
	c.master.write(rules, "<group name=\"for the second\"/>\n")
	c.verify()
}
