package dapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// spread is what the API process of a recorded master sent to other nodes.
type spread struct {
	Node        string                     `json:"node"`
	Role        string                     `json:"role"`
	Asked       string                     `json:"asked"`
	Function    string                     `json:"function"`
	RequestType RequestType                `json:"request_type"`
	Args        json.RawMessage            `json:"f_kwargs"`
	Options     map[string]json.RawMessage `json:"options"`
	Socket      []struct {
		Command string          `json:"command"`
		To      string          `json:"to"`
		Request json.RawMessage `json:"request"`
	} `json:"local_socket"`
	Reply json.RawMessage `json:"reply"`
}

func spreads(t *testing.T, name string) (list []spread) {
	t.Helper()
	for _, s := range recording.Lines[spread](t, "golden/dapi/"+name) {
		if s.Asked != "" && s.Role == "master" && s.RequestType == DistributedMaster {
			list = append(list, s)
		}
	}
	return list
}

// request is what the API process began with.
func (s spread) request(t *testing.T) *Request {
	t.Helper()
	a := ask{s.Function, string(s.Args), s.RequestType, `, "api_timeout": 10`}
	for name, v := range s.Options {
		a.more += fmt.Sprintf(", %q: %s", name, v)
	}
	r, err := DecodeRequest(a.JSON(), 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", a.JSON(), err)
	}
	return r
}

// The same nodes get the same parts of requests as those that the original
// sent to its nodes.
func TestReplay_WhichNodesGetWhat(t *testing.T) {
	for _, file := range []string{"agents-distributed.jsonl", "cluster.jsonl", "manager.jsonl", "rbac.jsonl"} {
		for i, s := range spreads(t, file) {
			t.Run(fmt.Sprintf("%s %d %s", file, i, s.Function), func(t *testing.T) {
				p := planner{own: "m3", agents: whoReports, nodes: NodesFunc(func() []string { return []string{"m3", "w3", "w4"} })}
				r := s.request(t)
				got, err := p.plan(context.Background(), r)
				sent := 0
				for _, share := range got.shares {
					if err != nil || share.node == "m3" {
						continue
					}
					for sent < len(s.Socket) && s.Socket[sent].Command != "dapi_fwd" {
						sent++
					}
					if sent == len(s.Socket) {
						t.Fatalf("%s gets %v, nothing recorded", share.node, share.agents)
					}
					want := s.Socket[sent]
					sent++
					if want.To != share.node {
						t.Errorf("%s gets it, recorded %s", share.node, want.To)
					}
					part := partOf(r, share)
					part.Services = usual // the API sends the usual ones by name
					if d := same(t, part.JSON(), want.Request); d != "" {
						t.Errorf("%s (-recorded +ours)\n%s", share.node, d)
					}
				}
				for ; sent < len(s.Socket); sent++ {
					if s.Socket[sent].Command == "dapi_fwd" {
						t.Errorf("recorded: %s gets %s", s.Socket[sent].To, s.Socket[sent].Request)
					}
				}
				compareAnswer(t, s, got, err)
			})
		}
	}
}

// compareAnswer compares what is known before any node is asked.
func compareAnswer(t *testing.T, s spread, got plan, err error) {
	t.Helper()
	want, derr := result.Decode(s.Reply, result.Limits{})
	if derr != nil {
		return // the recorded node failed in a way of its own
	}
	if err != nil {
		if want.Err == nil || want.Err.Code != fault.From(err).Code {
			t.Errorf("got %v, recorded %s", err, s.Reply)
		}
		return
	}
	if len(got.shares) == 0 {
		if d := same(t, result.Outcome{Result: nobody(got.failed)}.JSON(), s.Reply); d != "" {
			t.Errorf("(-recorded +ours)\n%s", d)
		}
		return
	}
	a, _ := want.Result.(*result.Affected)
	for _, f := range got.failed {
		found := false
		for _, w := range a.Failed {
			found = found || w.Err.Code == f.Err.Code && fmt.Sprint(w.IDs) == fmt.Sprint(f.IDs)
		}
		if !found {
			t.Errorf("%v of %v is not recorded: %s", f.Err, f.IDs, s.Reply)
		}
	}
}

