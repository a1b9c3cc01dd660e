package interop

import (
	"maps"
	"testing"
)

// What both makers' workers write about groups.
const (
	askedForAll = `INFO: \[Worker [^\]]+\] \[Agent-groups recv\] Sent request to obtain all agent-groups information from the master node\.`
	// Ours also say whose groups they were.
	namesDiffering = `WARNING: \[Worker [^\]]+\] \[Agent-groups recv full\] Groups of \d+ agents were not the master's: \d{3,} \(was \S+, is \S+\)`
	gotAll         = `INFO: \[Worker [^\]]+\] \[Agent-groups recv full\] Finished in \d+\.\d{3}s\. Updated [1-9]\d* chunks\.`
)

// Agents report to workers, and the master knows it; groups are assigned on the
// master, and the workers know it.
func TestAgents(t *testing.T) {
	each(t, func(t *testing.T, p plan) { testAgents(t, p, 60) },
		theirsUnderOurs, oursUnderTheirs, mixedUnder(ours), mixedUnder(theirs))
}

// The same with more agents than fit into a few messages.
func TestAgents_Many(t *testing.T) {
	each(t, func(t *testing.T, p plan) { testAgents(t, p, 5000) }, theirsUnderOurs, oursUnderTheirs,
		theirsOverOurs,
		oursOverTheirs)
}

// Real cluster daemons, in both roles, with our database below them.
func TestAgents_OverOurDatabase(t *testing.T) {
	each(t, func(t *testing.T, p plan) { testAgents(t, p, 60) },
		theirsOverOurs)
}

// Our nodes as clients of real database daemons.
func TestAgents_BesideRealDatabase(t *testing.T) {
	each(t, func(t *testing.T, p plan) { testAgents(t, p, 60) },
		plan{master: ours, workers: []maker{theirs}, keeping: external},
		plan{master: theirs, workers: []maker{ours}, keeping: external},
		oursOverTheirs)
}

func testAgents(t *testing.T, p plan, count int) {
	c := newCluster(t, p)
	k := newCrowd(c, count)
	c.explain(
		explanation{"our worker", namesDiffering, "the test has spoilt their groups"},
		explanation{"our worker", `wazuh-db: WARNING: The groups were empty right after the set for agent`,
			"a real daemon that is told of no groups; a Testudo worker gets everything when it comes, also when there are none yet"},
		explanation{"our", `wazuh-db: ERROR: at run_worker\(\): at recv\(\): Connection reset by peer`, "a node that stops does not wait for the answer"},
	)
	c.start()
	k.enrol()
	for _, step := range k.steps() {
		step.do()
		k.waitAlike()
		t.Log("alike after:", step.name)
	}
	k.verify()
}

// steps is what happens to agents, one thing after the other.
func (k *crowd) steps() []step {
	all := k.ids(nil)
	count := len(all)
	return []step{
		{"all report", func() { k.report(1, all) }},
		{"all get groups", func() { k.assign(someGroups(all, 0)) }},
		{"keep-alives, and some say goodbye", func() {
			k.stayAlive(all[:count/2])
			k.sayGoodbye(all[count/2 : count/2+5])
		}},
		{"others report something else", func() { k.report(2, all[count/3:]) }},
		{"some get other groups", func() { k.assign(someGroups(all[:count/4], 1)) }},
		{"groups that only a worker has", func() {
			k.mismatch(func(w *node) { k.setGroups(w, "synced", someGroups(k.ids(w)[:5], 2)) })
		}},
		{"groups that the master does not tell of", func() {
			groups := someGroups(all[count-9:], 3)
			k.mismatch(func(*node) { k.setGroups(k.c.master, "synced", groups) })
			maps.Copy(k.groups, groups)
		}},
	}
}

// mismatch spoils the groups of each worker, or of the master, and waits until
// the workers have asked for everything and got it.
func (k *crowd) mismatch(spoil func(w *node)) {
	k.c.t.Helper()
	asked, got, named := map[*node]int{}, map[*node]int{}, map[*node]int{}
	for _, w := range k.c.workers {
		asked[w], got[w], named[w] = w.count(askedForAll), w.count(gotAll), w.count(namesDiffering)
	}
	for _, w := range k.c.workers {
		spoil(w)
	}
	for _, w := range k.c.workers {
		w.waitFor(asked[w], askedForAll)
		w.waitFor(got[w], gotAll)
		if w.maker == ours {
			w.waitFor(named[w], namesDiffering)
		}
	}
}
