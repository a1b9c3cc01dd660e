package functions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/agentapi"
	"testudo/internal/agentdb"
	"testudo/internal/cluster"
	"testudo/internal/dapi"
	"testudo/internal/nodeinfo"
	"testudo/internal/shortdir"
	"testudo/internal/wdb"
)

// world is the cluster of the recordings: master m3, workers w3 and w4, twelve
// agents in three groups.
type world struct {
	t      *testing.T
	dir    string
	store  *agentdb.Store
	nodes  map[string]*dapi.Master
	info   *recordedNodes
	agents *agentapi.API
}

// recordedNodes answers about nodes as nodeinfo does, about health and hashes as
// recorded.
type recordedNodes struct {
	*nodeinfo.Master
	health, hash []byte
}

func (n *recordedNodes) GetHealth(context.Context, []byte) ([]byte, error) { return n.health, nil }
func (n *recordedNodes) GetHash(context.Context) ([]byte, error)           { return n.hash, nil }

// clusterSection is <cluster> of the recorded nodes.
func clusterSection(node, role string) []byte {
	return fmt.Appendf(nil, `{"name": "wazuh", "node_name": %q, "node_type": %q, "key": "c98b62a9b6169ac5f67dae55ae4a9088", "port": 1616, `+
		`"bind_addr": "127.0.0.1", "nodes": ["127.0.0.1"], "hidden": "no", "disabled": false}`, node, role)
}

// The file that a new group gets, and what its hash was.
const emptyConf = "<agent_config>\n\n  <!-- Shared agent configuration here -->\n\n</agent_config>\n"

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOver(t, false)
}

// overBoth runs a test over the database of this process, and over one that
// another program has.
func overBoth(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	for name, external := range map[string]bool{"own database": false, "another program's": true} {
		t.Run(name, func(t *testing.T) { test(t, newWorldOver(t, external)) })
	}
}

// newWorldOver is newWorld with the database in the process, or behind its socket
// as another program's.
func newWorldOver(t *testing.T, external bool) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), nodes: map[string]*dapi.Master{}}
	for _, group := range []string{"default", "web", "db"} {
		w.write("etc/shared/"+group+"/agent.conf", emptyConf)
	}
	w.write("etc/shared/default/merged.mg", "made of agent.conf")
	w.write("etc/shared/ar.conf", "restart-wazuh0 - restart-wazuh - 0\n")
	w.store = openStore(t, w.dir)
	fill(t, w.store)
	w.info = &recordedNodes{Master: nodeinfo.NewMaster(nodeinfo.MasterConfig{
		Name: "m3", Version: "4.7.5", Address: "127.0.0.1",
		Members: func() []cluster.Member {
			return []cluster.Member{
				{Name: "w3", Type: "worker", Version: "4.7.5", Address: "127.0.0.1"},
				{Name: "w4", Type: "worker", Version: "4.7.5", Address: "127.0.0.1"},
			}
		},
	})}
	home, err := os.OpenRoot(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := home.Close(); err != nil {
			t.Error(err)
		}
	})
	w.agents = agentapi.New(agentapi.Config{Home: home, Database: database(t, w.store, external)})
	for node, role := range map[string]string{"m3": "master", "w3": "worker", "w4": "worker"} {
		registry, err := dapi.NewRegistry(Table(Deps{
			Cluster: "wazuh", Role: role, Enabled: true, Nodes: w.info, Parts: []Part{w.agents},
			Config: func() ([]byte, error) { return clusterSection(node, role), nil },
		})...)
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[node] = dapi.NewMaster(dapi.MasterConfig{
			Config: dapi.Config{Node: node, Log: slog.New(slog.DiscardHandler)},
			Nodes:  dapi.NodesFunc(func() []string { return []string{"m3", "w3", "w4"} }),
		}, registry, nil)
		t.Cleanup(w.nodes[node].Close)
	}
	return w
}

