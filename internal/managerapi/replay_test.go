package managerapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/recording"
	"testudo/internal/result"
)

// record is a request of a real node, and its answer.
type record struct {
	line           int
	node, function string
	kwargs, reply  json.RawMessage
}

type recordedRequest struct {
	Role     string          `json:"role"`
	Node     string          `json:"node"`
	Function string          `json:"function"`
	Type     string          `json:"request_type"`
	Kwargs   json.RawMessage `json:"f_kwargs"`
	Reply    json.RawMessage `json:"reply"`
	Sockets  []struct {
		Command string `json:"command"`
		To      string `json:"to"`
		Request struct {
			Kwargs json.RawMessage `json:"f_kwargs"`
		} `json:"request"`
		Reply json.RawMessage `json:"reply"`
	} `json:"local_socket"`
}

// readRecords gives what single nodes were asked: the request itself where it was
// for the node that got it, else its parts.
func readRecords(t *testing.T) (list []record) {
	t.Helper()
	for n, r := range recording.Lines[recordedRequest](t, "golden/dapi/manager.jsonl") {
		if r.Type == "local_any" {
			list = append(list, record{n, r.Node, r.Function, r.Kwargs, r.Reply})
			continue
		}
		for _, s := range r.Sockets {
			switch s.Command {
			case "dapi_fwd":
				list = append(list, record{n, s.To, r.Function, s.Request.Kwargs, s.Reply})
			case "dapi":
				if node, kwargs := routed(t, r.Kwargs); node != "" && node != "nope" {
					list = append(list, record{n, node, r.Function, kwargs, s.Reply})
				}
			}
		}
	}
	return list
}

