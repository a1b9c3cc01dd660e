package agentdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

func TestSetSyncInfo(t *testing.T) {
	const row = `"name":"a","connection_status":"active","group_config_status":"synced"`
	const all = "SELECT name, ip, os_name, version, node_name, last_keepalive, sync_status, connection_status," +
		" disconnection_time, group_config_status, status_code FROM agent WHERE id = 1"
	const before = `[{"name":"agent-000001","ip":"10.0.0.1","node_name":"unknown","sync_status":"synced","connection_status":"never_connected","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`
	const least = `[{"name":"a","sync_status":"synced","connection_status":"active","group_config_status":"synced"}]`
	tests := []struct {
		name, report, want, err string
	}{
		{"nothing", `[]`, before, ""},
		{"an object", `{"id":1,` + row + `}`, before, ""},
		{"no object inside", `[1,"x",null,[{"id":1}]]`, before, ""},
		{"no id", `[{` + row + `}]`, before, ""},
		{"id as text", `[{"id":"1",` + row + `}]`, before, ""},
		{"id as text with labels", `[{"id":"1","labels":[]}]`, before, ErrLabelID.Error()},
		{"not there", `[{"id":77,` + row + `}]`, before, ""},
		{"least", `[{"id":1,` + row + `}]`, least, ""},
		{"twice", `[{"id":1,` + row + `},{"id":1,` + row + `}]`, least, ""},
		{"blanks", " [ { \"id\" : 1 , " + row + " } ] \n", least, ""},
		{"no name", `[{"id":1,"connection_status":"active","group_config_status":"synced"}]`, before, "NOT NULL constraint failed: agent.name"},
		{"no status", `[{"id":1,"name":"a","group_config_status":"synced"}]`, before, "NOT NULL constraint failed: agent.connection_status"},
		{"no group status", `[{"id":1,"name":"a","connection_status":"active"}]`, before, "NOT NULL constraint failed: agent.group_config_status"},
		{"bad status", `[{"id":1,"name":"a","connection_status":"x","group_config_status":"synced"}]`, before,
			"CHECK constraint failed: connection_status IN ('pending', 'never_connected', 'active', 'disconnected')"},
		{"ends at the first failure", `[{"id":1,` + row + `},{"id":1,"name":null},{"id":1,` + row + `,"version":"late"}]`, least, "NOT NULL constraint failed: agent.name"},
		{"numbers", `[{"id":1,` + row + `,"last_keepalive":253402300799,"disconnection_time":-99999999999,"status_code":4.7}]`,
			`[{"name":"a","last_keepalive":2147483647,"sync_status":"synced","connection_status":"active","disconnection_time":-2147483648,"group_config_status":"synced","status_code":4}]`, ""},
		{"numbers of another form", `[{"id":1.2,` + row + `,"last_keepalive":1.5e3,"disconnection_time":1e400,"status_code":-4.7}]`,
			`[{"name":"a","last_keepalive":1500,"sync_status":"synced","connection_status":"active","disconnection_time":2147483647,"group_config_status":"synced","status_code":-4}]`, ""},
		{"kinds as they come", `[{"id":1,` + row + `,"status_code":"x","version":7,"last_keepalive":"12","os_name":true,"ip":{"a":1}}]`,
			`[{"name":"a","version":"7","last_keepalive":12,"sync_status":"synced","connection_status":"active","group_config_status":"synced","status_code":"x"}]`, ""},
		{"texts", `[{"id":1,` + row + `,"os_name":"\u00e4\ud83d\ude00\/\n\"","version":"cut\u0000off","node_name":""}]`,
			`[{"name":"a","os_name":"ä😀/\n\"","version":"cut","node_name":"","sync_status":"synced","connection_status":"active","group_config_status":"synced"}]`, ""},
		{"cut off", `[{"id":1,` + row + `}`, before, ErrSyntax.Error()},
		{"more behind", `[{"id":1,` + row + `}] x`, before, ErrSyntax.Error()},
		{"empty", ``, before, ErrSyntax.Error()},
		{"too deep", strings.Repeat("[", 100000), before, ErrSyntax.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			insert(t, s, 2)
			err := s.SetSyncInfo(t.Context(), []byte(tt.report))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Error(err)
			}
			if got := dump(t, s, all); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			sameRoster(t, s)
		})
	}
}

