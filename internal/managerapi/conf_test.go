package managerapi

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

func TestReadConf(t *testing.T) {
	const file = `<ossec_config><remote><port>1</port></remote><remote><port>2</port><zz>1</zz></remote>` +
		`<ruleset><rule_dir>a</rule_dir><rule_dir>b</rule_dir><rule_dir>a</rule_dir></ruleset><global><white_list>x</white_list></global></ossec_config>`
	tests := []struct {
		name, kwargs, want string
		code               fault.Code
	}{
		{"section", `{"section": "global"}`, `[{"global": {"white_list":["x"]}}]`, 0},
		{"field of a list of sections", `{"section": "remote", "field": "port"}`, `[{"remote": [{"port": "1"},{"port": "2"}]}]`, 0},
		{"field that one of them has not", `{"section": "remote", "field": "zz"}`, "", fault.InvalidField},
		{"folders once", `{"section": "ruleset", "field": "rule_dir", "distinct": true}`, `[{"ruleset": {"rule_dir": ["a","b"]}}]`, 0},
		{"folders as they are", `{"section": "ruleset", "field": "rule_dir"}`, `[{"ruleset": {"rule_dir": ["a","b","a"]}}]`, 0},
		{"a section that nobody converts", `{"section": "client_buffer"}`, "", fault.InvalidSection},
		{"case of a section", `{"section": "Global"}`, "", fault.InvalidSection},
		{"a section that is not there", `{"section": "auth"}`, "", fault.SectionAbsent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write("etc/ossec.conf", file)
			o := h.call("wazuh.manager.read_ossec_conf", test.kwargs)
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

func TestReadConf_Unreadable(t *testing.T) {
	for name, file := range map[string]string{"left open": "<ossec_config>", "not UTF-8": "<ossec_config>\xff</ossec_config>"} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.write("etc/ossec.conf", file)
			if got := h.failure(h.call("wazuh.manager.read_ossec_conf", `{}`)); got.Code != fault.UnknownComponent {
				t.Errorf("error %v, want 1101", got)
			}
		})
	}
	h := newHouse(t)
	if err := os.Remove(filepath.Join(h.dir, "etc/ossec.conf")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(h.dir, "etc/ossec.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.failure(h.call("wazuh.manager.read_ossec_conf", `{"raw": true}`)); got.Code != fault.UnknownComponent {
		t.Errorf("what nobody writes to: error %v, want 1101", got)
	}
	if err := os.Remove(filepath.Join(h.dir, "etc/ossec.conf")); err != nil {
		t.Fatal(err)
	}
	if got := h.failure(h.call("wazuh.manager.read_ossec_conf", `{"raw": true}`)); got.Code != fault.UnknownComponent {
		t.Errorf("no file: error %v, want 1101", got)
	}
}

func TestUpdateConf_Refused(t *testing.T) {
	api := "upload_configuration:\n  remote_commands:\n    localfile: {allow: no, exceptions: [ls -l]}\n    wodle_command: {allow: no}\n" +
		"  limits:\n    eps: {allow: no}\n  agents:\n    allow_higher_versions: {allow: no}\n"
	add := func(section string) string { return conf("w3") + "<ossec_config>" + section + "</ossec_config>" }
	tests := []struct {
		name, conf string
		code       fault.Code
	}{
		{"nothing", "", fault.InvalidConfig},
		{"a tag left open", "<ossec_config><bb></ossec_config>", fault.InvalidXML},
		{"what only we can read", add("<global><aa>a < b & c</aa></global>"), fault.InvalidXML},
		{"what only others can read", "<ossec_config>\n<aa\n x=\"1\">\n</aa></ossec_config>", fault.InvalidXML},
		{"a command to be run", add("<localfile><command>rm x</command></localfile>"), fault.RemoteCommand},
		{"a command of a module", add(`<wodle name="command"><command>rm x</command></wodle>`), fault.RemoteCommand},
		{"limits of events", add("<global><limits><eps><maximum>1</maximum></eps></limits></global>"), fault.ProtectedSection},
		{"higher versions", add("<auth><agents><allow_higher_versions>yes</allow_higher_versions></agents></auth>"), fault.HigherVersions},
		{"our own part wrong", strings.Replace(conf("w3"), "1616", "99999", 1), fault.ValidationFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write("api/configuration/api.yaml", api)
			h.serve(comSocket, always(`{"error": 0}`))
			got := h.failure(h.update(test.conf))
			if got.Code != test.code {
				t.Errorf("error %v, want %d", got, test.code)
			}
			if h.read("etc/ossec.conf") != conf("w3") {
				t.Error("the configuration has changed")
			}
			if asked := h.requests(comSocket); len(asked) != 0 {
				t.Errorf("the daemon was asked: %q", asked)
			}
		})
	}
	for name, allowed := range map[string]string{
		"a command that may be": add("<localfile><command>ls -l</command></localfile>"),
		"another module":        add(`<wodle name="other"><command>rm x</command></wodle>`),
		"older agents":          add("<auth><agents><allow_higher_versions>no</allow_higher_versions></agents></auth>"),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.write("api/configuration/api.yaml", api)
			h.serve(comSocket, always(`{"error": 0}`))
			if got := h.items(h.update(allowed)); got != `["w3"]` || h.read("etc/ossec.conf") != allowed {
				t.Errorf("items %s, configuration %q", got, h.read("etc/ossec.conf"))
			}
		})
	}
}

