package interop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// API requests in clusters of both makers' nodes: whoever is asked, the node that
// knows answers, and the answers of several nodes become one.

// asked is a request and what the cluster's answer holds.
type asked struct {
	request
	want   []string // parts of the answer, whoever is asked
	once   bool     // it is put once to each node only by our client, not also by an API process
	moving bool     // answers differ from one moment to the next
	sent   string   // what each node sends to its agents, whoever is asked
}

const (
	wazuhCluster = "wazuh.cluster"
	anyNode      = "local_any"
	masterNode   = "local_master"
	distributed  = "distributed_master"
)

// requestsFor are requests of the three types. Those about nodes are the
// functions that every node has.
func requestsFor(c *cluster) []asked {
	names := c.names()
	to := func(nodes ...string) map[string]any { return map[string]any{"node_list": nodes} }
	synced := request{module: wazuhCluster, function: "get_ruleset_sync_status", kind: distributed, async: true, nodes: names}
	synced.args = map[string]any{"master_md5": c.hashes()}
	some := synced
	some.args = map[string]any{"master_md5": c.hashes(), "node_list": []string{"w2", "nobody", "m"}}
	changed := synced
	changed.args = map[string]any{"master_md5": map[string]string{"etc/lists/x": "y"}, "node_list": []string{"w1", "w2"}}
	forbidden := some
	forbidden.permissions = map[string]any{"rbac_mode": "black", "cluster:read": map[string]string{"node:id:w2": "deny"}}
	every := synced
	every.broadcasting = true
	every.args = map[string]any{"master_md5": c.hashes(), "node_list": "*"}
	master := func(function string, args map[string]any) request {
		return request{module: wazuhCluster, function: function, kind: masterNode, async: true, client: "lc", args: args, nodes: names}
	}
	return []asked{
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: anyNode}, want: []string{`"node":"m"`}, once: true},
		{request: request{module: wazuhCluster, function: "read_config_wrapper", kind: anyNode}, want: []string{`"node_name":"m"`}, once: true},
		{request: master("get_nodes_info", nil), want: []string{`"total_affected_items":3`, `"name":"w2"`}},
		{request: master("get_nodes_info", map[string]any{"filter_node": []string{"w1", "nobody"}}), want: []string{`"total_affected_items":1`, "1730"}, once: true},
		{request: master("get_health_nodes", nil), want: []string{`"total_affected_items":3`, `"last_keep_alive":"time"`}, moving: true, once: true},
		{request: request{module: wazuhCluster, function: "get_status_json", kind: masterNode}, want: []string{`"running":"yes"`}, once: true},
		{request: request{module: "wazuh.core.cluster.control", function: "get_node_ruleset_integrity", kind: masterNode, async: true, client: "lc"},
			want: []string{"etc/rules/local_rules.xml"}, once: true},
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: distributed, args: to("w1"), nodes: names}, want: []string{`"node":"w1"`}},
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: distributed, args: to("w2"), nodes: names}, want: []string{`"node":"w2"`}, once: true},
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: distributed, args: map[string]any{"node_id": "w1"}, nodes: names},
			want: []string{`"node":"w1"`}, once: true},
		{request: every, want: []string{`"total_affected_items":3`, `{"name":"m","synced":true}`, `{"name":"w1","synced":true}`, `{"name":"w2","synced":true}`}},
		{request: some, want: []string{`"total_affected_items":2`, `{"name":"w2","synced":true}`, "1730", `["nobody"]`}},
		{request: changed, want: []string{`"total_affected_items":2`, `{"name":"w1","synced":false}`, `{"name":"w2","synced":false}`}, once: true},
		{request: forbidden, want: []string{"4000"}},
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: distributed, args: to("w1", "w2"), nodes: names}, want: []string{`"code":1000`}, once: true},
		{request: request{module: wazuhCluster, function: "get_node_wrapper", kind: masterNode, args: map[string]any{"what": 1}}, want: []string{`"code":1000`}, once: true},
	}
}

// hashes are those of the master's ruleset, as its socket tells them.
func (c *cluster) hashes() map[string]string {
	c.t.Helper()
	var hashes map[string]string
	if err := json.Unmarshal([]byte(c.master.askByOurs("get_hash", "")), &hashes); err != nil {
		c.t.Fatal(err)
	}
	return hashes
}

// A request is answered alike by whichever node is asked, through its socket and
// by an API process of the original beside it.
func TestRequests(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		c.explain(
			explanation{"their master", `ERROR: \[[^\]]+\] \[D API\] (Unhandled exception: int\(\) argument|Error executing API request locally: .* unexpected keyword)`, "the request is none"},
			explanation{"our master", `ERROR: \[Master\] \[D API\] Error in distributed API: (answers cannot be merged|merge answers|arguments of)`, "the request is none"},
		)
		c.start()
		c.waitInStep()
		for _, n := range c.nodes() {
			n.fakeDaemons()
		}
		for _, r := range requestsFor(c) {
			r.put(c)
		}
		c.verify()
	}, inInstallations(theirs), inInstallations(ours))
}

