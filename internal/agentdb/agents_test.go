package agentdb

import (
	"context"
	"errors"
	"math"
	"regexp"
	"testing"

	"testudo/internal/agent"
)

// state is an agent's row without what the insertion gave it.
const state = "SELECT ip, os_name, os_uname, version, node_name, last_keepalive, sync_status, connection_status," +
	" disconnection_time, group_config_status, status_code FROM agent WHERE id = ?1"

// timeless replaces times of now.
func timeless(text string) string {
	return regexp.MustCompile(`1[789]\d{8}\b`).ReplaceAllString(text, "NOW")
}

func fullData(id agent.ID) Data {
	return Data{
		ID: id, OSName: ptr("Debian"), OSUname: ptr("Linux"), Version: ptr("Wazuh v4.7.5"), NodeName: ptr("w1"),
		ConnectionStatus: ptr("active"), GroupConfigStatus: ptr("synced"),
	}
}

func with(d Data, change func(*Data)) Data {
	change(&d)
	return d
}

func TestAgents_Writes(t *testing.T) {
	type call = func(context.Context, *Store) error
	data := func(d Data) call {
		return func(ctx context.Context, s *Store) error { return s.UpdateData(ctx, d) }
	}
	const untouched = `[{"ip":"10.0.0.1","node_name":"unknown","sync_status":"synced","connection_status":"never_connected","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`
	const badStatus = "CHECK constraint failed: connection_status IN ('pending', 'never_connected', 'active', 'disconnected')"
	const badSync = "CHECK constraint failed: sync_status IN ('synced', 'syncreq')"
	tests := []struct {
		name  string
		calls []call
		want  string // of agent 1
		err   string // of the last call
	}{
		{"nothing", nil, untouched, ""},
		{"keepalive", []call{func(ctx context.Context, s *Store) error { return s.UpdateKeepalive(ctx, 1, "active", "syncreq") }},
			`[{"ip":"10.0.0.1","node_name":"unknown","last_keepalive":NOW,"sync_status":"syncreq","connection_status":"active","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`, ""},
		{"keepalive with a bad status", []call{func(ctx context.Context, s *Store) error { return s.UpdateKeepalive(ctx, 1, "gone", "syncreq") }}, untouched, badStatus},
		{"keepalive with a bad sync", []call{func(ctx context.Context, s *Store) error {
			return s.UpdateKeepalive(ctx, 1, "never_connected", "no")
		}}, untouched, badSync},
		{"keepalive of nobody", []call{func(ctx context.Context, s *Store) error { return s.UpdateKeepalive(ctx, 99, "x", "y") }}, untouched, ""},
		{"disconnected", []call{func(ctx context.Context, s *Store) error {
			return s.UpdateConnectionStatus(ctx, 1, "disconnected", "syncreq", 3)
		}}, `[{"ip":"10.0.0.1","node_name":"unknown","sync_status":"syncreq","connection_status":"disconnected","disconnection_time":NOW,"group_config_status":"not synced","status_code":3}]`, ""},
		{"disconnected and back", []call{
			func(ctx context.Context, s *Store) error {
				return s.UpdateConnectionStatus(ctx, 1, "disconnected", "syncreq", 3)
			},
			func(ctx context.Context, s *Store) error { return s.UpdateKeepalive(ctx, 1, "pending", "synced") },
		}, `[{"ip":"10.0.0.1","node_name":"unknown","last_keepalive":NOW,"sync_status":"synced","connection_status":"pending","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`, ""},
		{"status code", []call{func(ctx context.Context, s *Store) error {
			return s.UpdateStatusCode(ctx, 1, 2, "syncreq", ptr("Wazuh v4.8.0"))
		}}, `[{"ip":"10.0.0.1","version":"Wazuh v4.8.0","node_name":"unknown","sync_status":"syncreq","connection_status":"never_connected","disconnection_time":0,"group_config_status":"not synced","status_code":2}]`, ""},
		{"data", []call{data(fullData(1))},
			`[{"ip":"10.0.0.1","os_name":"Debian","os_uname":"Linux","version":"Wazuh v4.7.5","node_name":"w1","last_keepalive":NOW,"sync_status":"synced","connection_status":"active","disconnection_time":0,"group_config_status":"synced","status_code":0}]`, ""},
		{"data, then less of it", []call{data(fullData(1)), data(Data{ID: 1, AgentIP: ptr("::1"), ConnectionStatus: ptr("pending"), GroupConfigStatus: ptr("not synced"), SyncStatus: ptr("syncreq")})},
			`[{"ip":"::1","last_keepalive":NOW,"sync_status":"syncreq","connection_status":"pending","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`, ""},
		{"data twice, disconnected in between", []call{
			data(fullData(1)),
			func(ctx context.Context, s *Store) error {
				return s.UpdateConnectionStatus(ctx, 1, "disconnected", "syncreq", 3)
			},
			data(fullData(1)),
		}, `[{"ip":"10.0.0.1","os_name":"Debian","os_uname":"Linux","version":"Wazuh v4.7.5","node_name":"w1","last_keepalive":NOW,"sync_status":"synced","connection_status":"active","disconnection_time":NOW,"group_config_status":"synced","status_code":3}]`, ""},
		{"data without status", []call{data(with(fullData(1), func(d *Data) { d.ConnectionStatus = nil }))}, untouched, "NOT NULL constraint failed: agent.connection_status"},
		{"data without group status", []call{data(with(fullData(1), func(d *Data) { d.GroupConfigStatus = nil }))}, untouched, "NOT NULL constraint failed: agent.group_config_status"},
		{"data with a bad group status", []call{data(with(fullData(1), func(d *Data) { d.GroupConfigStatus = ptr("x") }))}, untouched,
			"CHECK constraint failed: group_config_status IN ('synced', 'not synced')"},
		{"data again without status", []call{data(fullData(1)), data(with(fullData(1), func(d *Data) { d.ConnectionStatus = nil }))},
			`[{"ip":"10.0.0.1","os_name":"Debian","os_uname":"Linux","version":"Wazuh v4.7.5","node_name":"w1","last_keepalive":NOW,"sync_status":"synced","connection_status":"active","disconnection_time":0,"group_config_status":"synced","status_code":0}]`,
			"NOT NULL constraint failed: agent.connection_status"},
		{"id taken", []call{func(ctx context.Context, s *Store) error { return s.InsertAgent(ctx, NewAgent{ID: 1, Name: "x"}) }}, untouched, "UNIQUE constraint failed: agent.id"},
		{"deleted", []call{func(ctx context.Context, s *Store) error { return s.DeleteAgent(ctx, 1) }}, `[]`, ""},
		{"reset", []call{
			func(ctx context.Context, s *Store) error { return s.UpdateKeepalive(ctx, 1, "pending", "synced") },
			func(ctx context.Context, s *Store) error { return s.ResetConnections(ctx, "syncreq") },
		}, `[{"ip":"10.0.0.1","node_name":"unknown","last_keepalive":NOW,"sync_status":"syncreq","connection_status":"disconnected","disconnection_time":NOW,"group_config_status":"not synced","status_code":5}]`, ""},
		{"reset of one that never came", []call{func(ctx context.Context, s *Store) error { return s.ResetConnections(ctx, "bad") }}, untouched, ""},
		{"reset with a bad sync", []call{
			func(ctx context.Context, s *Store) error {
				return s.UpdateConnectionStatus(ctx, 1, "active", "synced", 0)
			},
			func(ctx context.Context, s *Store) error { return s.ResetConnections(ctx, "bad") },
		}, `[{"ip":"10.0.0.1","node_name":"unknown","sync_status":"synced","connection_status":"active","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`, badSync},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkWrites(t, tt.calls, tt.want, tt.err) })
	}
}

