package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/config"
)

// A rule and a list that are uploaded by way of a worker are written by the
// master and come to the worker as files.
func TestRuleset_UploadedOnAWorker(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	m, w := homeOf(t, "m", config.Master, port), homeOf(t, "w1", config.Worker, port)
	const conf = "<ossec_config><ruleset><rule_dir>etc/rules</rule_dir></ruleset></ossec_config>"
	for _, dir := range []string{"etc/rules", "etc/decoders", "etc/lists"} {
		for _, c := range []*config.Config{m, w} {
			if err := os.MkdirAll(filepath.Join(c.Home, dir), 0o770); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(m.Home, config.ConfPath), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	run(t, w)
	ask := asker(t, w)
	must := func(module, function, args, part string) {
		t.Helper()
		answer, err := ask("dapi", fmt.Sprintf(`{"f": {"__callable__": {"__name__": %q, "__module__": %q, "__qualname__": %[1]q, "__type__": "function"}},`+
			` "f_kwargs": %[3]s, "request_type": "local_master"}`, function, module, args))
		if err != nil || !strings.Contains(answer, part) {
			t.Fatalf("%s: %s, %v", function, answer, err)
		}
	}
	eventually(t, "the worker has a master", func() bool {
		_, err := ask("get_nodes", `{}`)
		return err == nil
	})
	must("wazuh.rule", "upload_rule_file", `{"filename": "new.xml", "content": "<group name='n'><rule id='9' level='3'/></group>"}`, `"etc/rules/new.xml"`)
	must("wazuh.cdb_list", "upload_list_file", `{"filename": "new", "content": "k:v\n"}`, `"etc/lists/new"`)
	must("wazuh.rule", "get_rules", `{"level": "3"}`, `"id": 9`)
	must("wazuh.rule", "upload_rule_file", `{"filename": "new.xml", "content": "<group>", "overwrite": true}`, `"code": 1113`)
	eventually(t, "the worker has both files", func() bool {
		rule, err := os.ReadFile(filepath.Join(w.Home, "etc/rules/new.xml"))
		list, errList := os.ReadFile(filepath.Join(w.Home, "etc/lists/new"))
		return err == nil && errList == nil && strings.Contains(string(rule), "id='9'") && string(list) == "k:v\n"
	})
	must("wazuh.rule", "delete_rule_file", `{"filename": "new.xml"}`, `"etc/rules/new.xml"`)
	eventually(t, "the rule is gone from the worker", func() bool {
		_, err := os.Stat(filepath.Join(w.Home, "etc/rules/new.xml"))
		return os.IsNotExist(err)
	})
}
