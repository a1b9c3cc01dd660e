package managerapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
)

func TestTotals(t *testing.T) {
	tests := []struct {
		name, file, want string
		code             fault.Code
	}{
		{"an hour", "0-5501-3-2\n0--3--10--0--0\n", `[{"hour":0,"alerts":[{"sigid":5501,"level":3,"times":2}],"totalAlerts":3,"events":10,"syscheck":0,"firewall":0}]`, 0},
		{"empty", "", `[]`, 0},
		{"not closed", "0-1-2-3\n", `[]`, 0},
		{"other lines", "x\n0-1-2\n0-1-2-3-4\n\n0--1--2--3--4", `[{"hour":0,"alerts":[],"totalAlerts":1,"events":2,"syscheck":3,"firewall":4}]`, 0},
		{"blanks", " 0 - 1 - 2 - 3 \n0--1--2--3--4\n", `[{"hour":0,"alerts":[{"sigid":1,"level":2,"times":3}],"totalAlerts":1,"events":2,"syscheck":3,"firewall":4}]`, 0},
		{"too few numbers", "0--1--2--3\n", "", fault.StatsDamaged},
		{"no numbers", "0-a-1-1\n", "", fault.StatsDamaged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write("stats/totals/2026/Nov/ossec-totals-02.log", test.file)
			o := h.call("wazuh.stats.totals", `{"date": {"__wazuh_datetime__": "2026-11-02T10:00:00+00:00"}}`)
			if test.code != 0 {
				if got := h.failure(o).Code; got != test.code {
					t.Errorf("error %d, want %d", got, test.code)
				}
				return
			}
			if got := h.items(o); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	h := newHouse(t)
	for kwargs, code := range map[string]fault.Code{
		`{}`: fault.Unspecified, `{"date": null}`: fault.Unspecified, `{"date": "2026-11-02"}`: fault.Unspecified,
		`{"date": {"__wazuh_datetime__": "2026-11-03"}}`: fault.StatsAbsent,
	} {
		if got := h.failure(h.call("wazuh.stats.totals", kwargs)); got.Code != code {
			t.Errorf("%s: error %v, want %d", kwargs, got, code)
		}
	}
}

func TestAverages_Damaged(t *testing.T) {
	for _, text := range []string{"x", "", "1.5", strings.Repeat("1", mostCount+1)} {
		h := newHouse(t)
		h.write("stats/hourly-average/3", text)
		h.write("stats/weekly-average/6/24", text)
		for _, name := range []string{"hourly", "weekly"} {
			if got := h.failure(h.call("wazuh.stats."+name, `{}`)); got.Code != fault.StatsDamaged {
				t.Errorf("%s of %.20q: error %v, want 1309", name, text, got)
			}
		}
	}
}

func TestDaemonState(t *testing.T) {
	tests := []struct {
		name, file, want string
		code             fault.Code
	}{
		{"numbers", "# c\n\na='1'\nb=\"2.5\"\n#c='x'\nd='1e3'\njunk\n", `[{"a": 1.0, "b": 2.5, "d": 1000.0}]`, 0},
		{"none", "", `[{}]`, 0},
		{"a word", "a='x'\n", "", fault.InvalidFileType},
		{"nothing", "a=''\n", "", fault.InvalidFileType},
		{"without quotes", "a=1\n", "", fault.InvalidFileType},
		{"no number at all", "a='NaN'\n", "", fault.InvalidFileType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write("var/run/wazuh-remoted.state", test.file)
			o := h.call("wazuh.stats.deprecated_get_daemons_stats", `{"filename": "/elsewhere/var/run/wazuh-remoted.state"}`)
			if test.code != 0 {
				if got := h.failure(o).Code; got != test.code {
					t.Errorf("error %d, want %d", got, test.code)
				}
				return
			}
			if got := strings.ReplaceAll(h.items(o), " ", ""); got != strings.ReplaceAll(test.want, " ", "") {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Only the state of daemons is read, whatever file is asked for.
func TestDaemonState_OtherFiles(t *testing.T) {
	h := newHouse(t)
	h.write("var/run/wazuh-remoted.state", "a='1'\n")
	h.write("var/run/other.state", "a='1'\n")
	for _, name := range []string{
		"/etc/hostname", h.dir + "/etc/ossec.conf", h.dir + "/var/run/other.state", "var/run/wazuh-remoted.state",
		h.dir + "/var/run/../run/../../etc/ossec.conf", "", "/var/run/wazuh-remoted.state/../x",
	} {
		o := h.call("wazuh.stats.deprecated_get_daemons_stats", fmt.Sprintf(`{"filename": %q}`, name))
		if got := h.failure(o); got.Code != fault.StatsAbsent {
			t.Errorf("%s: error %v, want 1308", name, got)
		}
	}
}

func TestDaemonStats(t *testing.T) {
	tests := []struct {
		answer, want string
		code         fault.Code
	}{
		{`{"error":0,"data":{}}`, `[{}]`, 0},
		{`{"error":0,"data":{"name":"x","uptime":"z"}}`, `[{"name":"x","uptime":"z"}]`, 0},
		{`{"error":0,"data":{"timestamp":1.5,"uptime":-1}}`,
			`[{"timestamp":{"__wazuh_datetime__":"1970-01-01T00:00:01.500000+00:00"},"uptime":{"__wazuh_datetime__":"1969-12-31T23:59:59+00:00"}}]`, 0},
		{`{"error":0,"data":{"timestamp":1e300,"uptime":null}}`, `[{"timestamp":1e300,"uptime":null}]`, 0},
		{`{"error":2,"message":"abc"}`, "", 2},
		{`{"error":0}`, "", fault.ComponentFailed},
		{`{"error":0,"data":[1]}`, "", fault.ComponentFailed},
		{`nope`, "", fault.ComponentFailed},
		{``, "", fault.SocketTalk},
	}
	for _, test := range tests {
		t.Run(test.answer, func(t *testing.T) {
			h := newHouse(t)
			h.serve(remoteSocket, always(test.answer))
			o := h.call("wazuh.stats.get_daemons_stats", `{"daemons_list": ["wazuh-remoted"]}`)
			if test.code != 0 {
				if got := h.failure(o).Code; got != test.code {
					t.Errorf("error %d, want %d", got, test.code)
				}
				return
			}
			if got := strings.ReplaceAll(h.items(o), " ", ""); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	h := newHouse(t)
	for _, list := range []string{`["nope"]`, `[` + strings.Repeat(`"wazuh-db",`, mostTalkers) + `"wazuh-db"]`} {
		if o := h.call("wazuh.stats.get_daemons_stats", `{"daemons_list": `+list+`}`); o.Err == nil || o.Err.Code != fault.Unspecified {
			t.Errorf("%.30s: %s, want 1000", list, o.JSON())
		}
	}
}

func TestInfo(t *testing.T) {
	h := newHouse(t)
	zone := time.FixedZone("EST", -5*3600)
	h.build(Config{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, zone) }})
	got := h.items(h.call("wazuh.manager.get_basic_info", `{}`))
	want := `[{"path":"` + h.dir + `","version":"v4.7.5","compilation_date":{"__wazuh_datetime__":"2024-05-30T00:00:00+00:00"},"type":"server",` +
		`"max_agents":"unlimited","openssl_support":"N/A","tz_offset":"-0500","tz_name":"EST"}]`
	if strings.ReplaceAll(got, " ", "") != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	h.write(installFile, "nonsense")
	var list []basicInfo
	if err := json.Unmarshal([]byte(h.items(h.call("wazuh.manager.get_basic_info", `{}`))), &list); err != nil {
		t.Fatal(err)
	}
	if at := time.Time(list[0].Date); list[0].Version != "v4.7.5" || !at.Equal(time.Date(2026, 1, 2, 8, 4, 5, 0, time.UTC)) {
		t.Errorf("a home that no installation made: %+v", list[0])
	}
}

func TestVerdict(t *testing.T) {
	for answer, want := range map[string]string{
		`{"error":0}`:                           "",
		`{"error":0,"message":"x: WARNING: w"}`: "",
		`{"error":1,"message":"plain"}`:         "1908 ",
		`{"error":1,"message":"a: ERROR: (1): x\nb: WARNING: w\na: ERROR: (1): x\r\na: CRITICAL: (2): y\n"}`: "1908 (1): x, (2): y",
		`{"error":1,"message":"a: ERROR: x b: CRITICAL: y"}`:                                                 "1908 y",
		`{"error":1}`: "1904 the answer has no message",
		`nonsense`:    "1904 the answer is not understood",
		`{}`:          "1904 the answer is not understood",
	} {
		got := ""
		if err := verdict([]byte(answer)); err != nil {
			f := fault.From(err)
			got = fmt.Sprintf("%d %v", f.Code, f.Extra)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", answer, got, want)
		}
	}
	lines := strings.Builder{}
	for i := range 3 * mostFindings {
		fmt.Fprintf(&lines, "x: ERROR: %d\n", i)
	}
	if got := len(findings(lines.String())); got != mostFindings+1 {
		t.Errorf("%d findings", got)
	}
}
