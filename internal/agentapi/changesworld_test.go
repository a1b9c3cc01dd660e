package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/dapi"
	"testudo/internal/groups"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/shortdir"
)

// changeWorld is one node with its files, its database and stand-ins for its
// daemons.
type changeWorld struct {
	*testing.T
	node    string
	dir     string
	root    *os.Root
	store   *agentdb.Store
	changes *Changes
	sent    chan string // what the listener of agents got
}

// recordedGroups are the groups of the recorded agents 001 to 012 before the
// first of the recorded changes.
var recordedGroups = [][]string{
	{"default", "web"}, {"default", "db"}, {"default", "web", "db"}, {"default"},
	{"default"}, {"default", "web"}, {"default", "db"}, {"default", "web", "db"},
	{"default"}, {"default"}, {"default", "web"}, {"default", "db"},
}

// newChangeWorld makes a node with the recorded agents: 1 to 4 report to m3, 5 to
// 8 to w3, 9 and 10 to w4, 11 to an absent w9; 7 is disconnected, 12 has never
// connected. Its database has those for which has says so.
func newChangeWorld(t *testing.T, node string, has func(id int) bool) *changeWorld {
	t.Helper()
	dir := shortdir.New(t)
	for _, d := range []string{"etc/shared/default", "etc/shared/web", "etc/shared/db", "queue/db", "queue/alerts", "queue/sockets", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &changeWorld{T: t, node: node, dir: dir, root: root, sent: make(chan string, 1000)}
	t.Cleanup(func() { w.root.Close() })
	w.put("etc/shared/ar.conf", "restart-wazuh0 - restart-wazuh - 0\nblock10 - block.sh - 10\n")
	w.startStore()
	w.enrol(has)
	w.changes = w.open(w.store)
	return w
}

func (w *changeWorld) open(members Memberships) *Changes {
	reader := New(Config{Home: w.root, Database: Embedded{w.store}})
	return NewChanges(ChangeConfig{
		Home: w.root, Dir: w.dir, Reader: reader, Groups: members, Owner: groups.Owner{UID: -1, GID: -1},
		Send: 200 * time.Millisecond, Talk: 5 * time.Second,
	})
}

func (w *changeWorld) startStore() {
	w.store = openStore(w, filepath.Join(w.dir, "queue/db/global.db"))
}

// openStore opens a master's database and runs it until the test ends.
func openStore(t testing.TB, path string) *agentdb.Store {
	t.Helper()
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: path, Master: true})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- store.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		if err := errors.Join(store.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return store
}

func (w *changeWorld) enrol(has func(id int) bool) {
	keys := ""
	var reports []map[string]any
	for i, names := range recordedGroups {
		id := i + 1
		keys += fmt.Sprintf("%03d agent-%06d any %064d\n", id, id, id)
		if !has(id) {
			continue
		}
		must(w.T, w.store.InsertAgent(w.Context(), agentdb.NewAgent{ID: agent.ID(id), Name: fmt.Sprintf("agent-%06d", id), DateAdd: 1700000000}))
		w.groups(agent.ID(id), names...)
		if id < 12 {
			status := agent.Active
			if id == 7 {
				status = agent.Disconnected
			}
			reports = append(reports, map[string]any{
				"id": id, "name": fmt.Sprintf("agent-%06d", id), "version": "Wazuh v4.7.5", "node_name": nodeOf(id),
				"last_keepalive": 1700000000, "connection_status": status, "disconnection_time": 0, "group_config_status": "synced", "status_code": 0,
			})
		}
	}
	data, err := json.Marshal(reports)
	must(w.T, err)
	must(w.T, w.store.SetSyncInfo(w.Context(), data))
	w.put("etc/client.keys", keys)
}

