package functions

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// call runs a function of m3 as it is, without the way of a request.
func (w *world) call(name, args, permissions string) (result.Result, error) {
	w.t.Helper()
	p, err := rbac.Parse(json.RawMessage(permissions))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range w.agents.Functions() {
		if f.Name == name {
			return f.Run(w.t.Context(), &dapi.Call{Node: "m3", Master: true, Permissions: p}, json.RawMessage(args))
		}
	}
	w.t.Fatalf("no function %s", name)
	return nil, nil
}

const everything = `{"rbac_mode": "black"}`

// brief is an answer in short: ids, how many there are, what failed.
func brief(t *testing.T, r result.Result) string {
	t.Helper()
	a, ok := r.(*result.Affected)
	if !ok {
		t.Fatalf("%T", r)
	}
	var ids []string
	for _, item := range a.Items {
		var o struct{ ID, Filename string }
		if json.Unmarshal(item, &o) == nil && o.ID+o.Filename != "" {
			ids = append(ids, strings.TrimLeft(o.ID[:max(0, len(o.ID)-1)], "0")+o.ID[max(0, len(o.ID)-1):]+o.Filename)
		} else {
			ids = append(ids, string(item))
		}
	}
	text := fmt.Sprintf("%s of %d", strings.Join(ids, " "), a.Total)
	for _, f := range a.Failed {
		text += fmt.Sprintf(", %d: %v", f.Err.Code, f.IDs)
	}
	return text
}

func TestAgents(t *testing.T) { overBoth(t, checkAgents) }

