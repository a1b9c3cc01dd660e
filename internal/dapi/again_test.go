package dapi

import (
	"fmt"
	"strings"
	"testing"
)

// The same request gives the same, however it was used before; only those that
// read are kept.
func TestAgain(t *testing.T) {
	var a again
	text := func(name, args string) []byte {
		return ask{function: "wazuh.agent." + name, args: args}.JSON()
	}
	kept := func(data []byte) bool {
		for i := range a.list {
			if k := a.list[i].Load(); k != nil && k.text == string(data) {
				return true
			}
		}
		return false
	}
	const star = `{"agent_list": "*", "limit": 3}`
	for range 3 {
		r, err := a.decode(text("get_agents", star), 1<<20)
		if err != nil || r.Function.Name != "get_agents" || len(r.Args) != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		dropStar(r)
		r.Nodes = append(r.Nodes, "w9")
	}
	for _, c := range []struct {
		data []byte
		want bool
	}{
		{text("get_agents", star), true},
		{text("add_agent", `{"key": "secret"}`), false},
		{text("get_agents", `{"q": "`+strings.Repeat("x", maxKept)+`"}`), false},
	} {
		if _, err := a.decode(c.data, 1<<20); err != nil || kept(c.data) != c.want {
			t.Errorf("%.200s: kept %v, %v", c.data, kept(c.data), err)
		}
	}
	for range 2 {
		if _, err := a.decode([]byte(`{"x": 1}`), 1<<20); err == nil {
			t.Error("no request was taken for one")
		}
	}
	for i := range 2 * keptRequests {
		if _, err := a.decode(text("get_agents", fmt.Sprintf(`{"limit": %d}`, i+1)), 1<<20); err != nil {
			t.Error(err)
		}
	}
	if kept(text("get_agents", star)) {
		t.Error("more are kept than should be")
	}
}
