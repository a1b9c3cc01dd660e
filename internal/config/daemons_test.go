package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// daemonConf is an enabled node's ossec.conf on one line, then a second root
// with these lines in it, the first on line 2.
func daemonConf(sections ...string) string {
	cluster := strings.ReplaceAll(conf(keyOption, nodesOption), "\n", "")
	return cluster + "<ossec_config>\n" + strings.Join(sections, "\n") + "\n</ossec_config>\n"
}

func TestDaemons_SectionsAreRead(t *testing.T) {
	c, problems := loadConf(t, daemonConf(
		"<global><jsonout_output>yes</jsonout_output><agents_disconnection_time>5m</agents_disconnection_time></global>",
		"<global><agents_disconnection_time> 90 </agents_disconnection_time></global>",
		`<wdb><backup database="global"><enabled>no</enabled><interval>2d</interval><max_files>7</max_files></backup></wdb>`))
	if problems != "" {
		t.Errorf("problems:\n%s", problems)
	}
	if got := c.Agents.DisconnectionTime; got != 90*time.Second {
		t.Errorf("agents_disconnection_time is %v; the last one counts", got)
	}
	if diff := cmp.Diff(Backup{Enabled: false, Interval: 48 * time.Hour, MaxFiles: 7}, c.Backup); diff != "" {
		t.Errorf("backup (-want +got):\n%s", diff)
	}
}

func TestDaemons_Times(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1": time.Second, "600": 10 * time.Minute, "20s": 20 * time.Second, "10m": 10 * time.Minute,
		"1h": time.Hour, "2d": 48 * time.Hour, "1w": 7 * 24 * time.Hour,
	} {
		c, problems := loadConf(t, daemonConf("<global><agents_disconnection_time>"+text+"</agents_disconnection_time></global>"))
		if c.Agents.DisconnectionTime != want || problems != "" {
			t.Errorf("%q: got %v, want %v; %s", text, c.Agents.DisconnectionTime, want, problems)
		}
	}
}

func TestDaemons_Refused(t *testing.T) {
	time1 := func(text string) string {
		return "<global><agents_disconnection_time>" + text + "</agents_disconnection_time></global>"
	}
	backup := func(option string) string { return `<wdb><backup database="global">` + option + `</backup></wdb>` }
	tests := []struct{ name, section, want string }{
		{"no time", time1("soon"), `error: global.agents_disconnection_time: "soon" is no time such as 600, 10m or 1h`},
		{"zero", time1("0"), "error: global.agents_disconnection_time: 0 is not between 1 s and 315360000 s"},
		{"negative", time1("-5m"), `error: global.agents_disconnection_time: "-5m" is no time such as 600, 10m or 1h`},
		{"fraction", time1("1.5h"), `error: global.agents_disconnection_time: "1.5h" is no time such as 600, 10m or 1h`},
		{"unit alone", time1("m"), `error: global.agents_disconnection_time: "m" is no time such as 600, 10m or 1h`},
		{"empty", time1(""), `error: global.agents_disconnection_time: "" is no time such as 600, 10m or 1h`},
		{"very long", time1("999999999w"), "error: global.agents_disconnection_time: 604799999395200 is not between 1 s and 315360000 s"},
		{"enabled", backup("<enabled>true</enabled>"), `error: wdb.backup.enabled: must be yes or no, not "true"`},
		{"files", backup("<max_files>0</max_files>"), "error: wdb.backup.max_files: 0 is not between 1 and 1000000"},
		{"files in words", backup("<max_files>two</max_files>"), `error: wdb.backup.max_files: must be a whole number, not "two"`},
		{"other database", "<wdb><backup database=\"fim\"><enabled>no</enabled></backup></wdb>",
			`warning: wdb.backup: database="fim" has no backups; only "global" has`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, problems := loadConf(t, daemonConf(test.section))
			want := ""
			if test.want != "" {
				want = "etc/ossec.conf:2: " + test.want + "\n"
			}
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if c.Agents != defaultAgents() || c.Backup != defaultBackup() {
				t.Errorf("got %+v %+v, not what is built in", c.Agents, c.Backup)
			}
		})
	}
}