func checkAgents(t *testing.T, w *world) {
	t.Helper()
	for _, c := range []struct{ function, args, want string }{
		{"get_agents", `{}`, "0 1 2 3 4 5 6 7 8 9 10 11 12 of 13"},
		{"get_agents", `{"limit": 3}`, "0 1 2 of 13"},
		{"get_agents", `{"limit": 3, "offset": 11}`, "11 12 of 13"},
		{"get_agents", `{"limit": 3, "offset": 13}`, " of 13"},
		{"get_agents", `{"limit": null}`, "0 1 2 3 4 5 6 7 8 9 10 11 12 of 13"},
		{"get_agents", `{"sort": {"fields": ["node_name", "name"], "order": "desc"}, "limit": 4}`, "11 10 9 8 of 13"},
		{"get_agents", `{"sort": {"fields": ["os.version"], "order": "asc"}, "limit": 3}`, "0 12 1 of 13"},
		{"get_agents", `{"sort": {"fields": [], "order": "desc"}, "limit": 2}`, "12 11 of 13"},
		{"get_agents", `{"filters": {"status": "disconnected"}}`, "7 of 1"},
		{"get_agents", `{"filters": {"status": ["disconnected", "never_connected"]}}`, "7 12 of 2"},
		{"get_agents", `{"filters": {"status": ["all"], "node_name": "W3"}}`, "5 6 7 8 of 4"},
		{"get_agents", `{"filters": {"group": "web"}, "limit": 2, "offset": 1}`, "3 6 of 5"},
		{"get_agents", `{"filters": {"version": "4.7.5"}, "limit": 1}`, "1 of 11"},
		{"get_agents", `{"filters": {"version": "Wazuh v4.7.6"}}`, " of 0"},
		{"get_agents", `{"filters": {"ip": "10.0.0.4"}}`, "4 of 1"},
		{"get_agents", `{"filters": {"registerIP": "any"}, "limit": 1}`, "1 of 12"},
		{"get_agents", `{"filters": {"older_than": "0s"}, "limit": 1}`, "0 of 13"},
		{"get_agents", `{"filters": {"older_than": "10d"}}`, "12 of 1"}, // by when it was added; the manager never
		{"get_agents", `{"q": "group=web;lastKeepAlive<100000d"}`, "1 3 6 8 11 of 5"},
		{"get_agents", `{"q": "id!=001;(status=active;(node_name=m3,group=db));id!=000"}`, "2 3 4 8 of 4"},
		{"get_agents", `{"q": "id!=0;group=null"}`, " of 0"},
		{"get_agents", `{"q": "group=null"}`, "0 of 1"},
		{"get_agents", `{"q": "os.major>11;os.minor=5", "limit": 1}`, "1 of 11"},
		{"get_agents", `{"q": "version=v4.7.5;id<3"}`, "1 2 of 2"},
		{"get_agents", `{"q": "disconnection_time>1d"}`, "1 2 3 4 5 6 7 8 9 10 11 12 of 12"},
		{"get_agents", `{"search": {"value": "AGENT-00001", "negation": false}}`, "10 11 12 of 3"},
		{"get_agents", `{"search": {"value": "agent", "negation": true}}`, "0 of 1"},
		{"get_agents", `{"search": {"value": "0000000000a", "negation": false}}`, " of 0"}, // a key
		{"get_agents", `{"agent_list": ["003", "999", "3", "nobody", "../x"]}`, "3 of 1, 1701: [999 3 nobody ../x]"},
		{"get_agents", `{"agent_list": ["999"]}`, " of 0, 1701: [999]"},
		{"get_agents", `{"agent_list": []}`, " of 0"},
		{"get_agents", `{"select": ["status"], "distinct": true}`, `{"status":"active"} {"status":"disconnected"} {"status":"never_connected"} of 3`},
		{"get_agents", `{"select": ["os.name"], "agent_list": ["000"]}`, "0 of 1"},
		{"get_agents_in_group", `{"group_list": ["web"], "q": "id>3,id=1"}`, "1 6 8 11 of 4"},
		{"get_agents_in_group", `{"group_list": ["db"], "filters": {"status": ["disconnected"]}}`, "7 of 1"},
		{"get_outdated_agents", `{"q": "id<3"}`, "1 2 of 2"},
		{"get_agents_sync_group", `{"agent_list": ["000", "002", "099"]}`, "2 of 1, 1703: [000], 1701: [099]"},
		{"get_group_files", `{"group_list": ["default"], "sort_by": ["filename"], "sort_ascending": false}`, "merged.mg ar.conf agent.conf of 3"},
		{"get_group_files", `{"group_list": ["default"], "search_text": "agent", "hash_algorithm": "sha3_256"}`, "agent.conf of 1"},
		{"get_agent_groups", `{"q": "count=5", "select": ["name"]}`, `{"name": "db"} {"name": "web"} of 2`},
		{"get_agents_summary_os", `{"agent_list": ["012"]}`, " of 0"},
		{"get_distinct_agents", `{"fields": ["node_name"], "q": "id!=0", "limit": 2}`, `{"node_name":"m3","count":4} {"node_name":"w3","count":4} of 12`},
		{"get_distinct_agents", `{"fields": ["node_name"], "sort": {"fields": ["node_name"], "order": "desc"}, "limit": 1}`, `{"node_name":"w9","count":1} of 13`},
	} {
		r, err := w.call(c.function, c.args, everything)
		if err != nil {
			t.Errorf("%s %s: %v", c.function, c.args, err)
		} else if got := brief(t, r); got != c.want {
			t.Errorf("%s %s\ngives %s\nwant  %s", c.function, c.args, got, c.want)
		}
	}
}

// What is wrong with a request is told, whoever asks.
func TestAgents_Wrong(t *testing.T) { overBoth(t, checkAgentsWrong) }

