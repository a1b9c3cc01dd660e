package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/config"
)

// request is a request of the distributed API about agents.
func request(function, kind, args string) string {
	return fmt.Sprintf(`{"f": {"__callable__": {"__name__": %q, "__module__": "wazuh.agent", "__qualname__": %[1]q, "__type__": "function"}},`+
		` "f_kwargs": %s, "request_type": %q}`, function, args, kind)
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for soon := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(soon) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// A worker is asked to make a group, to put its agent into it and to restart the
// agent: the first two the master does, and the worker gets files and groups from
// there; the message for the agent the worker sends itself.
func TestChanges_AskedOnAWorker(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	m, w := homeOf(t, "m", config.Master, port), homeOf(t, "w1", config.Worker, port)
	for _, c := range []*config.Config{m, w} {
		if err := os.MkdirAll(filepath.Join(c.Home, "queue/alerts"), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(w.Home, "queue/alerts/ar"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	master, worker := run(t, m), run(t, w)
	version, name := "Wazuh v4.7.5", "w1"
	status, sync, conf := string(agent.Active), "syncreq", "synced"
	eventually(t, "the master knows that the agent reports to the worker", func() bool {
		// The agent comes with its key; until then there is nothing to update.
		err := worker.agents.store.UpdateData(t.Context(), agentdb.Data{
			ID: 1, Version: &version, NodeName: &name, ConnectionStatus: &status, SyncStatus: &sync, GroupConfigStatus: &conf,
		})
		if err != nil {
			t.Fatal(err)
		}
		return master.agents.store.ActiveAgents("w1") == 1
	})
	ask := asker(t, w)
	must := func(payload, part string) {
		t.Helper()
		if answer, err := ask("dapi", payload); err != nil || !strings.Contains(answer, part) {
			t.Fatalf("%s, %v", answer, err)
		}
	}
	must(request("create_group", "local_master", `{"group_id": "web"}`), "Group 'web' created.")
	must(request("assign_agents_to_group", "local_master", `{"group_list": ["web"], "agent_list": ["001"]}`), `"affected_items": ["001"]`)
	must(request("upload_group_file", "local_master", `{"group_list": ["web"], "file_data": "<agent_config>\n<x1>1</x1>\n</agent_config>\n"}`), "successfully")
	eventually(t, "the worker has the group of the agent and its file", func() bool {
		groups, err := worker.agents.store.GroupsOf(t.Context(), []agent.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(w.Home, "etc/shared/web/agent.conf"))
		return slices.Contains(groups[1], "web") && err == nil && strings.Contains(string(text), "<x1>")
	})
	must(request("restart_agents", "distributed_master", `{"agent_list": ["001"]}`), `"affected_items": ["001"]`)
	told := make([]byte, 1024)
	n, err := listener.Read(told)
	if err != nil || !strings.HasPrefix(string(told[:n]), "(msg_to_agent) [] NNS 001 {") {
		t.Errorf("the listener got %q, %v", told[:n], err)
	}
	must(request("delete_groups", "local_master", `{"group_list": ["web"]}`), `"affected_items": ["web"]`)
	eventually(t, "the worker has neither the group nor its files", func() bool {
		groups, err := worker.agents.store.GroupsOf(t.Context(), []agent.ID{1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(filepath.Join(w.Home, "etc/shared/web"))
		return slices.Equal(groups[1], []string{agent.DefaultGroup}) && os.IsNotExist(err)
	})
}
