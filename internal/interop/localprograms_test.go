package interop

import (
	"regexp"
	"strings"
	"testing"
)

// Each maker's local programs ask the nodes of both.

// inInstallations are clusters whose nodes all stand in an installation's home,
// where the original's programs find what they need.
func inInstallations(m maker) plan {
	p := mixedUnder(m)
	p.keeping = installed
	return p
}

// timesOfHealth are what changes between one look at health and the next.
var timesOfHealth = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z|\d+\.\d+s|n/a|chunks: \d+|(agent-info|integrity): (True|False)`)

// What the original's cluster_control prints of any node, ours prints of it too.
func TestLocalPrograms_ClusterControl(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		k := newCrowd(c, 7)
		if !c.offers("control") {
			t.Skip("the reference has no cluster_control")
		}
		c.start()
		k.enrol()
		k.report(1, k.ids(nil))
		k.assign(someGroups(k.ids(nil), 0))
		k.waitAlike()
		c.waitInStep()
		for _, args := range [][]string{
			{"-l"}, {"-l", "-fn", "w1", "m"}, {"-a"}, {"-a", "-fs", "active", "-fn", "w1"}, {"-i"}, {"-i", "more"}, {"-i", "-fn", "w2"},
		} {
			first := ""
			for _, n := range c.nodes() {
				theirs := timesOfHealth.ReplaceAllString(n.control(args...), "TIME")
				ours := timesOfHealth.ReplaceAllString(n.ourControl(args...), "TIME")
				if ours != theirs {
					t.Errorf("%q at %s: ours prints\n%s\ntheirs\n%s", args, n, ours, theirs)
				}
				if first == "" {
					first = theirs
				}
				if theirs != first {
					t.Errorf("%q: %s says\n%s\nthe master\n%s", args, n, theirs, first)
				}
			}
			t.Logf("%q at all nodes:\n%s", args, first)
		}
		c.verify()
	}, inInstallations(theirs), inInstallations(ours))
}

// question is one to a local socket.
type question struct {
	command, payload string
	at               func(*node) bool // nil: all nodes
	want             []string         // parts of the answer
	differ           bool             // the nodes' answers, since each tells of itself
	moving           bool             // answers differ from one moment to the next
	both             bool             // the original's client asks, too, which takes its time
}

func onMaster(n *node) bool { return n.role == master }

func questions() []question {
	nodeWrapper := request{module: "wazuh.cluster", function: "get_node_wrapper", kind: "local_any"}
	return []question{
		{command: "get_config", differ: true, both: true, want: []string{`"node_type"`, key}},
		{command: "get_nodes", payload: "{}", both: true, want: []string{`"totalItems": 3`, `"name": "w2"`}},
		{command: "get_nodes", payload: `{"filter_type": "worker", "select": ["name"], "sort": {"fields": ["name"], "order": "desc"}}`, want: []string{`"totalItems": 2`}},
		{command: "get_nodes", payload: `{"search": {"value": "W", "negation": false}, "limit": 1, "offset": 1}`, want: []string{`"name": "w`}},
		{command: "get_nodes", payload: `{"filter_node": "nobody"}`, both: true, at: onMaster, want: []string{"1730"}},
		{command: "get_nodes", payload: `{"select": ["what"]}`, at: onMaster, want: []string{"1724"}},
		{command: "get_health", payload: "null", moving: true, both: true, want: []string{`"n_connected_nodes": 2`, `"w1"`, `"n_active_agents": 3`}},
		{command: "get_health", payload: `["w2", "m"]`, moving: true, want: []string{`"n_connected_nodes": 1`}},
		{command: "get_hash", want: []string{"etc/rules/local_rules.xml"}},
		{command: "nonsense", payload: "x", want: []string{"unknown command"}},
		{command: "dapi", payload: nodeWrapper.json(), both: true, want: []string{`"node": "m"`}},
		{command: "dapi_fwd", payload: "w1 " + nodeWrapper.json(), both: true, at: onMaster, want: []string{`"node": "w1"`}},
		{command: "dapi_fwd", payload: "w2 " + nodeWrapper.json(), at: onMaster, want: []string{`"node": "w2"`}},
		{command: "dapi_fwd", payload: "w9 " + nodeWrapper.json(), both: true, at: onMaster, want: []string{"3022"}},
	}
}

