package functions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// exchange is a line of a recording: a request to the API process, or a raw one
// on a socket.
type exchange struct {
	Node     string          `json:"node"`
	To       string          `json:"to"`
	Asked    string          `json:"asked"`
	Function string          `json:"function"`
	Type     string          `json:"request_type"`
	Args     json.RawMessage `json:"f_kwargs"`
	Options  result.Object   `json:"options"`
	Request  json.RawMessage `json:"request"`
	Reply    json.RawMessage `json:"reply"`
	Socket   []struct {
		Command string          `json:"command"`
		To      string          `json:"to"`
		Request json.RawMessage `json:"request"`
		Reply   json.RawMessage `json:"reply"`
	} `json:"local_socket"`
}

func recorded(t *testing.T, name string) (list []exchange) {
	t.Helper()
	for _, e := range recording.Lines[exchange](t, "golden/dapi/"+name) {
		if len(e.Request) > 0 && e.Request[0] == '{' {
			var r struct {
				F    result.Callable `json:"f"`
				Args json.RawMessage `json:"f_kwargs"`
				Type string          `json:"request_type"`
			}
			if json.Unmarshal(e.Request, &r) == nil {
				e.Function, e.Args, e.Type = r.F.Key(), r.Args, r.Type
			}
		}
		list = append(list, e)
	}
	return list
}

// request is what the API process would have sent, had it not run the function
// itself.
func (e *exchange) request(t *testing.T) []byte {
	t.Helper()
	if e.Asked == "" {
		return e.Request
	}
	dot := strings.LastIndexByte(e.Function, '.')
	o := result.Object{{Name: "f_kwargs", Value: e.Args}}
	for name, v := range map[string]any{
		"f":            result.Callable{Name: e.Function[dot+1:], Module: e.Function[:dot], Qualname: e.Function[dot+1:], Type: "function"},
		"request_type": e.Type,
	} {
		if err := o.Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	return append(o, e.Options...).JSON()
}

// answer asks the node that ran it: w3's API process sends what is the master's
// to the master.
func (w *world) answer(e *exchange) []byte {
	w.t.Helper()
	node := e.Node
	if e.To != "" {
		node = e.To
	} else if e.Type != "local_any" || e.Asked == "" {
		node = "m3"
	}
	answer, err := w.nodes[node].Ask(w.t.Context(), "7", e.request(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// decoded reads JSON for a comparison whatever its spaces and order of members.
func decoded(t *testing.T, data []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", data, err)
	}
	return v
}

// compare compares an answer member by member.
func compare(t *testing.T, got, want []byte) {
	t.Helper()
	if d := cmp.Diff(decoded(t, want), decoded(t, got)); d != "" {
		t.Errorf("(-recorded +ours)\n%s", d)
	}
}

// has tells whether the function is one of those tested here.
func has(functions map[string]bool, e *exchange) bool { return functions[e.Function] }

// tested is a set of the functions in the parts of the table tested here.
func tested(t *testing.T, w *world) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, f := range Table(Deps{Nodes: w.info, Parts: []Part{w.agents}}) {
		set[f.Key()] = true
	}
	return set
}

func TestReplay_Cluster(t *testing.T) {
	w := newWorld(t)
	for i, e := range recorded(t, "cluster.jsonl") {
		t.Run(fmt.Sprintf("%d %s %s", i, e.Node, e.Function), func(t *testing.T) {
			for _, s := range e.Socket {
				switch s.Command {
				case "get_health":
					w.info.health = s.Reply
				case "get_hash":
					w.info.hash = s.Reply
				case "dapi_fwd":
					forward := exchange{To: s.To, Request: s.Request, Type: e.Type}
					compare(t, w.answer(&forward), s.Reply)
				}
			}
			if e.Type == "distributed_master" {
				return // package dapi asks several nodes; what each answers has been compared
			}
			if strings.HasSuffix(e.Function, "get_health_nodes") && e.Node != "m3" {
				w.info.health = healthOf(t, e.Reply)
			}
			compare(t, w.answer(&e), e.Reply)
		})
	}
}

// healthOf makes an answer to get_health of one to get_health_nodes, for
// requests of which no more was recorded.
func healthOf(t *testing.T, reply []byte) []byte {
	t.Helper()
	o, err := result.Decode(reply, result.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var nodes result.Object
	for _, item := range o.Result.(*result.Affected).Items {
		var n struct {
			Info struct {
				Name string `json:"name"`
			} `json:"info"`
		}
		if err := json.Unmarshal(item, &n); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, result.Member{Name: n.Info.Name, Value: item})
	}
	return append(append([]byte(`{"nodes":`), nodes.JSON()...), '}')
}

// What others changed between the recorded requests about groups: before the
// request of that number agents have these groups.
var regroupings = map[int]map[agent.ID]string{
	10: {1: "default,web,db", 4: "web"},
	17: {2: "default", 3: "default", 1: "default,db"},
}

func TestReplay_Groups(t *testing.T) { overBoth(t, checkReplayGroups) }

func checkReplayGroups(t *testing.T, w *world) {
	t.Helper()
	known := tested(t, w)
	for i, e := range recorded(t, "groups.jsonl") {
		if change, ok := regroupings[i]; ok {
			setGroups(t, w.store, change)
		}
		if i == 2 {
			w.write("etc/shared/g1/agent.conf", emptyConf)
		}
		if !has(known, &e) {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", i, e.Function), func(t *testing.T) {
			compare(t, w.answer(&e), withOurHashes(e.Reply))
		})
	}
}

// withOurHashes puts the hashes of our files in the place of those of which the
// recordings do not hold the content.
func withOurHashes(reply []byte) []byte {
	return []byte(strings.NewReplacer(
		"e5a82daff36f94240ef4174791e856c2", "865d8beafeca57bf46ce697455316a9d", // merged.mg
		"e41a35da7d9338ee347f7593c246143e", "d56ad510c75982d39b8178137711e282", // ar.conf
	).Replace(string(reply)))
}

func TestReplay_Permissions(t *testing.T) { overBoth(t, checkReplayPermissions) }

func checkReplayPermissions(t *testing.T, w *world) {
	t.Helper()
	known := tested(t, w)
	for i, e := range recorded(t, "rbac.jsonl") {
		if !has(known, &e) {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", i, e.Function), func(t *testing.T) {
			answer := w.answer(&e)
			if bytes.Contains(e.Reply, []byte("RAISED")) {
				// The original's process had the context of an earlier request: it could
				// not answer. The permissions refuse it.
				if !bytes.Contains(answer, []byte(`"code": 4000`)) {
					t.Errorf("%s, want error 4000", answer)
				}
				return
			}
			compare(t, answer, e.Reply)
		})
	}
}

func TestReplay_Errors(t *testing.T) {
	w := newWorld(t)
	known := tested(t, w)
	for _, name := range []string{"errors.jsonl", "routing.jsonl"} {
		for i, e := range recorded(t, name) {
			// Package dapi has the tests of requests that do not reach a function.
			if !has(known, &e) || !bytes.Contains(e.Reply, []byte(`"__wazuh_`)) || e.Type == "nonsense" || e.Type == "distributed_master" ||
				e.To != "" && e.Type != "local_any" || bytes.Contains(e.Reply, []byte("not_ready_daemons")) || bytes.Contains(e.Request, []byte("zzz\"]")) {
				continue
			}
			t.Run(fmt.Sprintf("%s %d %s", name, i, e.Function), func(t *testing.T) { compare(t, w.answer(&e), e.Reply) })
		}
	}
}