// routed is the one node that a request names, and what remains.
func routed(t *testing.T, kwargs json.RawMessage) (node string, rest json.RawMessage) {
	t.Helper()
	o, err := result.ReadObject(kwargs, result.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	kept := result.Object{}
	for _, m := range o {
		if m.Name == "node_id" {
			node = strings.Trim(string(m.Value), `"`)
			continue
		}
		kept = append(kept, m)
	}
	return node, kept.JSON()
}

// firstWithCom is the line from which on there were logs, and a daemon that
// executes commands.
const firstWithCom = 28

// TestRecorded asks our nodes what real ones were asked. What differs is:
//   - compilation_date: the installation's date could not be read, it is now;
//   - the answers of the recorded database are those of the stand-in.
func TestRecorded(t *testing.T) {
	records := readRecords(t)
	if len(records) < 40 {
		t.Fatalf("%d records", len(records))
	}
	for _, r := range records {
		t.Run(fmt.Sprintf("%02d %s on %s", r.line, r.function, r.node), func(t *testing.T) {
			h := newHouse(t)
			h.furnish(r)
			o := h.callAs(&dapi.Call{Node: r.node, Permissions: rbac.All()}, r.function, h.kwargs(r))
			if diff := cmp.Diff(h.comparable(r.reply), h.comparable(o.JSON())); diff != "" {
				t.Errorf("answer (-recorded +ours):\n%s", diff)
			}
		})
	}
}

// furnish makes a home like the recorded one.
func (h *house) furnish(r record) {
	h.t.Helper()
	h.write("etc/ossec.conf", conf(r.node))
	h.write(installFile, `{"install_type": "server", "wazuh_version": "v4.7.5", "installation_date": "2024-05-30T00:00:00Z"}`)
	h.write("stats/totals/2026/Nov/ossec-totals-22.log", "0-5501-3-2\n0-5502-3-1\n0--3--10--0--0\n1--0--5--1--0\n")
	h.queue()
	h.serve(databaseSock, h.recordedDatabase(r))
	if r.line < firstWithCom {
		return
	}
	h.write("var/run/wazuh-analysisd.state", "# State file\n\ntotal_events_decoded='12'\nsyscheck_edps='0'\n")
	h.write(plainLog, "2026/11/22 12:00:00 wazuh-remoted: INFO: (1410): Reading authentication keys file.\n"+
		"2026/11/22 12:00:01 wazuh-modulesd:syscollector: WARNING: something\n"+
		"2026/11/22 12:00:02 rootcheck: ERROR: bad thing on "+r.node+"\nno line\n"+
		"2026/11/22 12:00:03 wazuh-db: DEBUG: dbg\n2026/11/22 12:00:04 wazuh-db[12] main.c:3 at main(): DEBUG: dbg2\n"+
		"2026/11/22 12:00:05 wazuh-analysisd: CRITICAL: crit\n")
	check := `{"error": 0, "message": ""}`
	if r.node == "w4" {
		check = `{"error": 1, "message": "2026/11/22 12:00:00 a: ERROR: (1230): bad one\n2026/11/22 12:00:00 a: CRITICAL: (1202): bad two"}`
	}
	h.serve(comSocket, func(request string) string {
		if request == "check-manager-configuration" {
			return check
		}
		return `ok {"logging": {"plain": "yes", "json": "no"}}`
	})
}

// recordedDatabase answers as the database did whose answers are in the record.
func (h *house) recordedDatabase(r record) func(string) string {
	o, err := result.Decode(r.reply, result.Limits{})
	if err != nil {
		h.t.Fatal(err)
	}
	item := "{}"
	if a, ok := o.Result.(*result.Affected); ok && len(a.Items) > 0 {
		item = strings.NewReplacer(
			`{"__wazuh_datetime__": "2026-11-22T12:49:08+00:00"}`, "1795351748", `{"__wazuh_datetime__": "2026-11-22T12:56:09+00:00"}`, "1795352169",
			`{"__wazuh_datetime__": "2026-11-22T13:16:41+00:00"}`, "1795353401",
		).Replace(string(a.Items[0]))
	}
	return func(request string) string {
		switch {
		case strings.Contains(request, "openssl_support"):
			return `ok [{"value":"yes"}]`
		case strings.HasPrefix(request, "global sql SELECT id, connection_status"):
			return `ok [{"id":1,"connection_status":"active","version":"Wazuh v4.7.5"},{"id":5,"connection_status":"active","version":"Wazuh v4.7.5"}]`
		}
		return `{"error": 0, "message": "ok", "data": ` + item + `}`
	}
}

func (h *house) kwargs(r record) string {
	text := strings.ReplaceAll(string(r.kwargs), `"HOME/`, `"`+h.dir+`/`)
	for _, day := range []string{"2026-11-21", "2026-11-22"} { // as the API sends them
		text = strings.ReplaceAll(text, `"date": "`+day+`"`, `"date": {"__wazuh_datetime__": "`+day+`"}`)
	}
	return text
}

// comparable is an answer without what cannot be the same.
func (h *house) comparable(answer json.RawMessage) any {
	h.t.Helper()
	text := bytes.ReplaceAll(answer, []byte(h.dir), []byte("HOME"))
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		h.t.Fatal(err)
	}
	strip(v)
	return v
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "compilation_date")
		for _, part := range v {
			strip(part)
		}
	case []any:
		for _, part := range v {
			strip(part)
		}
	}
}

// TestRecorded_AgentConfig asks for the configurations of agents as real nodes
// were asked. What the agents were then, the answers say.
func TestRecorded_AgentConfig(t *testing.T) {
	rows := map[fault.Code]string{
		fault.UnknownAgent:     ``,
		fault.ActiveOnly:       `{"id": 12, "connection_status": "never_connected"}`,
		fault.UnknownComponent: `{"id": 5, "connection_status": "active", "version": "Wazuh v4.7.5"}`,
	}
	count := 0
	for line := range bytes.Lines(recording.Read(t, "golden/dapi/agents-distributed.jsonl")) {
		var r recordedRequest
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Function != "wazuh.agent.get_agent_config" {
			continue
		}
		count++
		o, err := result.Decode(r.Reply, result.Limits{})
		if err != nil || o.Err == nil {
			t.Fatalf("recorded answer %s: %v", r.Reply, err)
		}
		h := newHouse(t)
		h.serve(databaseSock, always("ok ["+rows[o.Err.Code]+"]"))
		node := slices.Collect(maps.Keys(o.Err.NodeErrors))[0]
		got := h.callAs(&dapi.Call{Node: node, Permissions: rbac.All()}, r.Function, string(r.Kwargs))
		if diff := cmp.Diff(h.comparable(r.Reply), h.comparable(got.JSON())); diff != "" {
			t.Errorf("%s (-recorded +ours):\n%s", r.Kwargs, diff)
		}
	}
	if count == 0 {
		t.Error("no such record")
	}
}
