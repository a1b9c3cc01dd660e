package agentdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

func pendingIDs(t *testing.T, s *Store, max int) (ids []int, more bool, confirm func(context.Context) error) {
	t.Helper()
	chunks, more, confirm, err := s.PendingInfo(t.Context(), max)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		var rows []struct{ ID int }
		if err := json.Unmarshal(c, &rows); err != nil || len(rows) == 0 || len(c) > pageLimit {
			t.Fatal(len(c), len(rows), err)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
	}
	return ids, more, confirm
}

func TestSyncInfo(t *testing.T) {
	s := start(t)
	insert(t, s, 3)
	ctx := t.Context()
	page := func(from *agent.ID) string {
		t.Helper()
		p, err := s.SyncInfo(ctx, from)
		if err != nil || p.More {
			t.Fatal(p.More, err)
		}
		return timeless(string(p.JSON))
	}
	if got := page(nil); got != `[]` {
		t.Error(got)
	}
	for _, id := range []agent.ID{2, 0} {
		if err := s.UpdateKeepalive(ctx, id, "pending", "syncreq"); err != nil {
			t.Fatal(err)
		}
	}
	const two = `[{"id":2,"name":"agent-000002","ip":"10.0.0.2","node_name":"unknown","last_keepalive":NOW,"connection_status":"pending","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`
	if got := page(nil); got != two {
		t.Error(got)
	}
	if got := page(nil); got != `[]` {
		t.Error("delivered twice:", got)
	}
	before := agent.ID(-1)
	if got := page(&before); !strings.HasPrefix(got, `[{"id":0,`) {
		t.Error("the manager, asked for:", got)
	}
	err := s.UpdateData(ctx, with(fullData(3), func(d *Data) { d.SyncStatus, d.Labels = ptr("syncreq"), ptr("b:1\na:\"2\"") }))
	if err != nil {
		t.Fatal(err)
	}
	const three = `[{"id":3,"name":"agent-000003","ip":"10.0.0.3","os_name":"Debian","os_uname":"Linux","version":"Wazuh v4.7.5","node_name":"w1","last_keepalive":NOW,"connection_status":"active","disconnection_time":0,"group_config_status":"synced","status_code":0,"labels":[{"id":3,"key":"a","value":"\"2\""},{"id":3,"key":"b","value":"1"}]}]`
	if got := page(nil); got != three {
		t.Error(got)
	}
	sameRoster(t, s)
}

func TestSyncInfo_PositionOfAll(t *testing.T) {
	s := start(t)
	insert(t, s, 400)
	if err := s.SetSyncInfo(t.Context(), fullReport(1, 400, "w1", 1, agent.Active)); err != nil {
		t.Fatal(err)
	}
	if err := s.ReportAll(t.Context(), "w1"); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for more := true; more; {
		p, err := s.SyncInfo(t.Context(), nil)
		var rows []struct{ ID int }
		if err == nil {
			err = json.Unmarshal(p.JSON, &rows)
		}
		if err != nil || len(rows) == 0 || rows[0].ID != seen+1 || len(p.JSON) > pageLimit {
			t.Fatal(err, rows)
		}
		seen, more = rows[len(rows)-1].ID, p.More
		if more && int(s.cursor) != seen || !more && s.cursor != 0 {
			t.Error("position", s.cursor, "after", seen)
		}
	}
	if seen != 400 {
		t.Error(seen)
	}
}