// What is not found valid, or of what nobody can tell, is taken back.
func TestUpdateConf_RolledBack(t *testing.T) {
	for answer, code := range map[string]fault.Code{
		`{"error": 1, "message": "x: ERROR: (1): bad"}`: fault.ValidationFound,
		`{"error": 1}`: fault.BadAnswer,
		`nonsense`:     fault.BadAnswer,
		``:             fault.SocketTalk,
	} {
		t.Run(answer, func(t *testing.T) {
			h := newHouse(t)
			seen := make(chan string, 1)
			h.serve(comSocket, func(string) string {
				seen <- h.read("etc/ossec.conf")
				return answer
			})
			wanted := conf("w3") + "<!-- new -->"
			if got := h.failure(h.update(wanted)); got.Code != code {
				t.Errorf("error %v, want %d", got, code)
			}
			if tried := <-seen; tried != wanted {
				t.Errorf("what was tried is %q", tried)
			}
			if h.read("etc/ossec.conf") != conf("w3") || Trial(h.dir) {
				t.Error("the configuration was not taken back")
			}
		})
	}
}

// A home without the daemons of an installation checks for itself.
func TestUpdateConf_Pure(t *testing.T) {
	h := newHouse(t)
	h.pure()
	wanted := conf("w3") + "<!-- new -->"
	if got := h.items(h.update(wanted)); got != `["w3"]` || h.read("etc/ossec.conf") != wanted {
		t.Errorf("items %s, configuration %q", got, h.read("etc/ossec.conf"))
	}
	if got := h.items(h.call("wazuh.manager.validation", `{}`)); !strings.Contains(got, `"OK"`) {
		t.Errorf("validation %s", got)
	}
	h.write("etc/ossec.conf", strings.Replace(conf("w3"), "worker", "chief", 1))
	got := h.failure(h.call("wazuh.manager.validation", `{}`))
	if got.Code != fault.ValidationFound || !strings.Contains(got.Error(), "Invalid node type chief") {
		t.Errorf("validation %v", got)
	}
	if got := h.failure(h.call("wazuh.manager.restart", `{}`)); got.Code != fault.ExecQueueMissing {
		t.Errorf("restart: %v, want 1901", got)
	}
}

// pure takes away what only an installation has.
func (h *house) pure() {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.dir, "bin", executorDaemon)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) update(text string) result.Outcome {
	h.t.Helper()
	kwargs := result.Object{}
	if err := kwargs.Set("new_conf", text); err != nil {
		h.t.Fatal(err)
	}
	return h.call("wazuh.manager.update_ossec_conf", string(kwargs.JSON()))
}

func TestPermissions(t *testing.T) {
	h := newHouse(t)
	h.queue()
	p, err := rbac.Parse([]byte(`{"rbac_mode": "white", "cluster:read": {"node:id:w4": "allow"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range h.api.Functions() {
		kwargs := map[string]string{
			"totals": `{"date": {"__wazuh_datetime__": "2026-11-22"}}`, "get_agent_config": `{"agent_list": ["001"]}`,
			"get_daemons_stats_agents": `{"agent_list": ["001"]}`, "get_agents_component_stats_json": `{"agent_list": ["001"], "component": "agent"}`,
			"deprecated_get_daemons_stats": `{"filename": "/x"}`,
		}[f.Name]
		if kwargs == "" {
			kwargs = "{}"
		}
		o := h.callAs(&dapi.Call{Node: "w3", Permissions: p}, f.Key(), kwargs)
		if o.Err == nil || o.Err.Code != fault.PermissionDenied {
			t.Errorf("%s: %s, want error 4000", f.Key(), o.JSON())
		}
		if f.Needs[0].Resource != nodeID {
			continue
		}
		o = h.callAs(&dapi.Call{Node: "w3", Permissions: p, Broadcasting: true}, f.Key(), kwargs)
		if r, ok := o.Result.(*result.Affected); !ok || r.Total != 0 || len(r.Failed) != 0 {
			t.Errorf("%s of all nodes: %s, want nothing", f.Key(), o.JSON())
		}
	}
}

// With the cluster off answers speak of the manager, and other permissions count.
func TestAlone(t *testing.T) {
	h := newHouse(t)
	h.build(Config{Alone: true})
	h.serve(comSocket, always(`{"error": 0}`))
	p, err := rbac.Parse([]byte(`{"rbac_mode": "white", "manager:read": {"*:*:*": "allow"}}`))
	if err != nil {
		t.Fatal(err)
	}
	c := &dapi.Call{Node: "w3", Permissions: p}
	o := h.callAs(c, "wazuh.manager.validation", `{}`)
	if got := string(o.JSON()); !strings.Contains(got, `"name":"manager"`) || !strings.Contains(got, "Validation was successfully checked\"") {
		t.Errorf("answer %s", got)
	}
	o = h.callAs(c, "wazuh.manager.update_ossec_conf", `{}`)
	if o.Err == nil || o.Err.Code != fault.PermissionDenied || o.Err.Extra != "Resource type: *:*" {
		t.Errorf("update: %s", o.JSON())
	}
}