// database is a store, or a client of it.
func database(t *testing.T, store *agentdb.Store, external bool) agentapi.Database {
	t.Helper()
	if !external {
		return agentapi.Embedded{Store: store}
	}
	socket := filepath.Join(shortdir.New(t), "wdb")
	server := wdb.NewServer(store, nil, wdb.Options{Path: socket, UID: -1, GID: -1})
	listener, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	client := wdb.Dial(socket, wdb.ClientOptions{})
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(client.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return agentapi.External{Foreign: wdb.NewExternal(client, nil)}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func openStore(t testing.TB, dir string) *agentdb.Store {
	t.Helper()
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(dir, "global.db")})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- store.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return store
}

// reported is an agent's report. Its arguments: id, a text of the name, node,
// status.
const reported = `{"id":%[1]d,"name":"agent-%06[1]d","ip":"10.0.0.%[1]d","os_name":"Debian GNU/Linux","os_version":"12","os_major":"12","os_minor":"5",` +
	`"os_codename":"bookworm","os_platform":"debian","os_uname":"Linux |agent-%[1]d |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) |x86_64",` +
	`"os_arch":"x86_64","version":"Wazuh v4.7.5","config_sum":"ab73af41699f13fdd81903b5f23d8d00","merged_sum":"4a8724b20dee0124ff9656783c490c4e",` +
	`"manager_host":"manager01","node_name":%[2]q,"last_keepalive":1795351944,"connection_status":%[3]q,"disconnection_time":0,"group_config_status":"synced","status_code":0}`

// fill makes the twelve agents.
func fill(t testing.TB, store *agentdb.Store) {
	t.Helper()
	ctx := t.Context()
	for _, group := range []string{"default", "web", "db"} {
		if err := store.InsertGroup(ctx, group); err != nil {
			t.Fatal(err)
		}
	}
	anywhere := "any"
	var reports []string
	groups := map[agent.ID]string{}
	for id := 1; id <= 12; id++ {
		ip, key := fmt.Sprintf("10.0.0.%d", id), fmt.Sprintf("%064x", id)
		err := store.InsertAgent(ctx, agentdb.NewAgent{
			ID: agent.ID(id), Name: fmt.Sprintf("agent-%06d", id), DateAdd: 1700000000, IP: &ip, RegisterIP: &anywhere, InternalKey: &key,
		})
		if err != nil {
			t.Fatal(err)
		}
		node := []string{"m3", "m3", "m3", "m3", "w3", "w3", "w3", "w3", "w4", "w4", "w9", ""}[id-1]
		status := "active"
		if id == 7 {
			status = "disconnected"
		}
		if node != "" {
			reports = append(reports, fmt.Sprintf(reported, id, node, status))
		}
		groups[agent.ID(id)] = "default" + map[int]string{1: ",web", 2: ",db", 3: ",web,db"}[id%5]
	}
	reports = append(reports, `{"id":0,"name":"localhost","ip":"127.0.0.1","node_name":"m3","last_keepalive":253402300799,"connection_status":"active",`+
		`"disconnection_time":0,"group_config_status":"not synced","status_code":0}`)
	if err := store.SetSyncInfo(ctx, []byte("["+strings.Join(reports, ",")+"]")); err != nil {
		t.Fatal(err)
	}
	setGroups(t, store, groups)
}

// setGroups gives agents the groups in texts.
func setGroups(t testing.TB, store *agentdb.Store, groups map[agent.ID]string) {
	t.Helper()
	change := agentdb.GroupChange{Mode: agentdb.GroupsOverride, Sync: "synced"}
	for id, text := range groups {
		change.Data = append(change.Data, agentdb.AgentGroups{ID: id, Groups: strings.Split(text, ",")})
	}
	if err := store.SetGroups(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// agentsWithout is the functions about agents without a database.
func agentsWithout(w *world) *agentapi.API {
	w.t.Helper()
	home, err := os.OpenRoot(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := home.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return agentapi.New(agentapi.Config{Home: home})
}