func checkAgentsWrong(t *testing.T, w *world) {
	t.Helper()
	for _, c := range []struct {
		function, args string
		want           fault.Code
	}{
		{"get_agents", `{"limit": 0}`, fault.LimitZero},
		{"get_agents", `{"limit": 100001}`, fault.LimitTooHigh},
		{"get_agents", `{"offset": 9999999999999999999}`, fault.DatabaseRefused},
		{"get_agents", `{"sort": {"fields": ["zzz"], "order": "asc"}}`, fault.BadSortField},
		{"get_agents", `{"select": ["zzz"]}`, fault.BadSelect},
		{"get_agents", `{"select": ["internal_key"]}`, fault.BadSelect},
		{"get_agents", `{"q": "zzz"}`, fault.BadQuery},
		{"get_agents", `{"q": "zzz=1"}`, fault.BadQueryField},
		{"get_agents", `{"q": "internal_key~a"}`, fault.BadQueryField},
		{"get_agents", `{"q": "group<web"}`, fault.BadOperator},
		{"get_agents", `{"q": "dateAdd<never"}`, fault.BadDate},
		{"get_agents", `{"filters": {"older_than": "x"}}`, fault.BadTimeFrame},
		{"get_agents", `{"filters": {"zzz": "x"}}`, fault.BadQueryField},
		{"get_agents_in_group", `{"group_list": ["nope"]}`, fault.GroupAbsent},
		{"get_agents_in_group", `{"group_list": ["../shared/web"]}`, fault.GroupAbsent},
		{"get_distinct_agents", `{"fields": ["zzz"]}`, fault.BadSelect},
		{"get_agent_groups", `{"hash_algorithm": "rot13"}`, fault.BadHash},
		{"get_agent_conf", `{"group_list": ["nope"]}`, fault.GroupAbsent},
		{"get_agent_conf", `{"group_list": ["web"], "filename": "nope"}`, fault.FileAbsent},
		{"get_file_conf", `{"group_list": ["web"], "filename": "../../client.keys"}`, fault.FileAbsent},
		{"get_file_conf", `{"group_list": ["web"], "filename": ".."}`, fault.FileAbsent},
		{"get_file_conf", `{"group_list": ["web"], "type_conf": "zzz"}`, fault.InvalidFileType},
	} {
		for _, permissions := range []string{everything, `{"rbac_mode": "white", "group:read": {"group:id:*": "allow"}}`} {
			if _, err := w.call(c.function, c.args, permissions); !errors.Is(err, fault.New(c.want, nil)) {
				t.Errorf("%s %s (%.24s): %v, want error %d", c.function, c.args, permissions, err, c.want)
			}
		}
	}
}

func TestAgents_Permissions(t *testing.T) { overBoth(t, checkAgentsPermissions) }

