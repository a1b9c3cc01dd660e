package executor

import (
	"fmt"
	"strings"
	"testing"

	"testudo/internal/fault"
)

// Only functions of the API go to the program, with plain arguments.
func TestScreen(t *testing.T) {
	f := func(module, name, qualified, args string) string {
		return fmt.Sprintf(`{"f": {"__callable__": {"__name__": %q, "__module__": %q, "__qualname__": %q, "__type__": "function"}}, "f_kwargs": %s}`,
			name, module, qualified, args)
	}
	tests := []struct {
		name    string
		request string
		code    fault.Code // 0: goes
	}{
		{"a function", f("wazuh.syscheck", "files", "files", `{"agent_list": ["001"], "filters": {"a": [1, null]}}`), 0},
		{"no arguments", f("wazuh.sca", "get_sca_list", "get_sca_list", "null"), 0},
		{"a function of the interpreter", f("os", "system", "system", `{"command": "id"}`), fault.Unspecified},
		{"a function that the API has not", f("wazuh.core.utils", "execute", "execute", `{"command": ["id"]}`), fault.Unspecified},
		{"another function of a module", f("wazuh.syscheck", "files run", "files run", "{}"), fault.Unspecified},
		{"another name behind the name", f("wazuh.syscheck", "files", "x.files", "{}"), fault.Unspecified},
		{"a method", f("wazuh.agent", "get_agents", "Agent.get_agents", "{}"), fault.Unspecified},
		{"a function as an argument", f("wazuh.syscheck", "files", "files", `{"x": [{"__callable__": {"__name__": "x"}}]}`), fault.Unspecified},
		{"an escaped one", f("wazuh.syscheck", "files", "files", `{"x": {"\u005f_unhandled_exc__": {"__class__": "x"}}}`), fault.Unspecified},
		{"no function", `{}`, fault.Unspecified},
		{"no JSON", `{"f"`, fault.NotJSON},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := screen([]byte(tc.request))
			if tc.code == 0 && err != nil || tc.code != 0 && !fault.Has(err, tc.code) {
				t.Error(err)
			}
		})
	}
}

func TestHanded_NamesOnce(t *testing.T) {
	for module, names := range handed() {
		seen := map[string]bool{}
		for name := range strings.FieldsSeq(names) {
			if seen[name] {
				t.Errorf("%s.%s twice", module, name)
			}
			seen[name] = true
		}
	}
}
