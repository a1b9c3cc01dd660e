package agentapi

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

// benchAgents is a node with so many agents.
func benchAgents(b *testing.B, n int) *API {
	b.Helper()
	dir := b.TempDir()
	store, ctx := openStore(b, filepath.Join(dir, "global.db")), b.Context()
	if err := store.InsertGroup(ctx, "default"); err != nil {
		b.Fatal(err)
	}
	for first := 1; first <= n; first += 500 {
		report := []byte{'['}
		change := agentdb.GroupChange{Mode: agentdb.GroupsOverride, Sync: "synced"}
		done := make(chan error, 500)
		for id := first; id < first+500; id++ {
			key := fmt.Sprintf("%064x", id)
			go func() {
				done <- store.InsertAgent(ctx, agentdb.NewAgent{ID: agent.ID(id), Name: fmt.Sprintf("agent-%06d", id), DateAdd: 1700000000, InternalKey: &key})
			}()
			if id > first {
				report = append(report, ',')
			}
			report = fmt.Appendf(report, `{"id":%[1]d,"name":"agent-%06[1]d","ip":"10.0.0.1","os_name":"Debian GNU/Linux","os_version":"12","os_major":"12",`+
				`"os_codename":"bookworm","os_platform":"debian","os_uname":"Linux |agent-%[1]d |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) |x86_64",`+
				`"os_arch":"x86_64","version":"Wazuh v4.7.5","config_sum":"ab73af41699f13fdd81903b5f23d8d00","merged_sum":"4a8724b20dee0124ff9656783c490c4e",`+
				`"manager_host":"manager01","node_name":"w%[2]d","last_keepalive":1795351944,"connection_status":"active","disconnection_time":0,"group_config_status":"synced","status_code":0}`,
				id, id%20)
			change.Data = append(change.Data, agentdb.AgentGroups{ID: agent.ID(id), Groups: []string{"default"}})
		}
		for range 500 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		if err := store.SetSyncInfo(ctx, append(report, ']')); err != nil {
			b.Fatal(err)
		}
		if err := store.SetGroups(ctx, change); err != nil {
			b.Fatal(err)
		}
	}
	home, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := home.Close(); err != nil {
			b.Error(err)
		}
	})
	return New(Config{Home: home, Database: Embedded{store}})
}

// BenchmarkAgents is what one request costs with 10,000 agents, its answer
// written.
func BenchmarkAgents(b *testing.B) {
	api := benchAgents(b, 10000)
	white, err := rbac.Parse(json.RawMessage(`{"rbac_mode":"white","agent:read":{"agent:id:*":"allow","agent:id:004":"deny"}}`))
	if err != nil {
		b.Fatal(err)
	}
	functions := map[string]dapi.Function{}
	for _, f := range api.Functions() {
		functions[f.Name] = f
	}
	for _, c := range []struct {
		name, function, args string
		permissions          rbac.Permissions
	}{
		{"first 500", "get_agents", `{"limit":500}`, rbac.All()},
		{"offset 9000", "get_agents", `{"limit":500,"offset":9000}`, rbac.All()},
		{"limit 1", "get_agents", `{"limit":1}`, rbac.All()},
		{"ids and names", "get_agents", `{"limit":500,"select":["id","name"]}`, rbac.All()},
		{"of a node", "get_agents", `{"limit":500,"filters":{"node_name":"w7","status":["active"]}}`, rbac.All()},
		{"query", "get_agents", `{"limit":500,"q":"(name~99,version=null);status=active"}`, rbac.All()},
		{"search", "get_agents", `{"limit":500,"search":{"value":"agent-0042","negation":false}}`, rbac.All()},
		{"by name", "get_agents", `{"limit":500,"sort":{"fields":["name"],"order":"desc"}}`, rbac.All()},
		{"named", "get_agents", `{"agent_list":["007","4711","8000"]}`, rbac.All()},
		{"one is refused", "get_agents", `{"limit":500}`, white},
		{"summary", "get_agents_summary_status", `{}`, rbac.All()},
		{"overview", "get_full_overview", `{}`, rbac.All()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			size, before := 0, processorTime(b)
			for b.Loop() {
				r, err := functions[c.function].Run(b.Context(), &dapi.Call{Permissions: c.permissions}, json.RawMessage(c.args))
				if err != nil {
					b.Fatal(err)
				}
				size = len(result.Outcome{Result: r}.JSON())
			}
			b.ReportMetric(float64(size), "answer-B")
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what the process has used, in nanoseconds: on a busy machine
// it says more than the clock.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
