package agentapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/result"
)

const (
	upgrade   = "wazuh.agent.upgrade_agents"
	upgraded  = "wazuh.agent.get_upgrade_result"
	upgradeOK = `{"error":0,"message":"Success","data":[%s]}`
)

func TestUpgrade(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	r := w.daemon(upgradeSocket, func(request string) string {
		var asked struct {
			Parameters struct {
				Agents []int `json:"agents"`
			} `json:"parameters"`
		}
		must(t, json.Unmarshal([]byte(request), &asked))
		var each []string
		for i, id := range asked.Parameters.Agents {
			one := fmt.Sprintf(`{"error":0,"message":"Success","agent":%d,"task_id":%d}`, id, 40+i)
			if id == 3 {
				one = `{"error":11,"message":"Current agent version is greater or equal","agent":3}`
			}
			each = append(each, one)
		}
		return fmt.Sprintf(upgradeOK, strings.Join(each, ","))
	})
	w.expect(asked{function: upgrade, args: `{"agent_list": ["003", "001", "007", "000", "099", "002"], "version": "4.7.5", "filters": {"group": ["web"]}}`},
		`{"agent":"001","task_id":40} | 1701 [099] | 1703 [000] | 1731 [002 007] | 1821 [003] `)
	w.expect(asked{function: upgrade, args: `{"agent_list": ["005"], "file_path": "/x.wpk", "installer": "run.sh"}`}, `{"agent":"005","task_id":40} `)
	diff := cmp.Diff([]string{
		`{"version":1,"origin":{"module":"api"},"command":"upgrade","parameters":{"agents":[1,3],"version":"v4.7.5","force_upgrade":false,"use_http":false}}`,
		`{"version":1,"origin":{"module":"api"},"command":"upgrade_custom","parameters":{"agents":[5],"force_upgrade":false,"use_http":false,"file_path":"/x.wpk","installer":"run.sh"}}`,
	}, r.requests)
	if diff != "" {
		t.Error(diff)
	}
	w.expect(asked{function: upgrade, args: `{"agent_list": ["099"]}`}, `| 1701 [099] `)
}

func TestUpgradeResult(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	r := w.daemon(upgradeSocket, func(string) string {
		return fmt.Sprintf(upgradeOK, `{"error":0,"message":"Success","agent":1,"task_id":4,"node":"m3","module":"upgrade_module","command":"upgrade",`+
			`"status":"Updated","create_time":"2024/03/01 08:00:00","update_time":"2024/03/01 08:01:00"},{"error":3,"message":"No task","agent":2}`)
	})
	w.expect(asked{function: upgraded, args: `{"agent_list": ["001", "002"]}`},
		`{"message":"Success","agent":"001","task_id":4,"node":"m3","module":"upgrade_module","command":"upgrade",`+
			`"status":"Updated","create_time":"2024/03/01 08:00:00","update_time":"2024/03/01 08:01:00"} | 1813 [002] `)
	if diff := cmp.Diff([]string{`{"version":1,"origin":{"module":"api"},"command":"upgrade_result","parameters":{"agents":[1,2]}}`}, r.requests); diff != "" {
		t.Error(diff)
	}
}

// A module that cannot pass on so many is asked about fewer.
func TestUpgrade_ModuleInTrouble(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.expect(asked{function: upgraded, args: `{}`}, "Error 1013 - "+strings.TrimPrefix(w.brief(w.ask(asked{function: upgraded, args: `{}`})), "Error 1013 - "))
	answer := ""
	r := w.daemon(upgradeSocket, func(request string) string {
		if strings.Contains(request, ",4,") || answer != "" {
			return answer + `{"error":4,"message":"Task manager communication error"}`
		}
		return fmt.Sprintf(upgradeOK, "")
	})
	w.expect(asked{function: upgraded, args: `{}`}, ``)
	if len(r.requests) < 3 {
		t.Errorf("asked %q", r.requests)
	}
	answer = " "
	if got := w.brief(w.ask(asked{function: upgraded, args: `{}`})); !strings.HasPrefix(got, "Error 1814") {
		t.Errorf("got %s", got)
	}
	answer = "nonsense "
	if got := w.brief(w.ask(asked{function: upgraded, args: `{}`})); !strings.HasPrefix(got, "Error 1014") {
		t.Errorf("got %s", got)
	}
}

func FuzzReadTasks(f *testing.F) {
	f.Add([]byte(`{"error":0,"message":"Success","data":[{"error":0,"message":"Success","agent":1,"task_id":4}]}`))
	f.Add([]byte(`{"error":4,"message":"x"}`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		tasks, err := readTasks(reply)
		if err != nil {
			return
		}
		if err := addTasks(&result.Affected{}, tasks, moduleAgents); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}

func FuzzBefore(f *testing.F) {
	for _, v := range []string{"Wazuh v4.7.5", "v4.2.0-rc1", "", "v", "v4", "v4..1", "vv"} {
		f.Add(v)
	}
	f.Fuzz(func(_ *testing.T, version string) { before(version, jsonSince) })
}

// Whatever is asked for, an agent gets one line that says no more than that.
func FuzzCommandText(f *testing.F) {
	f.Add("!x", "a\nb", `{"a": "\n"}`)
	f.Add("!a/b", "\xff", `{}`)
	f.Fuzz(func(t *testing.T, name, argument, alert string) {
		text, err := commandText(commandArgs{Command: "!" + name, Arguments: []string{argument}, Alert: json.RawMessage(alert)}, "m3")
		if err != nil {
			return
		}
		if strings.ContainsFunc(text, unicode.IsControl) && !strings.ContainsFunc(alert, unicode.IsControl) {
			t.Errorf("%q has control characters", text)
		}
		var read struct {
			Command    string `json:"command"`
			Parameters struct {
				Arguments []string        `json:"extra_args"`
				Alert     json.RawMessage `json:"alert"`
			} `json:"parameters"`
		}
		if err := json.Unmarshal([]byte(text), &read); err != nil || read.Command != "!"+name || len(read.Parameters.Arguments) != 1 {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzKnown(f *testing.F) {
	have := map[agent.ID]struct{}{0: {}, 1: {}, 1000: {}}
	f.Add("001")
	f.Add("1000")
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := known(have, text); ok && id.String() != text {
			t.Errorf("%q is agent %s", text, id)
		}
	})
}
