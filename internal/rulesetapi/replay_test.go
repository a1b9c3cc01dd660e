package rulesetapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/dapi"
	"testudo/internal/rbac"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// realWorld is a home with the ruleset that ships with the original.
func realWorld(t testing.TB) *world {
	t.Helper()
	ruleset, dir := recording.Path(t, "data/ruleset"), t.TempDir()
	for from, to := range map[string]string{"rules": "ruleset/rules", "decoders": "ruleset/decoders", "lists": "etc/lists"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join(ruleset, from))); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, text string) {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	put("etc/ossec.conf", configuration)
	put("etc/decoders/local_decoder.xml", "<!-- Local -->\n<decoder name=\"local_decoder_example\">\n    <program_name>local_decoder_example</program_name>\n</decoder>\n")
	for _, r := range recordings(t) {
		var plain struct {
			R struct {
				O struct {
					Result struct{ Message string } `json:"result"`
				} `json:"__object__"`
			} `json:"__wazuh_result__"`
		}
		if err := json.Unmarshal(r.Reply, &plain); err == nil && plain.R.O.Result.Message != "" {
			put("etc/rules/local_rules.xml", plain.R.O.Result.Message)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	w := &world{dir: dir, api: New(Config{Home: root}), c: &dapi.Call{Node: "m3", Master: true, Permissions: rbac.All()}}
	w.t, _ = t.(*testing.T)
	w.later()
	return w
}

type recorded struct {
	Function string          `json:"function"`
	Args     json.RawMessage `json:"f_kwargs"`
	Type     string          `json:"request_type"`
	Reply    json.RawMessage `json:"reply"`
}

func recordings(t testing.TB) []recorded {
	t.Helper()
	return recording.Lines[recorded](t, "golden/dapi/ruleset.jsonl")
}

// unordered are the recorded requests whose first items depend there on the
// order in which a directory or a set happened to be; ours are in order. Of
// these each recorded item must be among all of ours.
func unordered(r recorded) bool {
	return strings.Contains(string(r.Args), `"limit"`) && !strings.Contains(r.Function, "list")
}

// Every recorded request is answered as by the real node, field by field.
func TestReplay_Ruleset(t *testing.T) {
	w := realWorld(t)
	for _, r := range recordings(t) {
		name := strings.TrimPrefix(r.Function, "wazuh.")
		t.Run(name+" "+string(r.Args), func(t *testing.T) {
			got, err := w.ask(name, string(r.Args))
			if err != nil {
				t.Fatal(err)
			}
			have, want := typed(t, result.Outcome{Result: got}.JSON()), typed(t, r.Reply)
			if unordered(r) {
				compareUnordered(t, w, r, have, want)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("answer (-recorded +ours):\n%s", diff)
			}
		})
	}
}

// compareUnordered looks for the recorded items in all of ours, and takes the
// lists of items out of both.
func compareUnordered(t *testing.T, w *world, r recorded, have, want map[string]any) {
	var args map[string]any
	if err := json.Unmarshal(r.Args, &args); err != nil {
		t.Fatal(err)
	}
	args["limit"] = 100000
	b, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	all := w.list(strings.TrimPrefix(r.Function, "wazuh."), string(b))
	var ours []any
	for _, item := range all.Items {
		var v any
		if err := json.Unmarshal(item, &v); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, v)
	}
	items := want["affected_items"].([]any)
	for _, item := range items {
		if !slices.ContainsFunc(ours, func(v any) bool { return cmp.Equal(v, item) }) {
			t.Errorf("recorded item is not among ours: %v", item)
		}
	}
	if n := len(have["affected_items"].([]any)); n != len(items) {
		t.Errorf("%d items, recorded %d", n, len(items))
	}
	delete(have, "affected_items")
	delete(want, "affected_items")
}

// typed takes the object out of a result, with its class as a member.
func typed(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var v struct {
		R struct {
			Class  string         `json:"__class__"`
			Object map[string]any `json:"__object__"`
		} `json:"__wazuh_result__"`
	}
	if err := json.Unmarshal(data, &v); err != nil || v.R.Object == nil {
		t.Fatalf("no result: %s, %v", data, err)
	}
	v.R.Object["__class__"] = v.R.Class
	return v.R.Object
}

// The request types are those by which the real node was asked.
func TestFunctions_TypesAsRecorded(t *testing.T) {
	types := map[string]string{}
	for _, f := range newWorld(t).api.Functions() {
		types[f.Key()] = string(f.Type)
	}
	for _, r := range recordings(t) {
		if types[r.Function] != r.Type {
			t.Errorf("%s is %q, recorded %q", r.Function, types[r.Function], r.Type)
		}
	}
}

// All files of the real ruleset are read, and a second request costs no parsing.
func TestRealRuleset_Kept(t *testing.T) {
	w := realWorld(t)
	first := time.Now()
	if r := w.list("rule.get_rules", `{}`); len(r.Failed) > 0 || r.Total != 4372 {
		t.Fatalf("%d rules, failed %v", r.Total, failures(r))
	}
	t.Log("read in", time.Since(first))
	if r := w.list("decoder.get_decoders", `{}`); len(r.Failed) > 0 || r.Total != 1568 {
		t.Fatalf("%d decoders, failed %v", r.Total, failures(r))
	}
	if r := w.list("cdb_list.get_lists", `{}`); len(r.Failed) > 0 || r.Total != 4 {
		t.Fatalf("%d lists, failed %v", r.Total, failures(r))
	}
}

func BenchmarkGetRules(b *testing.B) {
	w := realWorld(b)
	for name, args := range map[string]string{
		"plain": `{}`, "sorted": `{"sort_by": ["id"], "sort_ascending": true}`, "level": `{"sort_by": ["level"], "limit": 10}`,
		"search": `{"search_text": "web", "limit": 10}`, "q": `{"q": "id=200"}`, "select": `{"select": ["id", "level"]}`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.ask("rule.get_rules", args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