func checkAgentsPermissions(t *testing.T, w *world) {
	t.Helper()
	const odd = `{"rbac_mode": "white", "agent:read": {"agent:group:web": "allow", "agent:id:002": "allow", "agent:id:011": "deny"}, "group:read": {"group:id:web": "allow"}}`
	const butTwo = `{"rbac_mode": "black", "agent:read": {"agent:id:000": "deny", "agent:id:012": "deny"}, "group:read": {"group:id:web": "deny"}}`
	for _, c := range []struct{ permissions, function, args, want string }{
		{odd, "get_agents", `{}`, "1 2 3 6 8 of 5"},
		{odd, "get_agents", `{"limit": 2, "offset": 1, "sort": {"fields": ["name"], "order": "desc"}}`, "6 3 of 5"},
		{odd, "get_agents", `{"agent_list": ["001", "004", "011", "099"]}`, "1 of 1, 4000: [004 011 099]"},
		{odd, "get_agents", `{"search": {"value": "agent-00001", "negation": false}}`, " of 0"},
		{odd, "get_agents_in_group", `{"group_list": ["web"]}`, "1 3 6 8 of 4"},
		{odd, "get_distinct_agents", `{"fields": ["node_name"]}`, `{"node_name":"m3","count":3} {"node_name":"w3","count":2} of 5`},
		{odd, "get_agent_groups", `{"select": ["name"]}`, `{"name": "web"} of 1`},
		{odd, "get_agent_groups", `{"select": ["name"], "group_list": ["web", "db"]}`, `{"name": "web"} of 1, 4000: [db]`},
		{odd, "get_agents_summary_os", `{}`, `"debian" of 1`},
		{odd, "get_agents_keys", `{"agent_list": ["004", "002"]}`, "2 of 1, 4000: [004]"},
		{butTwo, "get_agents", `{}`, "1 2 3 4 5 6 7 8 9 10 11 of 11"},
		{butTwo, "get_agents", `{"agent_list": ["012", "001", "099"]}`, "1 of 1, 1701: [099], 4000: [012]"},
		{butTwo, "get_agents_keys", `{"agent_list": ["012", "001", "099"]}`, "1 of 1, 1701: [099], 4000: [012]"},
		{butTwo, "get_agent_groups", `{"select": ["name"], "group_list": ["web", "nope", "db"]}`, `{"name": "db"} of 1, 1710: [nope], 4000: [web]`},
		{butTwo, "get_outdated_agents", `{"limit": 1}`, "1 of 11"},
		{butTwo, "get_agent_groups", `{"select": ["name"]}`, `{"name": "db"} {"name": "default"} of 2`},
	} {
		r, err := w.call(c.function, c.args, c.permissions)
		if err != nil {
			t.Errorf("%s %s: %v", c.function, c.args, err)
		} else if got := brief(t, r); got != c.want {
			t.Errorf("%s %s\ngives %s\nwant  %s", c.function, c.args, got, c.want)
		}
	}
	for _, c := range []struct{ function, args string }{
		{"get_agents", `{"agent_list": ["004", "005"]}`},
		{"get_agents_keys", `{"agent_list": ["004"]}`},
		{"get_agents_in_group", `{"group_list": ["db"]}`},
		{"get_group_files", `{"group_list": ["db"]}`},
		{"get_agent_conf", `{"group_list": ["db"]}`},
		{"get_agent_groups", `{"group_list": ["db"]}`},
	} {
		if _, err := w.call(c.function, c.args, odd); !errors.Is(err, fault.New(fault.PermissionDenied, nil)) {
			t.Errorf("%s %s: %v, want error 4000", c.function, c.args, err)
		}
	}
}

// The answers about one thing.
func TestAgents_Plain(t *testing.T) { overBoth(t, checkAgentsPlain) }

