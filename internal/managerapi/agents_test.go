package managerapi

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

func TestAgentConfig(t *testing.T) {
	tests := []struct {
		name, row, answer, want string
		code                    fault.Code
	}{
		{"active", `{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"}`, `ok {"client":{"a":1}}`, `{"data":{"client":{"a":1}}}`, 0},
		{"nothing", `{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"}`, `ok {}`, `{"data":{}}`, 0},
		{"silent", `{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"}`, `err Cannot send request`, "", fault.ComponentSilent},
		{"unknown", `{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"}`, `err x`, "", fault.ConfigUnknown},
		{"one word", `{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"}`, `x`, "", fault.ComponentFailed},
		{"not active", `{"id":1,"connection_status":"disconnected","version":"Wazuh v4.7.5"}`, ``, "", fault.ActiveOnly},
		{"old", `{"id":1,"connection_status":"active","version":"Wazuh v3.6.1"}`, ``, "", fault.AgentTooOld},
		{"not there", ``, ``, "", fault.UnknownAgent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.serve(databaseSock, always(`ok [`+test.row+`]`))
			h.serve(remoteSocket, always(test.answer))
			o := h.call("wazuh.agent.get_agent_config", `{"agent_list": ["001"], "component": "agent", "config": "client"}`)
			if test.code != 0 {
				if o.Err == nil || o.Err.Code != test.code {
					t.Errorf("answer %s, want error %d", o.JSON(), test.code)
				}
				return
			}
			if p, ok := o.Result.(*result.Plain); !ok || strings.ReplaceAll(string(p.Body), " ", "") != test.want {
				t.Errorf("answer %s, want %s", o.JSON(), test.want)
			}
			if got := h.requests(remoteSocket); len(got) != 1 || got[0] != "001 agent getconfig client" {
				t.Errorf("asked %q", got)
			}
		})
	}
	h := newHouse(t)
	if o := h.call("wazuh.agent.get_agent_config", `{"agent_list": ["001"], "component": "agent", "config": "client"}`); o.Err == nil || o.Err.Code != fault.DatabaseUnreachable {
		t.Errorf("without a database: %s, want 2005", o.JSON())
	}
	if o := h.call("wazuh.agent.get_agent_config", `{}`); o.Err == nil || o.Err.Code != fault.Unspecified {
		t.Errorf("no agent named: %s, want 1000", o.JSON())
	}
}

func TestAgentVersion(t *testing.T) {
	for version, want := range map[string]bool{
		"Wazuh v4.2.0": true, "Wazuh v4.7.5": true, "v5.0": true, "Wazuh v4.2": true, "Wazuh v4.10.0-rc1": true,
		"Wazuh v4.1.9": false, "Wazuh v3.13.2": false, "": false, "Wazuh vx": false,
	} {
		if got := (state{version: version}).atLeast(4, 2, 0); got != want {
			t.Errorf("%q is at least 4.2.0: %v", version, got)
		}
	}
}

