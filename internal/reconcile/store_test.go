package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/reconcile"
)

// database gives a store the methods that a Reconciler wants, as a node does.
type database struct{ *agentdb.Store }

func (d database) EachAgent(ctx context.Context, f func(agent.ID, string)) error {
	for after := agent.Manager; ; {
		list, _, err := d.Agents(ctx, agentdb.Filter{After: after, Limit: 10_000})
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			f(list[i].ID, list[i].Name)
		}
		after = list[len(list)-1].ID
	}
}

func (d database) AddAgent(ctx context.Context, k agent.Key, added int64) error {
	secret := k.Secret.Reveal()
	return d.InsertAgent(ctx, agentdb.NewAgent{ID: k.ID, Name: k.Name, DateAdd: added, RegisterIP: &k.Address, InternalKey: &secret})
}

func (d database) GroupNames(ctx context.Context) (names []string, err error) {
	page, err := d.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Name string `json:"name"`
	}
	err = json.Unmarshal(page.JSON, &rows)
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names, err
}

func (d database) UpdateSelf(ctx context.Context, columns map[string]string) error {
	text := func(name string) *string {
		if value, ok := columns[name]; ok {
			return &value
		}
		return nil
	}
	return d.UpdateData(ctx, agentdb.Data{
		ID: agent.Manager, OSName: text("os_name"), OSVersion: text("os_version"), OSMajor: text("os_major"),
		OSMinor: text("os_minor"), OSCodename: text("os_codename"), OSPlatform: text("os_platform"),
		OSUname: text("os_uname"), OSArch: text("os_arch"), Version: text("version"), ManagerHost: text("manager_host"),
		NodeName: text("node_name"), ConnectionStatus: text("connection_status"), SyncStatus: text("sync_status"),
		GroupConfigStatus: text("group_config_status"),
	})
}

// Against the database that a node keeps.
func TestReconciler_OverARealDatabase(t *testing.T) {
	home := t.TempDir()
	for _, dir := range []string{"queue/db", "etc/shared/default", "etc/shared/web"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(home, "queue/db/global.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- store.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	root, err := os.OpenRoot(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	db := database{store}
	r := reconcile.New(reconcile.Config{Home: root, NodeName: "w1", Version: "4.7.5", Agents: db, Groups: db, Self: db})
	const agents = 3000
	writeKeys(t, home, agents)
	result, err := r.Round(ctx)
	if want := (reconcile.Result{AgentsAdded: agents, GroupsAdded: 2}); err != nil || result != want {
		t.Fatalf("got %+v, %v", result, err)
	}
	page, err := store.AgentInfo(ctx, 7)
	if err != nil || !strings.Contains(string(page.JSON), `"name":"agent-7","register_ip":"any","internal_key":"key7"`) {
		t.Errorf("agent 7: %s, %v", page.JSON, err)
	}
	page, err = store.AgentInfo(ctx, agent.Manager)
	if err != nil || !strings.Contains(string(page.JSON), `"node_name":"w1"`) {
		t.Errorf("agent 0: %s, %v", page.JSON, err)
	}
	if result, err := r.Round(ctx); err != nil || result != (reconcile.Result{}) {
		t.Errorf("nothing to do: %+v, %v", result, err)
	}
	writeKeys(t, home, agents-1000)
	if err := os.Remove(filepath.Join(home, "etc/shared/web")); err != nil {
		t.Fatal(err)
	}
	result, err = r.Round(ctx)
	if want := (reconcile.Result{AgentsRemoved: 1000, GroupsRemoved: 1}); err != nil || result != want {
		t.Errorf("got %+v, %v", result, err)
	}
	counts, err := store.Counts(ctx)
	if err != nil || counts.Total != agents-1000 {
		t.Errorf("%d agents, %v", counts.Total, err)
	}
}

func writeKeys(t *testing.T, home string, n int) {
	t.Helper()
	var b strings.Builder
	for id := range agent.ID(n) {
		fmt.Fprintf(&b, "%v agent-%d any key%d\n", id+1, id+1, id+1)
	}
	name := filepath.Join(home, "etc/client.keys")
	if err := os.WriteFile(name+".new", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}