func TestSetSyncInfo_Labels(t *testing.T) {
	const row = `[{"id":1,"name":"a","connection_status":"active","group_config_status":"synced"`
	const first = row + `,"labels":[{"id":1,"key":"k","value":"v"}]}]`
	tests := []struct{ name, report, want, err string }{
		{"none given", row + `}]`, `[{"id":1,"key":"k","value":"v"}]`, ""},
		{"no list", row + `,"labels":{}}]`, `[{"id":1,"key":"k","value":"v"}]`, ""},
		{"empty", row + `,"labels":[]}]`, `[]`, ""},
		{"the same", first, `[{"id":1,"key":"k","value":"v"}]`, ""},
		{"others", row + `,"labels":[{"id":1,"key":"z","value":"1"},{"id":1,"key":"a","value":""}]}]`, `[{"id":1,"key":"a","value":""},{"id":1,"key":"z","value":"1"}]`, ""},
		{"broken ones", row + `,"labels":[1,{"id":"1","key":"z","value":"1"},{"id":1,"key":2,"value":"1"},{"id":1,"key":"x"},{"id":1,"key":"ok","value":"1"}]}]`, `[{"id":1,"key":"ok","value":"1"}]`, ""},
		{"of another agent", row + `,"labels":[{"id":2,"key":"z","value":"1"}]}]`, `[{"id":2,"key":"z","value":"1"}]`, ""},
		{"of nobody", row + `,"labels":[{"id":9,"key":"z","value":"1"}]}]`, `[]`, "FOREIGN KEY constraint failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			insert(t, s, 2)
			if err := s.SetSyncInfo(t.Context(), []byte(first)); err != nil {
				t.Fatal(err)
			}
			err := s.SetSyncInfo(t.Context(), []byte(tt.report))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Error(err)
			}
			if got := dump(t, s, "SELECT id, key, value FROM labels ORDER BY id, key"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			// What another agent's labels became does not stay.
			if err := s.SetSyncInfo(t.Context(), []byte(first)); err != nil {
				t.Fatal(err)
			}
			if got := dump(t, s, "SELECT id, key, value FROM labels WHERE id = 1"); got != `[{"id":1,"key":"k","value":"v"}]` {
				t.Error("afterwards:", got)
			}
		})
	}
}

