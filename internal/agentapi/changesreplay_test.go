package agentapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/dapi"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// recorded is one request of the original's API process, with what it sent to
// other nodes.
type recorded struct {
	Note      string          `json:"note"`
	Role      string          `json:"role"`
	Asked     string          `json:"asked"`
	Function  string          `json:"function"`
	Arguments json.RawMessage `json:"f_kwargs"`
	Options   struct {
		Broadcasting bool            `json:"broadcasting"`
		Permissions  json.RawMessage `json:"rbac_permissions"`
	} `json:"options"`
	Local []struct {
		To      string          `json:"to"`
		Request json.RawMessage `json:"request"`
		Reply   json.RawMessage `json:"reply"`
	} `json:"local_socket"`
	Reply json.RawMessage `json:"reply"`
}

func recordings(t *testing.T, name string) []recorded {
	t.Helper()
	return recording.Lines[recorded](t, "golden/dapi/"+name)
}

// ours tells whether Changes has the function.
func (w *changeWorld) ours(function string) bool {
	return slices.ContainsFunc(w.changes.Functions(), func(f dapi.Function) bool { return f.Key() == function })
}

// ordered is an answer with its errors and their ids in order: they have none.
func ordered(t *testing.T, o result.Outcome) any {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal(o.JSON(), &v))
	a, ok := o.Result.(*result.Affected)
	if !ok {
		return v
	}
	object := v["__wazuh_result__"].(map[string]any)["__object__"].(map[string]any)
	delete(object, "failed_items_keys")
	delete(object, "failed_items_values")
	var failed []string
	for _, f := range a.Failed {
		ids := slices.Clone(f.IDs)
		slices.SortFunc(ids, result.ID.Compare)
		text, err := json.Marshal(ids)
		must(t, err)
		failed = append(failed, string(f.Err.Bare())+string(text))
	}
	slices.Sort(failed)
	object["failed"] = failed
	return v
}

func decoded(t *testing.T, reply json.RawMessage) result.Outcome {
	t.Helper()
	o, err := result.Decode(reply, result.Limits{})
	must(t, err)
	return o
}

// TestChanges_Recorded makes the recorded changes of groups, one after the
// other, on a node like the recorded one.
func TestChanges_Recorded(t *testing.T) {
	w := newChangeWorld(t, "m3", func(int) bool { return true })
	compared := 0
	for _, r := range recordings(t, "groups.jsonl") {
		if !w.ours(r.Function) {
			continue
		}
		compared++
		got := w.ask(asked{function: r.Function, args: string(r.Arguments), permissions: string(r.Options.Permissions)})
		if diff := cmp.Diff(ordered(t, decoded(t, r.Reply)), ordered(t, got)); diff != "" {
			t.Errorf("%s %s (-recorded +ours):\n%s", r.Function, r.Arguments, diff)
		}
	}
	if compared < 14 {
		t.Errorf("only %d compared", compared)
	}
}

// TestActs_Recorded has each node answer the part of each recorded request that
// it was sent, and compares it and what the parts become together.
func TestActs_Recorded(t *testing.T) {
	all := func(int) bool { return true }
	worlds := map[string]*changeWorld{}
	for _, node := range []string{"m3", "w3", "w4"} {
		worlds[node] = newChangeWorld(t, node, all)
		// In the first of the recordings the workers' databases had no agents.
		worlds[node+" at first"] = newChangeWorld(t, node, func(int) bool { return node == "m3" })
	}
	for _, w := range worlds {
		w.listen()
	}
	compared := 0
	for _, r := range slices.Concat(recordings(t, "agents-distributed.jsonl"), recordings(t, "rbac.jsonl")) {
		if r.Role != "master" || r.Asked == "" || !worlds["m3"].ours(r.Function) {
			continue
		}
		at := ""
		if r.Note != "" {
			at = " at first"
		}
		compared += replayParts(t, r, func(node string) *changeWorld { return worlds[node+at] })
	}
	if compared < 30 {
		t.Errorf("only %d compared", compared)
	}
}

// replayParts compares the parts of one request.
func replayParts(t *testing.T, r recorded, world func(node string) *changeWorld) (compared int) {
	t.Helper()
	whole := asked{r.Function, string(r.Arguments), string(r.Options.Permissions), r.Options.Broadcasting, false}
	sum := result.Outcome{}
	elsewhere := []string{"011"}
	for _, part := range r.Local {
		w := world(part.To)
		var request struct {
			Arguments struct {
				Agents []string `json:"agent_list"`
			} `json:"f_kwargs"`
		}
		if part.To == "" {
			continue
		}
		must(t, json.Unmarshal(part.Request, &request))
		elsewhere = append(elsewhere, request.Arguments.Agents...)
		if w == nil {
			continue
		}
		ask := whole
		ask.worker, ask.args = true, arguments(t, request.Arguments.Agents)
		got := w.ask(ask)
		if diff := cmp.Diff(ordered(t, decoded(t, part.Reply)), ordered(t, got)); diff != "" {
			t.Errorf("%s %s on %s (-recorded +ours):\n%s", r.Function, ask.args, part.To, diff)
		}
		compared++
		sum = merged(sum, got)
	}
	w := world("m3")
	if w.node == "m3" && len(ownPart(t, r, elsewhere)) > 0 {
		whole.args = arguments(t, ownPart(t, r, elsewhere))
		sum = merged(w.ask(whole), sum)
	}
	// Of all nodes that are asked by no name the original takes the first answer,
	// and of a single node there is only one.
	if sum == (result.Outcome{}) || string(r.Arguments) == "{}" || strings.Contains(string(r.Arguments), "node_id") {
		return compared
	}
	want := decoded(t, r.Reply)
	for _, o := range []result.Outcome{want, sum} {
		if a, ok := o.Result.(*result.Affected); ok { // what of nodes fails is routing's to tell
			a.Failed = slices.DeleteFunc(a.Failed, func(f result.Failure) bool {
				return slices.ContainsFunc(f.IDs, func(id result.ID) bool { return strings.HasPrefix(id.String(), "w") })
			})
		}
	}
	if diff := cmp.Diff(ordered(t, want), ordered(t, sum)); diff != "" {
		t.Errorf("%s %s, all parts (-recorded +ours):\n%s", r.Function, r.Arguments, diff)
	}
	return compared + 1
}

func merged(a, b result.Outcome) result.Outcome {
	switch {
	case a == (result.Outcome{}):
		return b
	case b == (result.Outcome{}):
		return a
	}
	return result.Merge(a, b)
}

func arguments(t *testing.T, ids []string) string {
	if ids == nil {
		return "{}"
	}
	text, err := json.Marshal(map[string][]string{"agent_list": ids})
	must(t, err)
	return string(text)
}

// ownPart is which agents of a request the master looked after.
func ownPart(t *testing.T, r recorded, elsewhere []string) (own []string) {
	var a struct {
		Agents list `json:"agent_list"`
	}
	must(t, json.Unmarshal(r.Arguments, &a))
	ids := a.Agents.names
	if strings.Contains(string(r.Arguments), `"*"`) {
		ids = []string{"001", "002", "003", "004", "012"}
	}
	for _, id := range ids {
		if !slices.Contains(elsewhere, id) {
			own = append(own, id)
		}
	}
	return own
}