// checkWrites makes calls on a store with one agent and looks at what it became,
// and at the error of the last call.
func checkWrites(t *testing.T, calls []func(context.Context, *Store) error, want, wantErr string) {
	t.Helper()
	s := start(t)
	insert(t, s, 1)
	var err error
	for _, c := range calls {
		err = c(t.Context(), s)
	}
	var refused *QueryError
	if wantErr == "" && err != nil || wantErr != "" && (!errors.As(err, &refused) || refused.Text != wantErr) {
		t.Errorf("error is %v, want %q", err, wantErr)
	}
	if got := timeless(dump(t, s, state, 1)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	sameRoster(t, s)
}

func TestUpdateData_Manager(t *testing.T) {
	s := start(t)
	for range 2 {
		if err := s.UpdateData(t.Context(), fullData(0)); err != nil {
			t.Fatal(err)
		}
	}
	if got := dump(t, s, "SELECT last_keepalive FROM agent WHERE id = 0"); got != `[{"last_keepalive":253402300799}]` {
		t.Error(got)
	}
}

func TestUpdateData_Labels(t *testing.T) {
	tests := []struct {
		name   string
		labels []*string // one call each
		want   string
		err    string
	}{
		{"some", []*string{ptr("b:2\na:1\nno colon\n!\"site\":rack 4\n:\nx:y:z\r")},
			`[{"id":1,"key":"","value":""},{"id":1,"key":"!\"site\"","value":"rack 4"},{"id":1,"key":"a","value":"1"},{"id":1,"key":"b","value":"2"},{"id":1,"key":"x","value":"y:z\r"}]`, ""},
		{"replaced", []*string{ptr("a:1"), ptr("b:2")}, `[{"id":1,"key":"b","value":"2"}]`, ""},
		{"the same", []*string{ptr("a:1"), ptr("a:1")}, `[{"id":1,"key":"a","value":"1"}]`, ""},
		{"gone", []*string{ptr("a:1"), nil}, `[]`, ""},
		{"twice", []*string{ptr("a:1\nb:2\na:3\nc:4")}, `[{"id":1,"key":"a","value":"1"},{"id":1,"key":"b","value":"2"}]`, "UNIQUE constraint failed: labels.id, labels.key"},
		{"twice, and again", []*string{ptr("a:1\na:3\nc:4"), ptr("a:1\na:3\nc:4")}, `[{"id":1,"key":"a","value":"1"}]`, "UNIQUE constraint failed: labels.id, labels.key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			insert(t, s, 1)
			var err error
			for _, l := range tt.labels {
				err = s.UpdateData(t.Context(), with(fullData(1), func(d *Data) { d.Labels = l }))
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Error(err)
			}
			page, err := s.Labels(t.Context(), 1)
			if err != nil || string(page.JSON) != tt.want {
				t.Errorf("got  %s\nwant %s (%v)", page.JSON, tt.want, err)
			}
			if got := dump(t, s, "SELECT os_name FROM agent WHERE id = 1"); got != `[{"os_name":"Debian"}]` {
				t.Error("the row is not written:", got)
			}
		})
	}
	s := start(t)
	if err := s.UpdateData(t.Context(), fullData(7)); err != nil {
		t.Error(err)
	}
	err := s.UpdateData(t.Context(), with(fullData(7), func(d *Data) { d.Labels = ptr("a:1") }))
	if err == nil || err.Error() != "FOREIGN KEY constraint failed" {
		t.Error(err)
	}
}