// Every question to a local socket is answered alike by the nodes of both makers,
// to the clients of both.
func TestLocalPrograms_Commands(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		k := newCrowd(c, 6)
		c.start()
		k.enrol()
		k.report(1, k.ids(nil))
		k.assign(someGroups(k.ids(nil), 0))
		k.waitAlike()
		c.waitInStep()
		c.explain(explanation{"", `ERROR: \[Local [^\]]+\] \[Main\] Internal error processing request 'b'(get_nodes|dapi_fwd|nonsense)''`, "it was asked for what is not there"})
		for _, q := range questions() {
			q.put(c)
		}
		c.verify()
	}, inInstallations(theirs), inInstallations(ours))
}

// put asks all nodes the question by all clients.
func (q question) put(c *cluster) {
	c.t.Helper()
	first := ""
	for _, n := range c.nodes() {
		if q.at != nil && !q.at(n) {
			continue
		}
		for i, a := range c.askers() {
			if a.maker == theirs && !q.both {
				continue
			}
			got := plainly(a.ask(n, q.command, q.payload))
			for _, part := range q.want {
				if !strings.Contains(got, strings.ReplaceAll(part, `": `, `":`)) {
					c.t.Errorf("%s %s at %s, by %s client: no %s in %s", q.command, q.payload, n, a.maker, part, got)
				}
			}
			if q.moving {
				got = outline(got)
			}
			if first == "" || q.differ && i == 0 {
				first = got
			}
			if got != first {
				c.t.Errorf("%s %s at %s, by %s client:\n%s\nat first\n%s", q.command, q.payload, n, a.maker, got, first)
			}
		}
	}
	c.t.Logf("%s %.60s: %.300s", q.command, q.payload, first)
}

// A worker's programs reach daemons of the other maker's master, or hear why not.
func TestLocalPrograms_Sendsync(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		c.explain(explanation{"", `ERROR: \[Master\] \[SendSync\] Error in SendSync \(parameters \{'daemon_name': '(remoted|nobody)'`, "there is no such daemon"})
		c.start()
		c.waitInStep()
		heard := c.master.serveDaemon("queue/sockets/auth", `{"error":0,"data":{"id":"001","key":"Köln"}}`)
		const message = `{"daemon_name": "authd", "message": {"function": "add", "arguments": {"name": "a", "ip": "any"}}}`
		w := c.workers[0]
		for _, a := range c.askers() {
			for _, command := range []string{"sendsync", "sendasync"} {
				if command == "sendsync" && a.maker == theirs {
					continue // it reads no late answer to this one; programs in C do
				}
				if got := a.ask(w, command, message); plainly(got) != `{"data":{"id":"001","key":"Köln"},"error":0}` {
					t.Errorf("%s at %s, by %s client: %s", command, w, a.maker, got)
				}
				if got := plainly(<-heard); got != `{"arguments":{"ip":"any","name":"a"},"function":"add"}` {
					t.Errorf("the daemon heard %s", got)
				}
				if got := a.ask(w, command, `{"daemon_name": "remoted", "message": "x"}`); !strings.Contains(got, "1013") {
					t.Errorf("%s to a daemon that is not there, at %s, by %s client: %s", command, w, a.maker, got)
				}
				if got := a.ask(w, command, `{"daemon_name": "nobody", "message": "x"}`); !strings.Contains(got, "1014") {
					t.Errorf("%s to an unknown daemon, at %s, by %s client: %s", command, w, a.maker, got)
				}
			}
		}
		c.verify()
	}, plan{master: theirs, workers: []maker{ours}, keeping: installed}, plan{master: ours, workers: []maker{theirs}, keeping: installed})
}
