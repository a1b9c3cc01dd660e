package rbac

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/recording"
	"testudo/internal/result"
)

// recorded is one request of the original's API process.
type recorded struct {
	Function  string         `json:"function"`
	Arguments map[string]any `json:"f_kwargs"`
	Options   struct {
		Permissions json.RawMessage `json:"rbac_permissions"`
	} `json:"options"`
	Reply json.RawMessage `json:"reply"`
}

func recordings(t *testing.T) (all []recorded) {
	t.Helper()
	for _, name := range recording.Glob(t, "golden/dapi/*.jsonl") {
		for _, r := range recording.Lines[recorded](t, name) {
			if r.Options.Permissions != nil {
				all = append(all, r)
			}
		}
	}
	return all
}

func TestParse_Recorded(t *testing.T) {
	for _, r := range recordings(t) {
		p, err := Parse(r.Options.Permissions)
		if err != nil {
			t.Fatalf("%s: %v", r.Options.Permissions, err)
		}
		if diff := cmp.Diff(string(r.Options.Permissions), string(p.JSON())); diff != "" {
			t.Error(diff)
		}
	}
}

// TestFilter_Recorded asks what the original asked for reads of agents and
// nodes that were named, and compares with whom it answered about.
func TestFilter_Recorded(t *testing.T) {
	reads := map[string]struct{ action, kind, argument, id string }{
		"wazuh.agent.get_agents":       {"agent:read", "agent:id", "agent_list", "id"},
		"wazuh.cluster.get_nodes_info": {"cluster:read", "node:id", "filter_node", "name"},
	}
	compared := 0
	for _, r := range recordings(t) {
		read, known := reads[r.Function]
		list, named := r.Arguments[read.argument].([]any)
		outcome, err := result.Decode(r.Reply, result.Limits{})
		if !known || !named || err != nil || strings.Contains(string(r.Options.Permissions), `"black"`) {
			continue
		}
		var ids []string
		for _, id := range list {
			ids = append(ids, id.(string))
		}
		verdict, err := must(t, string(r.Options.Permissions)).Filter(Ask{Action: read.action, Type: read.kind, Named: ids})
		if err != nil {
			t.Fatal(err)
		}
		compared++
		if outcome.Err != nil {
			if !verdict.Refused() || outcome.Err.Code != Denied(read.kind).Code {
				t.Errorf("%s %v: %v, recorded %v", r.Function, ids, verdict, outcome.Err)
			}
			continue
		}
		answer := outcome.Result.(*result.Affected)
		want := Verdict{}
		for _, item := range answer.Items {
			var member map[string]any
			if err := json.Unmarshal(item, &member); err != nil {
				t.Fatal(err)
			}
			want.Allowed = append(want.Allowed, member[read.id].(string))
		}
		for _, f := range answer.Failed {
			for _, id := range f.IDs {
				want.Denied = append(want.Denied, id.String())
			}
		}
		if diff := cmp.Diff(want, verdict); diff != "" {
			t.Error(diff)
		}
	}
	if compared < 3 {
		t.Errorf("only %d compared", compared)
	}
}