func checkAgentsPlain(t *testing.T, w *world) {
	t.Helper()
	w.write("etc/shared/web/agent.conf", "<agent_config os=\"Linux\"><localfile><location>/a</location></localfile></agent_config>\n<agent_config name=\"x\"></agent_config>")
	w.write("etc/shared/web/rootkit_files.txt", "# known\ntmp/x ! Bash door ::/rootkits/x.php\nno line of ours\n")
	w.write("etc/shared/web/rootkit_trojans.txt", "ls !bash|^/bin/sh! a trojan\nps !x!\n")
	w.write("etc/shared/web/cis.txt", "$home=/root;\n[CIS - One {CIS: 1.1} {PCI_DSS: 2.2}] [any] [http://x]\nf:/etc/x;\nf:/etc/y;\n")
	for _, c := range []struct{ function, args, permissions, want string }{
		{"get_agents_summary_status", `{}`, everything, `{"data": {"connection": {"active": 10, "disconnected": 1, "never_connected": 1, "pending": 0, "total": 12}, "configuration": {"synced": 11, "not_synced": 1, "total": 12}}}`},
		{"get_agents_summary_status", `{"agent_list": ["007", "012", "000"]}`, everything, `{"data": {"connection": {"active": 0, "disconnected": 1, "never_connected": 1, "pending": 0, "total": 2}, "configuration": {"synced": 1, "not_synced": 1, "total": 2}}}`},
		{"get_agents_summary_status", `{}`, `{"rbac_mode": "white"}`, `{"data": {"connection": {"active": 0, "disconnected": 0, "never_connected": 0, "pending": 0, "total": 0}, "configuration": {"synced": 0, "not_synced": 0, "total": 0}}}`},
		{"get_full_overview", `{}`, `{"rbac_mode": "white"}`, `{"data": {"nodes": [], "groups": [], "agent_os": [], "agent_status": {"connection": {"active": 0, "disconnected": 0, "never_connected": 0, "pending": 0, "total": 0}, "configuration": {"synced": 0, "not_synced": 0, "total": 0}}, "agent_version": [], "last_registered_agent": []}}`},
		{"Agent.get_agents_overview", `{"filters": {"status": "all", "node_name": "w4"}, "limit": null, "select": ["id", "name"]}`, everything, `{"items": [{"id":"009","name":"agent-000009"}, {"id":"010","name":"agent-000010"}], "totalItems": 2}`},
		{"get_agent_conf", `{"group_list": ["web"]}`, everything, `{"data": {"total_affected_items": 2, "affected_items": [{"filters": {"os": "Linux"}, "config": {"localfile": [{"location": "/a"}]}}, {"filters": {"name": "x"}, "config": {}}]}}`},
		{"get_agent_conf", `{"group_list": ["web"], "offset": 1, "limit": 1}`, everything, `{"data": {"total_affected_items": 2, "affected_items": [{"filters": {"name": "x"}, "config": {}}]}}`},
		{"get_file_conf", `{"group_list": ["default"], "raw": true}`, everything, `{"data": ` + quoted(emptyConf) + `}`},
		{"get_file_conf", `{"group_list": ["web"], "filename": "rootkit_files.txt"}`, everything, `{"data": [{"filename": "tmp/x", "name": "Bash door", "link": "/rootkits/x.php"}]}`},
		{"get_file_conf", `{"group_list": ["web"], "filename": "rootkit_trojans.txt"}`, everything, `{"data": [{"filename": "ls", "name": "bash|^/bin/sh", "description": "a trojan"}, {"filename": "ps", "name": "x"}]}`},
		{"get_file_conf", `{"group_list": ["web"], "filename": "ar.conf"}`, everything, `{"data": ["restart-wazuh0 - restart-wazuh - 0"]}`},
		{"get_file_conf", `{"group_list": ["web"], "filename": "cis.txt", "type_conf": "rcl"}`, everything, `{"data": {"vars": {"home": "/root"}, "controls": [{}, {"name": "CIS - One", "cis": ["1.1"], "pci": ["2.2"], "condition": "any", "reference": "http://x", "checks": ["f:/etc/x;", "f:/etc/y;"]}]}}`},
	} {
		r, err := w.call(c.function, c.args, c.permissions)
		if err != nil {
			t.Errorf("%s %s: %v", c.function, c.args, err)
			continue
		}
		compare(t, r.(*result.Plain).Body, []byte(c.want))
	}
}

// What was refused is told behind all else that failed.
func TestNodes_Permissions(t *testing.T) {
	w := newWorld(t)
	p, err := rbac.Parse(json.RawMessage(`{"rbac_mode": "black", "cluster:read": {"node:id:w3": "deny"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Table(Deps{Nodes: w.info, Enabled: true}) {
		if f.Name != "get_nodes_info" {
			continue
		}
		c := &dapi.Call{Node: "m3", Master: true, Permissions: p, Nodes: []string{"m3", "w3", "w4"}}
		r, err := f.Run(t.Context(), c, json.RawMessage(`{"filter_node": ["w3", "w9", "m3"], "select": ["name"]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := brief(t, r); got != `{"name": "m3"} of 1, 1730: [w9], 4000: [w3]` {
			t.Errorf("got %s", got)
		}
	}
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// A node whose agent database another program has says so, or leaves the functions
// to a process that can ask it.
func TestAgents_NoDatabase(t *testing.T) {
	w := newWorld(t)
	w.agents = agentsWithout(w)
	for _, name := range []string{"get_agents", "get_agents_summary_status", "get_agent_groups", "get_full_overview"} {
		if _, err := w.call(name, `{}`, everything); fault.From(err).Code != fault.Unspecified || !strings.Contains(err.Error(), "agent database") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