// The agents of a request reach the daemons a few at a time, and one item is made
// of the answers.
func TestDaemonStatsOfAgents(t *testing.T) {
	h := newHouse(t)
	var rows, named []string
	for id := 100; id < 190; id++ {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"connection_status":"active","version":"Wazuh v4.7.5"}`, id))
		named = append(named, fmt.Sprintf("%q", strconv.Itoa(id)))
	}
	rows = append(rows, `{"id":0,"connection_status":"active","version":"Wazuh v4.7.5"}`, `{"id":3,"connection_status":"disconnected","version":"v4.7.5"}`)
	h.serve(databaseSock, always("ok ["+strings.Join(rows, ",")+"]"))
	h.serve(remoteSocket, always(`{"error":0,"data":{"uptime":1700000000,"timestamp":1700000100,"name":"wazuh-remoted","agents":[{"id":1,"uptime":5}]}}`))
	kwargs := `{"daemons_list": ["wazuh-remoted"], "agent_list": ["000", "003", "009", ` + strings.Join(named, ",") + `]}`
	o := h.call("wazuh.stats.get_daemons_stats_agents", kwargs)
	r, ok := o.Result.(*result.Affected)
	if !ok || r.Total != 1 {
		t.Fatalf("answer %s", o.JSON())
	}
	const one = `{"id":1,"uptime":{"__wazuh_datetime__":"1970-01-01T00:00:05+00:00"}}`
	const want = `{"uptime":1700000000,"timestamp":{"__wazuh_datetime__":"2023-11-14T22:15:00+00:00"},"name":"wazuh-remoted","agents":[` + one + "," + one + `]}`
	if got := strings.ReplaceAll(string(r.Items[0]), " ", ""); got != want {
		t.Errorf("item %s\nwant %s", got, want)
	}
	failed := map[fault.Code]string{}
	for _, f := range r.Failed {
		failed[f.Err.Code] = fmt.Sprint(f.IDs)
	}
	if failed[fault.ManagerAgent] != "[000]" || failed[fault.AgentInactive] != "[003]" || failed[fault.UnknownAgent] != "[009]" || len(failed) != 3 {
		t.Errorf("failed %v", failed)
	}
	if got := len(h.requests(remoteSocket)); got != 2 {
		t.Errorf("%d questions for 90 agents", got)
	}
}

// What was refused is told behind all else that failed.
func TestAgentStats_Refused(t *testing.T) {
	p, err := rbac.Parse([]byte(`{"rbac_mode": "black", "agent:read": {"agent:id:001": "deny"}}`))
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.serve(databaseSock, always(`ok [{"id":0,"connection_status":"active"},{"id":3,"connection_status":"disconnected"}]`))
	for function, args := range map[string]string{
		"wazuh.stats.get_daemons_stats_agents":        `"daemons_list": ["wazuh-remoted"]`,
		"wazuh.stats.get_agents_component_stats_json": `"component": "agent"`,
	} {
		o := h.callAs(&dapi.Call{Node: "w3", Permissions: p}, function, `{"agent_list": ["001", "000", "003", "009"], `+args+`}`)
		r, ok := o.Result.(*result.Affected)
		if !ok || len(r.Failed) < 2 {
			t.Fatalf("%s: answer %s", function, o.JSON())
		}
		if first, last := r.Failed[0].Err.Code, r.Failed[len(r.Failed)-1].Err.Code; first != fault.UnknownAgent || last != fault.PermissionDenied {
			t.Errorf("%s: failed first %d, last %d", function, first, last)
		}
	}
}

func TestComponentStats(t *testing.T) {
	rows := `ok [{"id":0,"connection_status":"active","version":"Wazuh v4.7.5"},{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"},` +
		`{"id":2,"connection_status":"active","version":"Wazuh v3.6.1"},{"id":4,"connection_status":"never_connected"}]`
	for answer, want := range map[string]string{
		`{"error":0,"data":{"last_keepalive":"2020-01-01 00:00:00","last_ack":""}}`: `[{"last_keepalive":"2020-01-01T00:00:00Z","last_ack":""}] 1310[000] 1735[002] 1015[004] 1701[009]`,
		`err Cannot send request`: `[] 1310[000] 1117[001] 1735[002] 1015[004] 1701[009]`,
		`x`:                       `[] 1310[000] 1118[001] 1735[002] 1015[004] 1701[009]`,
	} {
		h := newHouse(t)
		h.serve(databaseSock, always(rows))
		h.serve(remoteSocket, always(answer))
		o := h.call("wazuh.stats.get_agents_component_stats_json", `{"agent_list": ["000", "001", "002", "004", "009"], "component": "agent"}`)
		r, ok := o.Result.(*result.Affected)
		if !ok {
			t.Fatalf("answer %s", o.JSON())
		}
		got := fmt.Sprintf("%s", r.Items)
		late := ""
		for _, f := range r.Failed {
			entry := fmt.Sprintf(" %d%v", f.Err.Code, f.IDs)
			if f.Err.Code == fault.UnknownAgent {
				late = entry
				continue
			}
			got += entry
		}
		if got += late; got != want {
			t.Errorf("%s: got %s, want %s", answer, got, want)
		}
	}
}
