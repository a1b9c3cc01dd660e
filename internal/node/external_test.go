package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/config"
)

// A node that is a client of another program's database reads of agents there.
func TestAgentFunctions_DatabaseOfAnother(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	keeper := homeOf(t, "keeper", config.Master, port)
	store := run(t, keeper).agents.store
	if err := store.UpdateKeepalive(t.Context(), 0, "active", "synced"); err != nil {
		t.Fatal(err)
	}
	ln, port = taken(t)
	ln.Close()
	m := homeOf(t, "m", config.Master, port)
	m.Testudo.Services.AgentDB = config.External
	if err := os.Symlink(filepath.Join(keeper.Home, databaseSocket), filepath.Join(m.Home, databaseSocket)); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	answer, err := asker(t, m)("dapi", `{"f": {"__callable__": {"__name__": "get_agents", "__module__": "wazuh.agent", "__qualname__": "get_agents", `+
		`"__type__": "function"}}, "request_type": "local_master", "f_kwargs": {"agent_list": ["000"], "select": ["status"]}}`)
	if err != nil || !strings.Contains(answer, `"affected_items": [{"id":"000","status":"active"}]`) {
		t.Errorf("%s, %v", answer, err)
	}
}
