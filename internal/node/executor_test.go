package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/config"
	"testudo/internal/fault"
)

// A function that a node does not have goes to the external program, where there
// is one, and is refused where there is none.
func TestExecutor(t *testing.T) {
	const answer = `{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": {"by": "the program"}}}}`
	const request = `{"f": {"__callable__": {"__name__": "clear", "__module__": "wazuh.syscheck", "__qualname__": "clear", "__type__": "function"}}, "request_type": "local_any"}`
	for _, with := range []bool{true, false} {
		ln, port := taken(t)
		ln.Close()
		m := homeOf(t, "m", config.Master, port)
		if with {
			// Its answer is there before the request, which is all the same to a pipe.
			script := fmt.Sprintf("#!/bin/sh\nprintf '\\%03o\\000\\000\\000%%s' '%s'\nexec cat >/dev/null\n", len(answer), answer)
			m.Testudo.Executor.Program = filepath.Join(m.Home, "glue")
			if err := os.WriteFile(m.Testudo.Executor.Program, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		run(t, m)
		got, err := asker(t, m)("dapi", request)
		if with && (err != nil || got != answer) {
			t.Errorf("%s, %v", got, err)
		}
		if !with && (!fault.Has(err, fault.Unspecified) || !strings.Contains(err.Error(), "wazuh.syscheck.clear is not there")) {
			t.Errorf("without a program: %s, %v", got, err)
		}
	}
}
