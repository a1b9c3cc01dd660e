package ctl

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/nodeinfo"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// pair is a master and a worker at noon.
func pair() nodeinfo.Health {
	return nodeinfo.Health{Workers: 1, Nodes: []nodeinfo.NodeHealth{
		{Node: nodeinfo.Node{Name: "w1", Type: "worker", Version: "4.7.5", Address: "192.0.2.2"}, ActiveAgents: 7, Status: &nodeinfo.Status{
			Check: nodeinfo.Span{Started: at(-6), Ended: at(-5)}, Sync: nodeinfo.Span{Started: at(-7205), Ended: at(-7200)},
			Files: nodeinfo.Files{Any: true, Missing: 1, Shared: 2, Extra: 3}, LastKeepAlive: at(-75),
			Groups: nodeinfo.Transfer{Span: nodeinfo.Span{Started: at(-1)}}, AgentInfo: nodeinfo.Transfer{Span: nodeinfo.Span{Started: at(-300_000), Ended: at(-300_000)}, Chunks: 4},
		}},
		{Node: nodeinfo.Node{Name: "m", Type: "master", Version: "4.7.5", Address: "192.0.2.1"}},
	}}
}

func TestHealthTable(t *testing.T) {
	got := HealthTable(pair(), noon, 0)
	for i, want := range [][]string{
		{"node", "role", "address", "agents", "keep-alive", "checked", "sent", "agent-info", "groups"},
		nil,
		{"w1", "worker", "192.0.2.2", "7", "1m15s", "now", "2h0m", "3d11h", "-"},
		{"m", "master", "192.0.2.1", "0", "-", "-", "-", "-", "-"},
	} {
		line := strings.Split(got, "\n")[i]
		if diff := cmp.Diff(want, strings.Fields(line)); want != nil && diff != "" {
			t.Errorf("%s\n%s", line, diff)
		}
	}
}

func TestHealthText(t *testing.T) {
	t.Setenv("TZ", "UTC")
	got := HealthText(pair(), noon)
	for _, want := range []string{
		"w1, worker at 192.0.2.2, version 4.7.5, 7 active agents\n", "a comparison is under way\n", ", took 1.0s\n",
		"to create 1, to update 2, to delete 3\n", "(3d11h ago), took 0.001s, parts: 4\n", "(1s ago), not done yet\n", "all groups stored not yet\n",
		"\n\nm, master at 192.0.2.1, version 4.7.5, 0 active agents\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestTables(t *testing.T) {
	if got := NodesTable([]nodeinfo.Node{{Name: "m", Type: "master"}}, 0); !strings.Contains(got, "m    ") {
		t.Error(got)
	}
	if got := AgentsTable([]Agent{{ID: "001", Name: "a", Node: "w1"}}, 0); strings.Join(strings.Fields(strings.Split(got, "\n")[2]), " ") != "001 a - - - w1" {
		t.Error(got)
	}
}
