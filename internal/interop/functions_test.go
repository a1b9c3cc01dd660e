package interop

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The same function gives the same kind of answer on nodes of both makers.

// alike are functions about the node that runs them, which any node can be asked
// for.
func alike() []request {
	f := func(module, function string, args map[string]any) request {
		return request{module: module, function: function, kind: anyNode, args: args}
	}
	const manager = "wazuh.manager"
	return []request{
		f(wazuhCluster, "get_node_wrapper", nil),
		f(wazuhCluster, "read_config_wrapper", nil),
		f(manager, "get_status", nil),
		f(manager, "get_basic_info", nil),
		f(manager, "read_ossec_conf", nil),
		f(manager, "read_ossec_conf", map[string]any{"section": "ruleset"}),
		f(manager, "read_ossec_conf", map[string]any{"section": "nonsense"}),
		f(manager, "get_config", map[string]any{"component": "analysis", "config": "global"}),
		f("wazuh.stats", "hourly", nil),
		f("wazuh.rule", "get_rules", map[string]any{"rule_ids": []int{5716, 100001, 7}, "select": []string{"id", "level", "groups"}}),
		f("wazuh.rule", "get_rules_files", map[string]any{"limit": 3}),
		f("wazuh.rule", "get_groups", map[string]any{"limit": 5}),
		f("wazuh.cdb_list", "get_lists", nil),
		f("wazuh.decoder", "get_decoders", map[string]any{"names": []string{"named", "local_decoder_example"}}),
		f("wazuh.decoder", "get_decoders_files", map[string]any{"limit": 3}),
	}
}

// itemsInOrder is an answer with its items sorted: a real node lists files in the
// order in which its directories hold them.
func itemsInOrder(answer string) string {
	const member = "affected_items"
	var v struct {
		Result struct {
			Object map[string]any `json:"__object__"`
		} `json:"__wazuh_result__"`
	}
	if json.Unmarshal([]byte(answer), &v) != nil || v.Result.Object == nil {
		return answerInOrder(answer)
	}
	if items, ok := v.Result.Object[member].([]any); ok {
		slices.SortFunc(items, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	}
	return text(v.Result.Object)
}

// What differs from node to node without a meaning.
var ownWords = strings.NewReplacer(`"w1"`, `"NODE"`, `"w2"`, `"NODE"`)

func TestRequests_Alike(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		c.explain(explanation{"", `ERROR: \[[^\]]+\] \[D API\] `, "what it is asked for is not there"})
		for _, n := range c.nodes() {
			n.ownRuleset()
		}
		c.start()
		c.waitInStep()
		for _, n := range c.nodes() {
			n.fakeDaemons()
		}
		for _, r := range alike() {
			var answers []string
			for _, w := range c.workers {
				answer := c.master.askByOurs("dapi_fwd", w.name+" "+r.json())
				answers = append(answers, ownWords.Replace(itemsInOrder(plainly(answer))))
			}
			if answers[0] != answers[1] && outline(answers[0]) != outline(answers[1]) {
				t.Errorf("%s:\n%s answers %.3000s\n%s answers %.3000s", r, c.workers[0], answers[0], c.workers[1], answers[1])
			}
			t.Logf("%s: %v %.300s", r, answers[0] == answers[1], answers[0])
		}
		c.verify()
	}, inInstallations(ours))
}

// ownRuleset puts the ruleset into the home, where the reference has only linked
// it from there: nodes of ours do not follow links out of their homes.
func (n *node) ownRuleset() {
	t := n.cluster.t
	t.Helper()
	path := filepath.Join(n.home, "ruleset")
	from, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	if from == path {
		return
	}
	if err := errors.Join(os.Remove(path), os.CopyFS(path, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// A node of ours that stands in an installation leaves what it does not have to
// the framework there.
func TestRequests_Executor(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		if !c.offers("glue") {
			t.Skip("the reference has no program for executor.program")
		}
		k := newCrowd(c, 2)
		w := c.workers[0]
		w.write("etc/testudo.yaml", "metrics:\n  address: \"\"\nexecutor:\n  program: "+filepath.Join(c.reference, "glue")+"\n")
		c.explain(explanation{"", `ERROR: \[[^\]]+\] \[(D API|Executor)\] `, "agents without an inventory"})
		c.start()
		k.enrol()
		k.report(1, k.ids(nil))
		k.assign(someGroups(k.ids(nil), 0))
		k.waitAlike()
		for _, n := range c.nodes() {
			n.fakeDaemons()
		}
		var answers []string
		for _, id := range []string{"002", "001"} { // at our worker, at theirs
			r := request{module: "wazuh.syscollector", function: "get_item_agent", kind: distributed, nodes: c.names(),
				args: map[string]any{"agent_list": []string{id}, "element_type": "hardware"}, complete: true}
			answer := ownWords.Replace(answerInOrder(plainly(w.askByOurs("dapi", r.json()))))
			answers = append(answers, strings.ReplaceAll(answer, id, "AGENT"))
			t.Logf("agent %s: %.1500s", id, answer)
		}
		if answers[0] != answers[1] {
			t.Errorf("our worker answers %s\ntheirs %s", answers[0], answers[1])
		}
		if strings.Contains(answers[0], "is not there") {
			t.Error("the function was not run")
		}
		c.verify()
	}, inInstallations(theirs))
}