// An agent whose record fills more than a page does not stop the others.
func TestSyncInfo_RecordOfMoreThanAPage(t *testing.T) {
	s := start(t)
	insert(t, s, 2)
	long := with(fullData(1), func(d *Data) { d.SyncStatus, d.Labels = ptr("syncreq"), ptr("k:"+strings.Repeat("x", pageLimit)) })
	if err := s.UpdateData(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateKeepalive(t.Context(), 2, "active", "syncreq"); err != nil {
		t.Fatal(err)
	}
	chunks, _, _, err := s.PendingInfo(t.Context(), 0)
	if err != nil || len(chunks) != 2 || len(chunks[0]) < pageLimit {
		t.Error(len(chunks), err)
	}
	p, err := s.SyncInfo(t.Context(), nil)
	if err != nil || p.More || !strings.HasPrefix(string(p.JSON), `[{"id":2,`) {
		t.Error(string(p.JSON), err)
	}
}

func TestPendingInfo_IsMarkedWhenConfirmed(t *testing.T) {
	s := start(t)
	insert(t, s, 5)
	ctx := t.Context()
	for id := range agent.ID(6) {
		if err := s.UpdateKeepalive(ctx, id, "active", "syncreq"); err != nil {
			t.Fatal(err)
		}
	}
	ids, more, confirm := pendingIDs(t, s, 3)
	if fmt.Sprint(ids) != "[1 2 3]" || !more {
		t.Error(ids, more)
	}
	again, _, _ := pendingIDs(t, s, 0)
	if fmt.Sprint(again) != "[1 2 3 4 5]" {
		t.Error("not confirmed, not offered again:", again)
	}
	// 2 changes before the confirmation, 3 goes.
	if err := s.UpdateConnectionStatus(ctx, 2, "disconnected", "syncreq", 3); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteAgent(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := confirm(ctx); err != nil {
			t.Fatal(err)
		}
	}
	rest, more, confirm := pendingIDs(t, s, 3)
	if fmt.Sprint(rest) != "[2 4 5]" || more {
		t.Error(rest, more)
	}
	sameRoster(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Another process of the node: what was confirmed stays so, the rest does too.
	s = startAt(t, s.o)
	if after, _, _ := pendingIDs(t, s, 0); fmt.Sprint(after) != "[2 4 5]" {
		t.Error(after)
	}
	if err := confirm(ctx); err == nil {
		t.Error("a closed store confirms")
	}
}

func TestPendingInfo_AfterReloadingNothingOldIsConfirmed(t *testing.T) {
	s := start(t, func(o *Options) { o.AllowWrites = true })
	insert(t, s, 1)
	ctx := t.Context()
	if err := s.UpdateKeepalive(ctx, 1, "active", "syncreq"); err != nil {
		t.Fatal(err)
	}
	_, _, confirm := pendingIDs(t, s, 0)
	if _, err := s.SQL(ctx, "UPDATE agent SET os_name = 'x' WHERE id = 1", true); err != nil {
		t.Fatal(err)
	}
	if err := confirm(ctx); err != nil {
		t.Fatal(err)
	}
	if ids, _, _ := pendingIDs(t, s, 0); len(ids) != 1 {
		t.Error("a change was lost")
	}
}

// Looked up one by one or scanned, the chunks are the same.
func TestPendingInfo_ScanAndLookUp(t *testing.T) {
	s := start(t)
	insert(t, s, 300)
	ctx := t.Context()
	for i := 1; i <= 300; i += 3 {
		err := s.UpdateData(ctx, with(fullData(agent.ID(i)), func(d *Data) { d.Labels = ptr(fmt.Sprintf("n:%d\na:b", i)) }))
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 100; i < 130; i++ {
		if err := s.UpdateKeepalive(ctx, agent.ID(i), "active", "syncreq"); err != nil {
			t.Fatal(err)
		}
	}
	few, _, _, err := s.PendingInfo(ctx, 0) // 30 of 300
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(ctx, false, func(t *tx) error {
		t.reloadRoster()
		return t.exec("DELETE FROM agent WHERE id > 130")
	}); err != nil {
		t.Fatal(err)
	}
	many, _, _, err := s.PendingInfo(ctx, 0) // 30 of 130
	if err != nil {
		t.Fatal(err)
	}
	if len(few) != 1 || len(many) != 1 || string(few[0]) != string(many[0]) {
		t.Errorf("%s\n%s", few, many)
	}
}

func TestReportAll(t *testing.T) {
	s := start(t)
	insert(t, s, 4)
	ctx := t.Context()
	report := string(fullReport(1, 2, "w1", 5, agent.Active))
	report = report[:len(report)-1] + "," + string(fullReport(3, 3, "w2", 5, agent.Active))[1:]
	report = report[:len(report)-1] + "," + string(fullReport(4, 4, "w1", 5, agent.NeverConnected))[1:]
	if err := s.SetSyncInfo(ctx, []byte(report)); err != nil {
		t.Fatal(err)
	}
	if err := s.ReportAll(ctx, "nobody"); err != nil {
		t.Fatal(err)
	}
	if ids, _, _ := pendingIDs(t, s, 0); len(ids) != 0 {
		t.Error(ids)
	}
	if err := s.ReportAll(ctx, "w1"); err != nil {
		t.Fatal(err)
	}
	if ids, _, _ := pendingIDs(t, s, 0); fmt.Sprint(ids) != "[1 2]" {
		t.Error(ids)
	}
	sameRoster(t, s)
}

func TestAgents_List(t *testing.T) {
	s := start(t)
	insert(t, s, 6)
	ctx := t.Context()
	now := time.Now().Unix()
	if err := s.SetSyncInfo(ctx, fullReport(1, 3, "w1", now, agent.Active)); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSyncInfo(ctx, fullReport(4, 4, "w2", now, agent.Disconnected)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		filter Filter
		ids    string
		total  int
	}{
		{"all", Filter{}, "[001 002 003 004 005 006]", 6},
		{"with the manager", Filter{After: -1}, "[000 001 002 003 004 005 006]", 7},
		{"page", Filter{After: 2, Limit: 2}, "[003 004]", 6},
		{"node", Filter{Node: "w1", Limit: 1}, "[001]", 3},
		{"status", Filter{Status: agent.NeverConnected}, "[005 006]", 2},
		{"status and node", Filter{Status: agent.Disconnected, Node: "w2", After: 4}, "[]", 1},
		{"unknown status", Filter{Status: "x"}, "[]", 0},
		{"unknown node", Filter{Node: "x"}, "[]", 0},
		{"version", Filter{Version: "Wazuh v4.7.5", After: 1}, "[002 003 004]", 4},
		{"unknown version", Filter{Version: "x"}, "[]", 0},
		{"group", Filter{Group: "default", Limit: 2}, "[001 002]", 6},
		{"part of a group's name", Filter{Group: "def"}, "[]", 0},
		{"name", Filter{Name: "0003"}, "[003]", 1},
		{"name of many", Filter{Name: "agent", After: 5}, "[006]", 6},
	}
	for _, tt := range tests {
		list, total, err := s.Agents(ctx, tt.filter)
		ids := []agent.ID{}
		for _, a := range list {
			ids = append(ids, a.ID)
		}
		if fmt.Sprint(ids) != tt.ids || total != tt.total || err != nil {
			t.Errorf("%s: %v of %d, %v; want %s of %d", tt.name, ids, total, err, tt.ids, tt.total)
		}
	}
	list, _, err := s.Agents(ctx, Filter{After: 3, Limit: 2})
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for i, want := range []string{
		`{"id":"004","name":"agent-000004","ip":"10.0.0.4","status":"disconnected","node":"w2","version":"Wazuh v4.7.5","groups":["default"],"last_keepalive":NOW}`,
		`{"id":"005","name":"agent-000005","ip":"10.0.0.5","status":"never_connected","node":"unknown","groups":["default"]}`,
	} {
		if got := timeless(string(list[i].AppendJSON(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	counts, err := s.Counts(ctx)
	want := Counts{
		Total:    6,
		ByStatus: map[agent.Status]int{agent.Active: 3, agent.Disconnected: 1, agent.NeverConnected: 2},
		ByNode: map[string]map[agent.Status]int{
			"unknown": {agent.NeverConnected: 2}, "w1": {agent.Active: 3}, "w2": {agent.Disconnected: 1},
		},
	}
	if d := cmp.Diff(want, counts); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestAgent_AppendJSON(t *testing.T) {
	for id, want := range map[agent.ID]string{0: "000", 7: "007", 10: "010", 99: "099", 100: "100", 1234: "1234"} {
		a := Agent{ID: id, Name: "a\"\xff", Groups: []string{"x", "y"}}
		if got := string(a.AppendJSON(nil)); got != `{"id":"`+want+`","name":"a\"`+"\ufffd"+`","groups":["x","y"]}` {
			t.Error(got)
		}
	}
}