func TestDisconnectAgents(t *testing.T) {
	s := start(t)
	insert(t, s, 4)
	report := fullReport(1, 2, "w1", 1000, agent.Active)
	if err := errors.Join(s.SetSyncInfo(t.Context(), report),
		s.SetSyncInfo(t.Context(), fullReport(3, 3, "w1", 1000, agent.Disconnected)),
		s.UpdateKeepalive(t.Context(), 4, "active", "synced")); err != nil {
		t.Fatal(err)
	}
	var refused *DisconnectError
	if _, err := s.DisconnectAgents(t.Context(), 0, 1001, "bad"); !errors.As(err, &refused) || string(refused.JSON) != `[{"id":1},{"id":2}]` {
		t.Error(err)
	}
	page, err := s.DisconnectAgents(t.Context(), 1, 1001, "syncreq")
	if err != nil || string(page.JSON) != `[{"id":2}]` || page.More {
		t.Error(string(page.JSON), err)
	}
	want := `[{"ip":"10.0.0.2","os_name":"Debian GNU/Linux","node_name":"w1","last_keepalive":1000,"sync_status":"syncreq","connection_status":"disconnected","disconnection_time":NOW,"status_code":4}]`
	got := timeless(dump(t, s, "SELECT ip, os_name, node_name, last_keepalive, sync_status, connection_status, disconnection_time, status_code FROM agent WHERE id = 2"))
	if got != want {
		t.Error(got)
	}
	// The manager is far in the future, but can be asked for.
	page, err = s.DisconnectAgents(t.Context(), -1, math.MaxInt64, "synced")
	if err != nil || string(page.JSON) != `[{"id":0},{"id":1},{"id":4}]` {
		t.Error(string(page.JSON), err)
	}
	sameRoster(t, s)
}