func nodeOf(id int) string {
	switch {
	case id <= 4:
		return "m3"
	case id <= 8:
		return "w3"
	case id <= 10:
		return "w4"
	}
	return "w9"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// groups puts an agent into groups, which are made.
func (w *changeWorld) groups(id agent.ID, names ...string) {
	w.Helper()
	have, err := w.store.GroupNames(w.Context())
	must(w.T, err)
	for _, name := range names {
		if !slices.Contains(have, name) {
			must(w.T, w.store.InsertGroup(w.Context(), name))
		}
	}
	must(w.T, w.store.SetGroups(w.Context(), agentdb.GroupChange{
		Mode: agentdb.GroupsOverride, Sync: "synced", Data: []agentdb.AgentGroups{{ID: id, Groups: names}},
	}))
}

func (w *changeWorld) groupsOf(id agent.ID) []string {
	w.Helper()
	all, err := w.store.GroupsOf(w.Context(), []agent.ID{id})
	must(w.T, err)
	return all[id]
}

func (w *changeWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *changeWorld) put(name, text string) {
	w.Helper()
	must(w.T, os.MkdirAll(filepath.Dir(w.path(name)), 0o770))
	must(w.T, os.WriteFile(w.path(name), []byte(text), 0o660))
}

func (w *changeWorld) read(name string) string {
	w.Helper()
	text, err := os.ReadFile(w.path(name))
	must(w.T, err)
	return string(text)
}

// listen is the listener of agents: it takes what is sent.
func (w *changeWorld) listen() {
	w.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path(listenerQueue), Net: "unixgram"})
	must(w.T, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1<<17)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			w.sent <- string(buf[:n])
		}
	}()
	w.Cleanup(func() { conn.Close(); <-ended })
}

// got gives the next n messages that agents were sent.
func (w *changeWorld) got(n int) (all []string) {
	w.Helper()
	for range n {
		select {
		case text := <-w.sent:
			all = append(all, text)
		case <-w.Context().Done():
			w.Fatal("nothing was sent")
		}
	}
	return all
}

// asked is one request.
type asked struct {
	function     string
	args         string
	permissions  string
	broadcasting bool
	worker       bool
}

// ask runs a function as the node would.
func (w *changeWorld) ask(a asked) result.Outcome {
	w.Helper()
	list := w.changes.Functions()
	i := slices.IndexFunc(list, func(f dapi.Function) bool { return f.Key() == a.function })
	if i < 0 {
		w.Fatalf("there is no %s", a.function)
	}
	permissions, err := rbac.Parse(json.RawMessage(a.permissions))
	must(w.T, err)
	call := &dapi.Call{Node: w.node, Master: !a.worker, Permissions: permissions, Nodes: []string{"m3", "w3", "w4"}, Broadcasting: a.broadcasting}
	r, err := list[i].Run(w.Context(), call, json.RawMessage(a.args))
	if err != nil {
		return result.Outcome{Err: result.Origin{Node: w.node, Readable: permissions.Allows("cluster:read", "node:id:"+w.node)}.Blame(err)}
	}
	return result.Outcome{Result: r}
}

// brief is an outcome in one line: the items, then each error with its ids; or
// the error; or the message.
func (w *changeWorld) brief(o result.Outcome) string {
	w.Helper()
	switch r := o.Result.(type) {
	case *result.Plain:
		return string(r.Body)
	case *result.Affected:
		text := ""
		for _, item := range r.Items {
			text += string(item) + " "
		}
		failed := slices.Clone(r.Failed)
		slices.SortFunc(failed, func(a, b result.Failure) int { return int(a.Err.Code - b.Err.Code) })
		for _, f := range failed {
			text += fmt.Sprint("| ", int(f.Err.Code), " ", f.IDs, " ")
		}
		return text
	}
	return o.Err.Error()
}

func (w *changeWorld) expect(a asked, want string) {
	w.Helper()
	if got := w.brief(w.ask(a)); got != want {
		w.Errorf("%s %s: got %s, want %s", a.function, a.args, got, want)
	}
}