func TestSetSyncInfo_NewestWins(t *testing.T) {
	report := func(node, status, keepalive string) string {
		text := fmt.Sprintf(`[{"id":1,"name":"a","connection_status":"%s","group_config_status":"synced"`, status)
		if node != "" {
			text += fmt.Sprintf(`,"node_name":"%s"`, node)
		}
		if keepalive != "" {
			text += `,"last_keepalive":` + keepalive
		}
		return text + `}]`
	}
	future := fmt.Sprint(time.Now().Unix() + 3600)
	tests := []struct {
		name         string
		ours, theirs string
		taken        bool
	}{
		{"newer of another node", report("w1", "active", "100"), report("w2", "active", "101"), true},
		{"older of another node", report("w1", "active", "100"), report("w2", "active", "99"), false},
		{"older, disconnected, of another node", report("w2", "active", "100"), report("w1", "disconnected", "99"), false},
		{"newer, disconnected, of another node", report("w2", "active", "100"), report("w1", "disconnected", "101"), true},
		{"same second, connected", report("w1", "active", "100"), report("w2", "pending", "100"), true},
		{"same second, disconnected after connected", report("w1", "active", "100"), report("w2", "disconnected", "100"), false},
		{"same second, both disconnected", report("w1", "disconnected", "100"), report("w2", "disconnected", "100"), true},
		{"same node, same second", report("w1", "active", "100"), report("w1", "disconnected", "100"), true},
		{"same node, clock set back", report("w1", "active", "100"), report("w1", "disconnected", "50"), true},
		{"another node, no keep-alive", report("w1", "active", "100"), report("w2", "disconnected", ""), false},
		{"another node, keep-alive as text", report("w1", "active", "100"), report("w2", "disconnected", `"200"`), false},
		{"no keep-alive of ours", report("w1", "pending", ""), report("w2", "active", "5"), true},
		{"neither has a keep-alive", report("w1", "pending", ""), report("w2", "disconnected", ""), true},
		{"ours in the future", report("w1", "active", future), report("w2", "disconnected", "100"), true},
		{"ours saturated", report("w1", "active", "253402300799"), report("w2", "disconnected", "253402300799"), true},
		{"newer, no node given", report("w1", "active", "100"), report("", "pending", "101"), true},
		{"older, no node given", report("w1", "active", "100"), report("", "disconnected", "50"), false},
		{"newer of an unknown node", report("w1", "active", "100"), report("unknown", "pending", "101"), true},
		{"older of an unknown node", report("w1", "active", "100"), report("unknown", "disconnected", "50"), false},
		{"unknown node, no keep-alive", report("w1", "active", "100"), report("unknown", "never_connected", ""), false},
		{"ours of no node", report("", "active", "100"), report("w2", "disconnected", "50"), false},
		{"ours of an unknown node", report("unknown", "active", "100"), report("w2", "disconnected", "50"), false},
		{"both of unknown nodes, newer", report("unknown", "active", "100"), report("unknown", "disconnected", "101"), true},
		{"both of unknown nodes, older", report("unknown", "pending", "100"), report("unknown", "active", "99"), false},
		{"both of unknown nodes, same second", report("unknown", "active", "100"), report("unknown", "disconnected", "100"), true},
		{"ours of an unknown node, in the future", report("unknown", "active", future), report("w2", "active", "100"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			insert(t, s, 1)
			const row = "SELECT node_name, last_keepalive, connection_status FROM agent WHERE id = 1"
			if err := s.SetSyncInfo(t.Context(), []byte(tt.ours)); err != nil {
				t.Fatal(err)
			}
			ours := dump(t, s, row)
			// In one transaction with the first, and in one of its own.
			for _, text := range []string{tt.ours[:len(tt.ours)-1] + "," + tt.theirs[1:], tt.theirs} {
				if err := s.SetSyncInfo(t.Context(), []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if got := dump(t, s, row); (got != ours) != tt.taken {
				t.Errorf("had %s, has %s", ours, got)
			}
			sameRoster(t, s)
		})
	}
}

func TestSetSyncInfo_Manager(t *testing.T) {
	s := start(t)
	report := `[{"id":0,"name":"m","node_name":"w1","last_keepalive":253402300799,"connection_status":"active","group_config_status":"synced"}]`
	for range 2 {
		if err := s.SetSyncInfo(t.Context(), []byte(report)); err != nil {
			t.Fatal(err)
		}
	}
	if got := dump(t, s, "SELECT name, last_keepalive FROM agent"); got != `[{"name":"m","last_keepalive":2147483647}]` {
		t.Error(got)
	}
}

// A whole worker's report goes from one database to another and back out.
func TestSetSyncInfo_CarriesEverything(t *testing.T) {
	worker, master := start(t), start(t)
	insert(t, worker, 700)
	insert(t, master, 700)
	now := time.Now().Unix()
	if err := worker.SetSyncInfo(t.Context(), fullReport(1, 700, "w1", now, agent.Active)); err != nil {
		t.Fatal(err)
	}
	for i := 10; i < 20; i++ {
		err := worker.UpdateData(t.Context(), with(fullData(agent.ID(i)), func(d *Data) { d.Labels = ptr("x:1\na:2") }))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := worker.ReportAll(t.Context(), "w1"); err != nil {
		t.Fatal(err)
	}
	const rows = "SELECT " + reported + " FROM agent WHERE id > 0"
	for range 2 {
		chunks, more, confirm, err := worker.PendingInfo(t.Context(), 0)
		if err != nil || more {
			t.Fatal(more, err)
		}
		for _, c := range chunks {
			if err := master.SetSyncInfo(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if err := confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(dump(t, worker, rows), dump(t, master, rows)); d != "" {
			t.Error(d)
		}
		const labels = "SELECT * FROM labels ORDER BY id, key"
		if d := cmp.Diff(dump(t, worker, labels), dump(t, master, labels)); d != "" {
			t.Error(d)
		}
		for i := 1; i <= 700; i += 7 {
			if err := worker.UpdateKeepalive(t.Context(), agent.ID(i), "active", "syncreq"); err != nil {
				t.Fatal(err)
			}
		}
	}
	sameRoster(t, master)
	sameRoster(t, worker)
}

// FuzzScanner compares what is JSON, and what is in it, with encoding/json.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`[{"id":1,"name":"a\u00e4\ud83d\ude00\n","x":[1,{"y":null}],"status_code":-1.5e3}]`, `[]`, `{}`, `"a`, `[1,]`, `01`, `-`, `1.`, `[{"id":}]`,
		`[{"labels":[{"id":1,"key":"k","value":"v"}],"id":3}]`, "[\"\x01\"]", `"\ud800"`, `"\u12"`, ` tru`, `[true,false]`, `1e5 `, `{"a":1,"a":2}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		s := scanner{text: input}
		got := s.skip(1000) && s.peek() == 0 && s.at == len(input)
		if want := json.Valid([]byte(input)); got != want {
			t.Fatalf("%q: JSON is %v, want %v", input, got, want)
		}
		if !got {
			return
		}
		s = scanner{text: input, sound: true}
		var v value
		if !s.value(&v, 1000) {
			t.Fatalf("%q is not read again", input)
		}
		var want any
		if err := json.Unmarshal([]byte(input), &want); err != nil {
			return // a number out of range
		}
		switch w := want.(type) {
		case string:
			w, _, _ = strings.Cut(w, "\x00")
			if v.kind != text || strings.ToValidUTF8(v.text, "") != strings.ReplaceAll(strings.ToValidUTF8(w, ""), "\ufffd", "") &&
				strings.ToValidUTF8(v.text, "\ufffd") != w && !strings.Contains(w, "\ufffd") {
				t.Fatalf("%q is %q, want %q", input, v.text, w)
			}
		case float64:
			if v.kind != number || float64(v.number) != math.Trunc(min(max(w, math.MinInt32), math.MaxInt32)) {
				t.Fatalf("%q is %d, want %v", input, v.number, w)
			}
		default:
			if v.kind != absent {
				t.Fatalf("%q is a %d", input, v.kind)
			}
		}
		s = scanner{text: input, sound: true}
		var r infoRow
		if s.peek() == '[' && !s.array(maxDepth, func() bool { return s.infoRow(&r) }) && depthOf(input) < maxDepth-2 {
			t.Fatalf("%q is no report", input)
		}
	})
}

// depthOf is an upper bound of the nesting.
func depthOf(text string) int { return strings.Count(text, "[") + strings.Count(text, "{") }

func FuzzSetSyncInfo(f *testing.F) {
	f.Add([]byte(`[{"id":1,"name":"a","connection_status":"active","group_config_status":"synced"}]`))
	f.Add([]byte(`[{"id":1,"labels":[{"id":1,"key":"","value":"\u0000"}]}]`))
	s := start(f)
	insert(f, s, 3)
	f.Fuzz(func(t *testing.T, report []byte) {
		err := s.SetSyncInfo(t.Context(), report)
		var refused *QueryError
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrLabelID) {
			t.Fatal(err)
		}
		if !json.Valid(report) && err == nil {
			t.Fatal("not JSON")
		}
		sameRoster(t, s)
	})
}