func TestAgents_Reads(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	for i, registered := range []*string{ptr("any"), ptr("10.0.0.0/24"), ptr("10.0.0.0"), nil, ptr("10.0.0.0/")} {
		name := "same"
		if i == 0 {
			name = "odd \"name\"\n"
		}
		if err := s.InsertAgent(ctx, NewAgent{ID: agent.ID(i + 1), Name: name, RegisterIP: registered, DateAdd: 17}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.UpdateKeepalive(ctx, 3, "active", "synced"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		page func() (Page, error)
		want string
	}{
		{"name", func() (Page, error) { return s.AgentName(ctx, 1) }, `[{"name":"odd \"name\"\n"}]`},
		{"name of nobody", func() (Page, error) { return s.AgentName(ctx, 9) }, `[]`},
		{"no group", func() (Page, error) { return s.AgentGroup(ctx, 1) }, `[{}]`},
		{"group of nobody", func() (Page, error) { return s.AgentGroup(ctx, 9) }, `[]`},
		{"no labels", func() (Page, error) { return s.Labels(ctx, 1) }, `[]`},
		{"info", func() (Page, error) { return s.AgentInfo(ctx, 2) },
			`[{"id":2,"name":"same","register_ip":"10.0.0.0/24","node_name":"unknown","date_add":17,"group_sync_status":"synced","sync_status":"synced","connection_status":"never_connected","disconnection_time":0,"group_config_status":"not synced","status_code":0}]`},
		{"find by address", func() (Page, error) { return s.FindAgent(ctx, "same", "10.0.0.0") }, `[{"id":2},{"id":3}]`},
		{"find by wild card", func() (Page, error) { return s.FindAgent(ctx, "same", "%") }, `[]`},
		{"find by another name", func() (Page, error) { return s.FindAgent(ctx, "Same", "10.0.0.0") }, `[]`},
		{"all", func() (Page, error) { return s.AllAgents(ctx, -1) }, `[{"id":0},{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}]`},
		{"all behind 3", func() (Page, error) { return s.AllAgents(ctx, 3) }, `[{"id":4},{"id":5}]`},
		{"all behind all", func() (Page, error) { return s.AllAgents(ctx, math.MaxInt32) }, `[]`},
		{"by status", func() (Page, error) { return s.AgentsByStatus(ctx, 0, "active", nil) }, `[{"id":3}]`},
		{"by no status", func() (Page, error) { return s.AgentsByStatus(ctx, 0, "x", nil) }, `[]`},
		{"by node", func() (Page, error) {
			return s.AgentsByStatus(ctx, 1, "never_connected", &NodeFilter{Node: "unknown", Limit: 2})
		}, `[{"id":2},{"id":4}]`},
		{"by node, none", func() (Page, error) {
			return s.AgentsByStatus(ctx, 0, "never_connected", &NodeFilter{Node: "unknown"})
		}, `[]`},
		{"by another node", func() (Page, error) { return s.AgentsByStatus(ctx, 0, "active", &NodeFilter{Node: "w1", Limit: -1}) }, `[]`},
	}
	for _, tt := range tests {
		page, err := tt.page()
		if err != nil || string(page.JSON) != tt.want || page.More {
			t.Errorf("%s: %s, more %v, %v, want %s", tt.name, page.JSON, page.More, err, tt.want)
		}
	}
}

func TestPages_AreOfTheSizeOfTheOriginals(t *testing.T) {
	thousands(t)
	s := start(t)
	insert(t, s, 12000)
	after, rows, pages := agent.ID(0), 0, 0
	for more := true; more; pages++ {
		page, err := s.AllAgents(t.Context(), after)
		if err != nil || len(page.JSON) > pageLimit {
			t.Fatal(len(page.JSON), err)
		}
		if page.More && len(page.JSON) < pageLimit-15 {
			t.Error("page has room left:", len(page.JSON))
		}
		ids := regexp.MustCompile(`\d+`).FindAllString(string(page.JSON), -1)
		rows += len(ids)
		last, err := agent.ParseID(ids[len(ids)-1])
		if err != nil {
			t.Fatal(err)
		}
		after, more = last, page.More
	}
	if rows != 12000 || pages != 3 {
		t.Error(rows, pages)
	}
}
