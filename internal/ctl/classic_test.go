package ctl

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/nodeinfo"
	"testudo/internal/recording"
)

// printed is what the original's program printed.
func printed(t *testing.T, name string) string {
	t.Helper()
	return string(recording.Read(t, "golden/local/"+name))
}

// answered is what a real node answered the original's program.
func answered(t *testing.T, name, command string) []byte {
	t.Helper()
	type message struct {
		Dir     string `json:"dir"`
		Command string `json:"command"`
		Text    string `json:"payload_text"`
	}
	for _, m := range recording.Lines[message](t, "golden/local/"+name) {
		if m.Dir == "s2c" && m.Command == command {
			return []byte(m.Text)
		}
	}
	t.Fatalf("%s has no %s", name, command)
	return nil
}

// What the original printed of recorded answers is what we print, to the byte.
func TestClassic_AsRecorded(t *testing.T) {
	health := func(name, command string) nodeinfo.Health {
		h, err := nodeinfo.ParseHealth(answered(t, name, command))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	nodes, total, err := nodeinfo.ParseNodes(answered(t, "master-000.jsonl", "ok"))
	if err != nil || total != 2 {
		t.Fatal(total, err)
	}
	_, text, _ := cutString(string(answered(t, "w1-001.jsonl", "str_upd")))
	agents, err := parseOverview([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"cc-m-l.txt": ClassicNodes(nodes), "cc-w1-l.txt": ClassicNodes(nodes),
		"cc-m-i.txt":  ClassicHealthMore("wazuh", health("master-007.jsonl", "ok")),
		"cc-w1-i.txt": ClassicHealth("wazuh", health("w1-003.jsonl", "control_res")),
		"cc-w1-a.txt": ClassicAgents(agents),
	} {
		if diff := cmp.Diff(printed(t, name), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func cutString(update string) (id, text string, ok bool) {
	for i, c := range update {
		if c == ' ' {
			return update[:i], update[i+1:], true
		}
	}
	return "", "", false
}

// The request for the agents is the original's.
func TestOverviewRequest(t *testing.T) {
	got, err := overviewRequest(nil, []string{"active", "pending"})
	want := `{"f":{"__callable__":{"__name__":"get_agents_overview","__module__":"wazuh.core.agent","__qualname__":"Agent.get_agents_overview","__type__":"function"}},` +
		`"f_kwargs":{"filters":{"status":"active,pending","node_name":"all"},"limit":null,"select":["id","ip","name","status","node_name","version"]},` +
		`"from_cluster":false,"wait_for_complete":false}`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestClassic_WithoutRows(t *testing.T) {
	if got := ClassicNodes(nil); got != "NAME  TYPE  VERSION  ADDRESS  \n" {
		t.Errorf("nodes: %q", got)
	}
	if got := ClassicAgents(nil); got != "ID  NAME  IP  STATUS  VERSION  NODE NAME  \n" {
		t.Errorf("agents: %q", got)
	}
	if got := ClassicHealth("c", nodeinfo.Health{}); got != "Cluster name: c\n\nLast completed synchronization for connected nodes (0):\n\n" {
		t.Errorf("health: %q", got)
	}
}

func TestClassicTable_NothingSteersATerminal(t *testing.T) {
	got := ClassicNodes([]nodeinfo.Node{{Name: "\x1b[2Jx", Type: "worker"}})
	if got != "NAME   TYPE    VERSION  ADDRESS  \n?[2Jx  worker                    \n" {
		t.Errorf("%q", got)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.001s", 400 * time.Microsecond: "0.001s", 9830 * time.Microsecond: "0.01s", 17227 * time.Microsecond: "0.017s",
		time.Second: "1.0s", 90*time.Second + 250*time.Millisecond: "90.25s", -time.Second: "0.001s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