func TestDaemons_Options(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath: daemonConf(),
		OptionsPath: "wazuh_db.open_db_limit=100\nremoted.shared_reload=20\nremoted.merge_shared=0\n" +
			"wazuh_db.commit_time_max=30 \nremoted.recv_timeout=1\n",
		LocalOptionsPath: "# mine\nremoted.shared_reload=5\nremoted.shared_reload=6\n",
	})
	c, problems := Load(LoadOptions{Home: home})
	// The reader of the cluster's own option is the stricter one.
	want := "etc/local_internal_options.conf:3: warning: wazuh_clusterd.debug: " +
		"option \"remoted.shared_reload\" is given twice; the log level is info\n"
	if diff := cmp.Diff(want, lines(home, problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	wantDatabase := defaultDatabase()
	wantDatabase.OpenFiles, wantDatabase.CommitTimeMax = 100, 30*time.Second
	if diff := cmp.Diff(wantDatabase, c.Database); diff != "" {
		t.Errorf("database (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(SharedOptions{Reload: 5 * time.Second}, c.Shared); diff != "" {
		t.Errorf("shared (-want +got):\n%s", diff)
	}
}

func TestDaemons_OptionsRefused(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:    daemonConf(),
		OptionsPath: "remoted.merge_shared=2\nremoted.shared_reload=0\nwazuh_db.open_db_limit=many\nwazuh_db.max_fragmentation=\n",
	})
	c, problems := Load(LoadOptions{Home: home})
	want := `etc/internal_options.conf:3: error: wazuh_db.open_db_limit: must be a whole number, not "many"
etc/internal_options.conf:4: error: wazuh_db.max_fragmentation: must be a whole number, not ""
etc/internal_options.conf:2: error: remoted.shared_reload: 0 is not between 1 and 86400
etc/internal_options.conf:1: error: remoted.merge_shared: 2 is not between 0 and 1
`
	if diff := cmp.Diff(want, lines(home, problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if c.Database != defaultDatabase() || c.Shared != defaultShared() {
		t.Errorf("got %+v %+v, not what is built in", c.Database, c.Shared)
	}
}

// What belongs to other daemons is theirs to judge where they run.
func TestDaemons_NotLookedAt(t *testing.T) {
	bad := map[string]string{
		ConfPath:    daemonConf("<global><agents_disconnection_time>x</agents_disconnection_time></global>"),
		OptionsPath: "remoted.shared_reload=x\n",
	}
	external := map[string]string{SettingsPath: "services:\n  agentdb: external\n"}
	disabled := map[string]string{ConfPath: strings.Replace(bad[ConfPath], keyOption, "<disabled>yes</disabled>", 1)}
	for name, more := range map[string]map[string]string{"external": external, "disabled": disabled} {
		files := map[string]string{}
		for _, part := range []map[string]string{bad, more} {
			for path, text := range part {
				files[path] = text
			}
		}
		home := writeHome(t, files)
		c, problems := Load(LoadOptions{Home: home})
		if len(problems) > 0 {
			t.Errorf("%s:\n%s", name, lines(home, problems))
		}
		for _, s := range c.Explain() {
			if name == "external" && strings.HasPrefix(s.Path, "global.") {
				t.Errorf("%s is explained, but is not in force", s.Path)
			}
		}
	}
}

func TestServices_DefaultOfTheProgram(t *testing.T) {
	tests := []struct{ program, file, want, source string }{
		{"", "", Embedded, BuiltIn},
		{Embedded, "", Embedded, BuiltIn},
		{External, "", External, AsStarted},
		{External, "services:\n  agentdb: embedded\n", Embedded, "etc/testudo.yaml:2"},
		{"", "services:\n  agentdb: external\n", External, "etc/testudo.yaml:2"},
	}
	for _, test := range tests {
		home := writeHome(t, map[string]string{ConfPath: daemonConf(), SettingsPath: test.file})
		c, problems := Load(LoadOptions{Home: home, AgentDB: test.program})
		if len(problems) > 0 {
			t.Fatal(lines(home, problems))
		}
		source := strings.TrimPrefix(c.source(agentDBService), home+"/")
		if got := c.Testudo.Services.AgentDB; got != test.want || source != test.source || c.AgentDBEmbedded() != (test.want == Embedded) {
			t.Errorf("program says %q, file %q: got %s from %s", test.program, test.file, got, source)
		}
	}
}

func TestDaemons_Explained(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:         daemonConf("<global><agents_disconnection_time>20m</agents_disconnection_time></global>"),
		LocalOptionsPath: "\nremoted.merge_shared=0\n",
	})
	c, _ := Load(LoadOptions{Home: home})
	wantExplained(t, c, map[string]string{
		"global.agents_disconnection_time": "20m from etc/ossec.conf:2",
		"wdb.backup.interval":              "24h from built-in",
		"remoted.merge_shared":             "false from etc/local_internal_options.conf:2",
		"wazuh_db.open_db_limit":           "64 from built-in",
		"services.agentdb":                 `"embedded" from built-in`,
		"agentdb.message_bytes":            "64KiB from built-in",
	})
}

func FuzzDaemons(f *testing.F) {
	f.Add("10m", "600")
	f.Add("\u0085", "=\n")
	f.Fuzz(func(t *testing.T, value, option string) {
		c := Default("")
		r := &report{file: "f"}
		text := daemonConf(fmt.Sprintf("<global><agents_disconnection_time>%s</agents_disconnection_time></global>", value))
		if lines := r.readCluster(c, strings.NewReader(text)); lines == nil {
			return
		}
		checkProblems(t, text, r.problems)
		if c.Agents.DisconnectionTime < time.Second {
			t.Errorf("%q gives %v", value, c.Agents.DisconnectionTime)
		}
		for _, found := range parseOptions(option) {
			if found.line < 1 || found.line > 1+strings.Count(option, "\n") {
				t.Errorf("line %d of %q", found.line, option)
			}
		}
	})
}