func TestPlan(t *testing.T) {
	p := planner{own: "m3", agents: append(roster{}, append(whoReports, AgentNode{13, ""})...),
		nodes: NodesFunc(func() []string { return []string{"m3", "w3", "w4"} })}
	const nodes = `"nodes": ["m3", "w3", "w4"]`
	white := func(names ...string) string {
		entries := make([]string, len(names))
		for i, n := range names {
			entries[i] = `"node:id:` + n + `": "allow"`
		}
		return `, "rbac_permissions": {"rbac_mode": "white", "cluster:read": {` + strings.Join(entries, ", ") + `}}`
	}
	for name, c := range map[string]struct {
		args, more string
		want       string // nodes and their agents, "|" and the nodes that failed, or the number of the error
		named      int
	}{
		"agents of many nodes":        {`{"agent_list": ["009", "5", "001", "012", "13", "zz", "500"]}`, nodes, "m3[001 zz 500 012 013] w3[005] w4[009] |", 5},
		"agents of no node only":      {`{"agent_list": ["012"]}`, nodes, "m3[012] |", 1},
		"agents that do not exist":    {`{"agent_list": ["077", "077"]}`, nodes, "m3[077] |", 1},
		"no agents":                   {`{"agent_list": []}`, nodes, "m3[] w3[] w4[] |", 0},
		"all agents of a node":        {`{"agent_list": "*", "node_id": "w4"}`, nodes, "w4[009 010] |", 1},
		"a node without agents":       {`{"agent_list": "*", "node_id": "w4"}`, `"nodes": ["m3", "w3", "w4"]` + white("w4"), "w4[009 010] |", 1},
		"one agent":                   {`{"agent_id": "005"}`, nodes, "w3[005] |", 1},
		"a node":                      {`{"node_id": "w3"}`, nodes, "w3[] |", 1},
		"a list of nodes":             {`{"node_list": ["w4", "m3", "w4"]}`, nodes, "w4[] m3[] |", 2},
		"an unknown node in a list":   {`{"node_list": ["w4", "w9"]}`, nodes, "w4[] | 1730 w9", 1},
		"an unknown node":             {`{"node_id": "w9"}`, nodes, "| 1730 w9", 0},
		"all nodes":                   {`{"node_list": "*"}`, nodes + `, "broadcasting": true`, "m3[] w3[] w4[] |", 3},
		"all nodes, not by name":      {``, nodes + `, "broadcasting": true`, "m3[] w3[] w4[] |", 0},
		"all nodes, nobody knows any": {``, `"broadcasting": true`, "m3[] w3[] w4[] |", 0},
		"a node, nobody knows any":    {`{"node_list": ["w4", "w9"]}`, `"broadcasting": false`, "w4[] | 1730 w9", 1},
		"a node that has gone":        {`{"node_id": "w7"}`, `"nodes": ["m3", "w7"]`, "1730", 0},
		"one of all has gone":         {``, `"nodes": ["m3", "w7"], "broadcasting": true`, "1730", 0},
		"nodes that may not be read":  {`{"node_list": ["w3", "w4"]}`, nodes + white("w3"), "w3[] | 4000 w4", 1},
		"one of them is not known":    {`{"node_list": ["w3", "w4", "w9"]}`, nodes + white("w3", "w9"), "w3[] | 1730 w9 4000 w4", 1},
		"the same, left out":          {`{"node_list": ["w3", "w4"]}`, nodes + white("w3") + `, "remove_denied_nodes": true`, "w3[] |", 1},
		"no node that may be read":    {`{"node_list": ["w3", "w4"]}`, nodes + white("m3"), "4000", 0},
		"the same, of all":            {``, nodes + `, "broadcasting": true` + white("m3"), "m3[] |", 0},
		"whatever has agents":         {`{}`, nodes, "w9[] w4[] w3[] m3[] |", 6},
		"agents of two kinds":         {`{"agent_list": 7}`, nodes, "error", 0},
	} {
		text := ask{"test.sleep", c.args, DistributedMaster, ", " + c.more}.JSON()
		r, err := DecodeRequest(text, 1<<20)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, text, err)
		}
		got, err := p.plan(t.Context(), r)
		if text := describe(got, err); text != c.want {
			t.Errorf("%s: got %s, want %s", name, text, c.want)
		} else if got.named != c.named {
			t.Errorf("%s: %d named", name, got.named)
		}
	}
}

func describe(p plan, err error) (text string) {
	if e := new(fault.Error); errors.As(err, &e) {
		return fmt.Sprint(int(e.Code))
	}
	if err != nil {
		return "error"
	}
	for _, s := range p.shares {
		text += fmt.Sprint(s.node, s.agents, " ")
	}
	text += "|"
	for _, f := range p.failed {
		text += fmt.Sprint(" ", int(f.Err.Code), " ", strings.Trim(fmt.Sprint(f.IDs), "[]"))
	}
	return text
}

func TestPlan_OfADatabaseThatFails(t *testing.T) {
	p := planner{own: "m3", agents: failing{}, nodes: NodesFunc(func() []string { return []string{"m3"} })}
	r := &Request{Permissions: rbac.All(), Args: result.Object{{Name: "agent_list", Value: json.RawMessage(`["001"]`)}}}
	if _, err := p.plan(t.Context(), r); !fault.Has(err, fault.DatabaseUnreachable) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) NodesOf(context.Context, []agent.ID) ([]AgentNode, error) {
	return nil, fault.New(fault.DatabaseUnreachable, nil)
}