// put asks all nodes, and compares.
func (r asked) put(c *cluster) {
	c.t.Helper()
	first := ""
	check := func(who, answer string) {
		got := answerInOrder(plainly(answer))
		for _, part := range r.want {
			if !strings.Contains(got, part) {
				c.t.Errorf("%s, %s: no %s in %s", r, who, part, got)
			}
		}
		if r.moving {
			got = outline(got)
		}
		if first == "" {
			first = got
		}
		if got != first {
			c.t.Errorf("%s, %s:\n%s\nat first\n%s", r, who, got, first)
		}
	}
	for _, n := range c.nodes() {
		if n.role == worker || r.kind != distributed || n.maker == ours { // a real master's socket takes no such request
			check("asked of "+n.String(), n.askByOurs("dapi", r.json()))
		}
		if !r.once && c.offers("call") {
			check("by an API process of "+n.String(), n.call(r.json()))
		}
	}
	c.t.Logf("%.200s: %.600s", r, first)
}

// answerInOrder is an answer with its failed items and the lists of ids, which have
// no order, sorted, and without what differs between a daemon and an API process: the names of
// their logs.
func answerInOrder(answer string) string {
	var v map[string]any
	if json.Unmarshal([]byte(answer), &v) != nil {
		return answer
	}
	return text(inOrder("", v))
}

func inOrder(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "logfile")
		for name, member := range v {
			v[name] = inOrder(name, member)
		}
		errs, _ := v["failed_items_keys"].([]any)
		ids, _ := v["failed_items_values"].([]any)
		if len(errs) == len(ids) && len(errs) > 0 {
			pairs := make([]any, len(errs))
			for i := range errs {
				pairs[i] = []any{errs[i], inOrder("ids", ids[i])}
			}
			delete(v, "failed_items_values")
			v["failed_items_keys"] = inOrder("ids", pairs)
		}
	case []any:
		for i := range v {
			v[i] = inOrder(name, v[i])
		}
		if name == "ids" {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		}
	}
	return v
}

// Agents that are spread over all nodes, and one request for them: each node does
// its part, and there is one answer.
func TestRequests_Agents(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		k := newCrowd(c, 9)
		k.at[9], k.at[4] = c.master, c.master
		c.start()
		k.enrol()
		k.report(1, k.ids(nil))
		k.sayGoodbye([]int{6})
		k.assign(someGroups(k.ids(nil), 0))
		k.waitAlike()
		for _, n := range c.nodes() {
			n.fakeDaemons()
			n.listenToAgents()
		}
		for _, r := range requestsForAgents(c) {
			r.put(c)
			if r.sent == "" {
				continue
			}
			for _, n := range c.nodes() {
				n.checkSent(r.sent, k.ids(n))
			}
		}
		c.verify()
	}, inInstallations(theirs), inInstallations(ours))
}

func requestsForAgents(c *cluster) []asked {
	names := c.names()
	const wazuhAgent = "wazuh.agent"
	ask := func(function, kind string, args map[string]any) request {
		return request{module: wazuhAgent, function: function, kind: kind, args: args, nodes: names}
	}
	list := []string{"009", "001", "002", "003", "099", "004", "005", "006", "007", "008"}
	overview := ask("Agent.get_agents_overview", masterNode, map[string]any{"filters": map[string]any{"status": "active"}, "select": []string{"id", "node_name", "status"}})
	overview.module = "wazuh.core.agent"
	everyone := ask("restart_agents", distributed, map[string]any{"agent_list": "*"})
	everyone.broadcasting = true
	return []asked{
		{request: overview, want: []string{`"totalItems":9`, `"node_name":"w1"`, `"node_name":"w2"`}, once: true},
		{request: ask("get_agents", masterNode, map[string]any{"agent_list": list, "select": []string{"id", "node_name", "group"}}),
			want: []string{`"total_affected_items":9`, `"node_name":"m"`, "1701", `["099"]`}},
		{request: ask("restart_agents", distributed, map[string]any{"agent_list": list}), sent: "restart-wazuh0",
			want: []string{`"affected_items":["001","002","003","004","005","007","008","009"]`, "1701", `["099"]`, "1707", `["006"]`}},
		{request: ask("reconnect_agents", distributed, map[string]any{"agent_list": list}), sent: "force_reconnect",
			want: []string{`"affected_items":["001","002","003","004","005","007","008","009"]`, "1701", `["099"]`, "1707", `["006"]`}},
		{request: everyone, sent: "restart-wazuh0", want: []string{`"affected_items":["001","002","003","004","005","007","008","009"]`, `"total_failed_items":0`}},
		{request: ask("restart_agents", distributed, map[string]any{"agent_list": []string{"001"}}), want: []string{`"affected_items":["001"]`}},
		{request: ask("restart_agents", distributed, map[string]any{"agent_list": []string{"002"}}), want: []string{`"affected_items":["002"]`}},
		{request: ask("restart_agents_by_node", distributed, map[string]any{"node_id": "w1", "agent_list": "*"}), want: []string{`"affected_items":["002","008"]`}, once: true},
	}
}
