package rbac

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/fault"
)

func TestParse_AndBack(t *testing.T) {
	const text = `{"rbac_mode": "white", "agent:restart": {"agent:id:008": "allow", "agent:id:001": "deny"}, "cluster:read": {"node:id:w3": "allow"}}`
	p, err := Parse(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.Mode() != White {
		t.Errorf("mode %q", p.Mode())
	}
	if diff := cmp.Diff(text, string(p.JSON())); diff != "" {
		t.Error(diff)
	}
}

func TestParse_NothingIsEverything(t *testing.T) {
	for _, text := range []string{"", "null", " null\n", `{"rbac_mode": "black"}`} {
		p, err := Parse(json.RawMessage(text))
		if err != nil || !p.Allows("agent:read", "agent:id:001") || string(p.JSON()) != `{"rbac_mode": "black"}` {
			t.Errorf("%q: %v, %s", text, err, p.JSON())
		}
	}
	if (Permissions{}).Allows("agent:read", "agent:id:001") {
		t.Error("the zero value allows something")
	}
}

func TestParse_Refused(t *testing.T) {
	many := func(n int, name string) string {
		var b strings.Builder
		b.WriteString(`{"rbac_mode": "white", "x:y": {`)
		for i := range n {
			fmt.Fprintf(&b, `"%s%d": "allow",`, name, i)
		}
		return b.String() + `"last": "deny"}}`
	}
	var actions strings.Builder
	for i := range maxActions + 1 {
		fmt.Fprintf(&actions, `"a:%d": {},`, i)
	}
	tests := []struct{ name, text, want string }{
		{"no mode", `{}`, "'rbac_mode'"},
		{"mode unknown", `{"rbac_mode": "grey"}`, "neither white nor black"},
		{"mode no text", `{"rbac_mode": 1}`, "neither white nor black"},
		{"list", `[]`, "no object"},
		{"no JSON", `{`, "JSON couldn't be loaded"},
		{"action no object", `{"rbac_mode": "white", "agent:read": ["x"]}`, "no object"},
		{"effect no text", `{"rbac_mode": "white", "agent:read": {"agent:id:1": true}}`, "no text"},
		{"deep", `{"rbac_mode": "white", "agent:read": {"agent:id:1": {}}}`, "deeper"},
		{"many actions", `{` + actions.String() + `"rbac_mode": "white"}`, "too many actions"},
		{"many resources", many(maxEntries, "agent:id:"), "too many resources"},
		{"many joined", many(maxJoined+1, "agent:id:1&agent:id:"), "too many joined"},
		{"large", `{"rbac_mode": "` + strings.Repeat("x", maxBytes) + `"}`, "at most"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(json.RawMessage(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Parse(json.RawMessage(`{}`)); err.Error() != "'rbac_mode'" {
		t.Errorf("not the words peers know: %q", err)
	}
}

func must(t testing.TB, text string) Permissions {
	t.Helper()
	p, err := Parse(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllows(t *testing.T) {
	tests := []struct {
		name, permissions, resource string
		want                        bool
	}{
		{"white, nothing said", `{"rbac_mode": "white"}`, "node:id:w1", false},
		{"black, nothing said", `{"rbac_mode": "black"}`, "node:id:w1", true},
		{"allowed", `{"rbac_mode": "white", "x:y": {"node:id:w1": "allow"}}`, "node:id:w1", true},
		{"another one allowed", `{"rbac_mode": "white", "x:y": {"node:id:w2": "allow"}}`, "node:id:w1", false},
		{"another action", `{"rbac_mode": "white", "x:z": {"node:id:w1": "allow"}}`, "node:id:w1", false},
		{"all allowed", `{"rbac_mode": "white", "x:y": {"node:id:*": "allow"}}`, "node:id:w1", true},
		{"the last word counts", `{"rbac_mode": "white", "x:y": {"node:id:*": "allow", "node:id:w1": "deny"}}`, "node:id:w1", false},
		{"also of the other order", `{"rbac_mode": "white", "x:y": {"node:id:w1": "deny", "node:id:*": "allow"}}`, "node:id:w1", true},
		{"denied", `{"rbac_mode": "black", "x:y": {"node:id:w1": "deny"}}`, "node:id:w1", false},
		{"an unknown effect denies", `{"rbac_mode": "black", "x:y": {"node:id:w1": "perhaps"}}`, "node:id:w1", false},
		{"without a resource", `{"rbac_mode": "white", "x:y": {"*:*:*": "allow"}}`, "*:*:*", true},
		{"that is no resource of a type", `{"rbac_mode": "white", "x:y": {"*:*:*": "allow"}}`, "node:id:w1", false},
		{"values with colons", `{"rbac_mode": "white", "x:y": {"rule:file:a:b": "allow"}}`, "rule:file:a:b", true},
		{"joined, both", `{"rbac_mode": "white", "x:y": {"node:id:*&node:id:w1": "allow"}}`, "node:id:w1", true},
		{"joined, one only", `{"rbac_mode": "white", "x:y": {"node:id:*&node:id:w2": "allow"}}`, "node:id:w1", false},
		{"group allowed, members not known", `{"rbac_mode": "white", "x:y": {"agent:group:web": "allow"}}`, "agent:id:001", false},
		{"group denied, members not known", `{"rbac_mode": "black", "x:y": {"agent:group:web": "deny"}}`, "agent:id:001", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := must(t, tc.permissions).Allows("x:y", tc.resource); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// web holds agents 001, 003 and 006; no other group has any.
func web(group string) ([]string, error) {
	if group == "web" || group == "*" {
		return []string{"001", "003", "006"}, nil
	}
	return nil, nil
}

func everyone() ([]string, error) { return []string{"000", "001", "002", "003"}, nil }

func TestFilter(t *testing.T) {
	tests := []struct {
		name, permissions string
		named             []string
		want              Verdict
		refused           bool
	}{
		{"named, some", `{"rbac_mode": "white", "agent:read": {"agent:id:001": "allow"}}`, []string{"002", "001"},
			Verdict{Allowed: []string{"001"}, Denied: []string{"002"}}, false},
		{"named, none", `{"rbac_mode": "white", "agent:read": {"agent:id:001": "allow"}}`, []string{"002"},
			Verdict{Denied: []string{"002"}}, true},
		{"named twice", `{"rbac_mode": "black"}`, []string{"002", "002"}, Verdict{Allowed: []string{"002"}}, false},
		{"named, unknown to us", `{"rbac_mode": "white", "agent:read": {"agent:id:*": "allow"}}`, []string{"999"},
			Verdict{Allowed: []string{"999"}}, false},
		{"an empty list is named", `{"rbac_mode": "black"}`, []string{}, Verdict{}, false},
		{"not named, white", `{"rbac_mode": "white"}`, nil, Verdict{}, false},
		{"not named, black", `{"rbac_mode": "black", "agent:read": {"agent:id:001": "deny", "agent:group:web": "deny"}}`, nil,
			Verdict{Allowed: []string{"000", "002"}}, false},
		{"group", `{"rbac_mode": "white", "agent:read": {"agent:group:web": "allow"}}`, []string{"001", "002"},
			Verdict{Allowed: []string{"001"}, Denied: []string{"002"}}, false},
		{"any group", `{"rbac_mode": "white", "agent:read": {"agent:group:*": "allow"}}`, nil,
			Verdict{Allowed: []string{"001", "003"}}, false},
		{"group, then one of it", `{"rbac_mode": "white", "agent:read": {"agent:group:web": "allow", "agent:id:003": "deny"}}`, nil,
			Verdict{Allowed: []string{"001"}}, false},
		{"one of it, then group", `{"rbac_mode": "white", "agent:read": {"agent:id:003": "deny", "agent:group:web": "allow"}}`, nil,
			Verdict{Allowed: []string{"001", "003"}}, false},
		{"joined", `{"rbac_mode": "white", "agent:read": {"agent:id:001&agent:group:web": "allow", "agent:id:002&agent:group:web": "allow"}}`, nil,
			Verdict{Allowed: []string{"001"}}, false},
		{"joined, then not", `{"rbac_mode": "black", "agent:read": {"agent:id:*&agent:group:web": "deny", "agent:id:001": "allow"}}`, nil,
			Verdict{Allowed: []string{"000", "001", "002"}}, false},
		{"other types say nothing", `{"rbac_mode": "white", "agent:read": {"group:id:web": "allow", "node:id:001": "allow"}}`, []string{"001"},
			Verdict{Denied: []string{"001"}}, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := must(t, tc.permissions).Filter(Ask{Action: "agent:read", Type: "agent:id", Named: tc.named, All: everyone, Members: web})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Refused() != tc.refused {
				t.Errorf("refused: %v", got.Refused())
			}
		})
	}
}

func TestFilter_TellsWhatCouldNotBeListed(t *testing.T) {
	broken := func() ([]string, error) { return nil, errors.New("the disk is gone") }
	p := must(t, `{"rbac_mode": "white", "a:b": {"agent:group:web": "allow", "agent:id:1&agent:group:db": "allow"}}`)
	for _, ask := range []Ask{
		{Action: "a:b", Type: "agent:id", All: broken},
		{Action: "a:b", Type: "agent:id", Named: []string{"001"}, Members: func(string) ([]string, error) { return broken() }},
		{Action: "a:b", Type: "agent:id", Named: []string{"001"}, Members: func(group string) ([]string, error) {
			if group == "db" {
				return broken()
			}
			return nil, nil
		}},
	} {
		if _, err := p.Filter(ask); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("got %v", err)
		}
	}
}

// TestFilter_OneByOne demands that the layout of Filter says the same as the
// entries applied one after the other, as the rules have it.
func TestFilter_OneByOne(t *testing.T) {
	resources := rapid.SampledFrom([]string{
		"agent:id:001", "agent:id:002", "agent:id:*", "agent:group:web", "agent:group:none", "agent:group:*", "*:*:*", "node:id:001",
		"agent:id:*&agent:group:web", "agent:id:001&agent:id:001", "agent:id:002&agent:group:web",
	})
	rapid.Check(t, func(t *rapid.T) {
		p := Permissions{mode: rapid.SampledFrom([]Mode{White, Black}).Draw(t, "mode")}
		var entries []entry
		for _, r := range rapid.SliceOfNDistinct(resources, 0, 6, rapid.ID).Draw(t, "resources") {
			entries = append(entries, entry{r, rapid.SampledFrom([]string{"allow", "deny"}).Draw(t, "effect")})
		}
		p.actions = []action{{"agent:read", entries}}
		got, err := p.Filter(Ask{Action: "agent:read", Type: "agent:id", All: everyone, Members: web})
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := everyone()
		for _, id := range ids {
			want := p.mode == Black
			for _, e := range entries {
				if matches(e.resource, typeAgent, id, func(group string) bool {
					members, _ := web(group)
					return slices.Contains(members, id)
				}) {
					want = e.allows()
				}
			}
			if slices.Contains(got.Allowed, id) != want {
				t.Fatalf("%s: allowed %v", id, !want)
			}
		}
	})
}

func TestDenied_AsThePeersKnowIt(t *testing.T) {
	const want = `{"__wazuh_exception__": {"__class__": "WazuhPermissionError", "__object__": {"type": "about:blank", ` +
		`"title": "Permission Denied", "code": 4000, "extra_message": "Resource type: node:id", "extra_remediation": null, ` +
		`"cmd_error": false, "dapi_errors": {}, "ids": ["w4"]}}}`
	err := Denied("node:id", "w4")
	if diff := cmp.Diff(want, string(err.JSON())); diff != "" {
		t.Error(diff)
	}
	if !fault.Has(err, fault.PermissionDenied) {
		t.Error("not number 4000")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"rbac_mode": "white", "agent:restart": {"agent:id:008": "allow", "agent:group:web&agent:id:*": "deny"}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"rbac_mode": "black", "rbac_mode": "white", "a": {"a": "", "a": "allow"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		once := p.JSON()
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%v: %s", err, once)
		}
		if diff := cmp.Diff(string(once), string(again.JSON())); diff != "" {
			t.Error(diff)
		}
		for _, resource := range []string{"*:*:*", "agent:id:001", "x"} {
			if p.Allows("agent:restart", resource) != again.Allows("agent:restart", resource) {
				t.Errorf("%s: another answer", resource)
			}
		}
	})
}
