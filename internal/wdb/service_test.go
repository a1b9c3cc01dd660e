package wdb

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestServer_Backups(t *testing.T) {
	w := newWorld(t, Options{})
	w.want("global backup restore", "err Unable to found a snapshot to restore")
	w.want("global backup get", "ok []")
	w.want("global insert-agent-group kept", "ok")
	reply := w.ask("global backup create")
	if !regexp.MustCompile(`^ok \["backup/db/global\.db-backup-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.gz"\]$`).MatchString(reply) {
		t.Fatalf("got %q", reply)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(reply, `ok ["backup/db/`), `"]`)
	w.want("global backup get", `ok ["`+name+`"]`)
	w.want("global insert-agent-group lost", "ok")
	w.want(`global backup restore {"snapshot":"../../etc/passwd"}`, "err Failed during backup decompression")
	w.want(`global backup restore {"snapshot":"nope.gz"}`, "err Failed during backup decompression")
	w.want(`global backup restore {"snapshot"`, `err Invalid JSON syntax, near '{"snapshot"'`)
	w.want("global select-groups", `ok [{"name":"kept"},{"name":"lost"}]`)
	w.want(`global backup restore {"snapshot":"`+name+`","save_pre_restore_state":true}`, "ok")
	w.want("global select-groups", `ok [{"name":"kept"}]`)
	tagged, err := filepath.Glob(filepath.Join(w.home, "backup/db/*-pre_restore.gz"))
	if err != nil || len(tagged) != 1 {
		t.Errorf("%v, %v", tagged, err)
	}
	w.want("global insert-agent-group after", "ok")
}

func TestServer_Maintenance(t *testing.T) {
	w := newWorld(t, Options{})
	for request, form := range map[string]string{
		"global vacuum":            `^ok \{"fragmentation_after_vacuum":\d+\}$`,
		"global get_fragmentation": `^ok \{"fragmentation":\d+,"free_pages_percentage":\d+\}$`,
	} {
		if got := w.ask(request); !regexp.MustCompile(form).MatchString(got) {
			t.Errorf("%s: %q", request, got)
		}
	}
}

func TestServer_Statistics(t *testing.T) {
	w := newWorld(t, Options{})
	w.ask("global select-groups")
	w.ask("global select-groups")
	w.ask("global get-labels 1")
	w.ask("agent 000 sql select 1")
	w.ask("mitre sql select 1")
	type figures struct {
		Received  int `json:"received"`
		Breakdown struct {
			Global  int `json:"global"`
			Agent   int `json:"agent"`
			Mitre   int `json:"mitre"`
			Globals struct {
				Tables map[string]map[string]int `json:"tables"`
			} `json:"global_breakdown"`
		} `json:"received_breakdown"`
	}
	var reply struct {
		Error int `json:"error"`
		Data  struct {
			Name    string `json:"name"`
			Uptime  int64  `json:"uptime"`
			Metrics struct {
				Queries figures        `json:"queries"`
				Time    map[string]any `json:"time"`
			} `json:"metrics"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(w.ask(`{"command":"getstats"}`)), &reply); err != nil {
		t.Fatal(err)
	}
	q := reply.Data.Metrics.Queries
	if q.Received != 5 || q.Breakdown.Global != 3 || q.Breakdown.Agent != 1 || q.Breakdown.Mitre != 1 ||
		q.Breakdown.Globals.Tables["group"]["select-groups"] != 2 || q.Breakdown.Globals.Tables["labels"]["get-labels"] != 1 {
		t.Errorf("%+v", q)
	}
	if reply.Data.Name != "wazuh-db" || reply.Data.Uptime == 0 || reply.Data.Metrics.Time["execution"] == nil {
		t.Errorf("%+v", reply.Data)
	}
}

// What no daemon of a node is for gets the answer for an unknown verb.
func TestServer_NotServed(t *testing.T) {
	w := newWorld(t, Options{})
	for _, verb := range []string{
		"syscheck", "fim_file", "fim_registry", "fim_registry_key", "fim_registry_value", "sca", "ciscat", "vuln_cves",
		"netinfo", "netproto", "netaddr", "osinfo", "hardware", "port", "package", "hotfix", "process",
		"syscollector_processes", "syscollector_packages", "vacuum", "get_fragmentation",
	} {
		w.want("agent 000 "+verb+" x", "err Invalid DB query syntax, near '"+verb+"'")
	}
	w.want("task upgrade {}", "err Couldn't open DB task")
	w.want("mitre sql select 1", "err Couldn't open DB mitre")
}

func TestServer_FilesOfAgents(t *testing.T) {
	w := newWorld(t, Options{})
	w.want(`global insert-agent {"id":7,"name":"x","date_add":1}`, "ok")
	w.want("agent 8 sql select 1", "err Agent not found")
	w.want("agent 007 sql select count(*) n from sys_programs", `ok [{"n":0}]`)
	file := filepath.Join(w.home, "queue/db/007.db")
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	w.want("wazuhdb remove 7 8", `ok {"agents":{"007":"ok","008":"Can't delete"}}`)
	w.want("agent 7 remove", "ok")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}
