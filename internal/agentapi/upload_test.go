package agentapi

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// uploading is a request that gives the group web another agent.conf.
func uploading(t *testing.T, text string) asked {
	t.Helper()
	data, err := json.Marshal(text)
	must(t, err)
	return asked{function: upload, args: `{"group_list": ["web"], "file_data": ` + string(data) + `}`}
}

const uploaded = `{"message":"Agent configuration was successfully updated"}`

func TestUpload(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	const first = "<agent_config>\n  <labels>1 & 2 < 3</labels>\n</agent_config>\n"
	const second = "<agent_config os=\"Linux\">\n</agent_config>\n<!-- two -->\n<agent_config name=\"ü\">\n</agent_config>"
	w.expect(uploading(t, first), uploaded)
	w.expect(uploading(t, second), uploaded)
	w.expect(uploading(t, second), uploaded)
	got := []string{w.read("etc/shared/web/agent.conf"), w.read("backup/shared/web/agent.conf")}
	if diff := cmp.Diff([]string{second, first}, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(w.path("etc/shared/web/agent.conf"))
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if diff := cmp.Diff([]string{"agent.conf"}, w.files("etc/shared/web")); diff != "" {
		t.Error(diff)
	}
}

func TestUpload_Refused(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	const kept = "<agent_config></agent_config>"
	w.put("etc/shared/web/agent.conf", kept)
	for text, want := range map[string]string{
		"": "1112", " \n": "1112", "no XML": "1113", "<agent_config>": "1113", "<agent_config></agent>": "1113", "<agent_config>\x00</agent_config>": "1113",
		"<ossec_config></ossec_config>":                                     "1114",
		"<agent_config></agent_config><other></other>":                      "1114",
		strings.Repeat("<agent_config>", 100_000):                           "1113",
		"<agent_config>" + strings.Repeat("a", maxConf) + "</agent_config>": "1113",
	} {
		if got := fmt.Sprint(w.ask(uploading(t, text)).Err); !strings.HasPrefix(got, "Error "+want) {
			t.Errorf("%.40q: got %.200s, want %s", text, got, want)
		}
	}
	for args, want := range map[string]string{
		`"group_list": ["nope"]`:                                    "1710",
		`"group_list": ["../shared/web"]`:                           "1710",
		`"group_list": [".."]`:                                      "1710",
		`"group_list": ["web"], "file_name": "merged.mg"`:           "1111",
		`"group_list": ["web"], "file_name": "../../ossec.conf"`:    "1111",
		`"group_list": ["web"], "file_name": "agent.conf", "x": ""`: "1000",
	} {
		o := w.ask(asked{function: upload, args: "{" + args + `, "file_data": "<agent_config></agent_config>"}`})
		if got := fmt.Sprint(o.Err); !strings.HasPrefix(got, "Error "+want) {
			t.Errorf("%s: got %s, want %s", args, got, want)
		}
	}
	if got := w.read("etc/shared/web/agent.conf"); got != kept {
		t.Errorf("the file is now %q", got)
	}
}

// What lies in the way is neither followed nor lost.
func TestUpload_Links(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.put("outside", "precious")
	must(t, os.Symlink("../../../outside", w.path("etc/shared/web/agent.conf")))
	o := w.ask(uploading(t, "<agent_config></agent_config>"))
	if got := fmt.Sprint(o.Err); !strings.HasPrefix(got, "Error 1019") {
		t.Errorf("got %s", w.brief(o))
	}
	if got := w.read("outside"); got != "precious" {
		t.Errorf("the file behind the link is now %q", got)
	}
	must(t, os.Remove(w.path("etc/shared/web/agent.conf")))
	must(t, os.RemoveAll(w.path("etc/shared/db")))
	must(t, os.Symlink("web", w.path("etc/shared/db")))
	o = w.ask(asked{function: upload, args: `{"group_list": ["db"], "file_data": "<agent_config></agent_config>"}`})
	if got := fmt.Sprint(o.Err); !strings.HasPrefix(got, "Error 1710") {
		t.Errorf("through a link: got %s", w.brief(o))
	}
}

func TestUpload_Checker(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	const script = `#!/bin/sh
[ "$1" = -f ] || exit 3
case $(cat "$2") in
*bad*) echo "ERROR: (1230): Invalid element in $2"; echo "ERROR: (1230): Invalid element in $2"; exit 1;;
*silent*) exit 1;;
esac
`
	w.put("bin/verify-agent-conf", script)
	must(t, os.Chmod(w.path("bin/verify-agent-conf"), 0o755))
	w.expect(uploading(t, "<agent_config>good</agent_config>"), uploaded)
	got := fmt.Sprint(w.ask(uploading(t, "<agent_config>bad</agent_config>")).Err)
	if !strings.HasPrefix(got, "Error 1114") || !strings.HasSuffix(got, ": ERROR: (1230): Invalid element in agent.conf") {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(w.ask(uploading(t, "<agent_config>silent</agent_config>")).Err); !strings.HasPrefix(got, "Error 1115") {
		t.Errorf("got %s", got)
	}
	must(t, os.Chmod(w.path("bin/verify-agent-conf"), 0o644))
	if got := fmt.Sprint(w.ask(uploading(t, "<agent_config>x</agent_config>")).Err); !strings.HasPrefix(got, "Error 1743") {
		t.Errorf("got %s", got)
	}
	if diff := cmp.Diff([]string(nil), w.files("tmp")); diff != "" {
		t.Error(diff)
	}
}
