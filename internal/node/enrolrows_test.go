package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/inventory"
	"testudo/internal/registrar"
	"testudo/internal/wdb"
)

// serveDatabase runs the agent database of a home as another program does.
func serveDatabase(t *testing.T, c *config.Config) *agentdb.Store {
	t.Helper()
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(c.Home, databaseFile), Master: true})
	if err != nil {
		t.Fatal(err)
	}
	files, err := inventory.Open(inventory.Options{Dir: filepath.Join(c.Home, databaseDir), Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	server := wdb.NewServer(store, files, wdb.Options{Path: filepath.Join(c.Home, databaseSocket), UID: -1, GID: -1})
	listener, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = store.Run(ctx) })
	serving, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(serving, listener) })
	t.Cleanup(func() {
		stop()
		served.Wait()
		cancel()
		running.Wait()
		if err := errors.Join(files.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return store
}

// What enrolment writes to the database, by its own node and over the socket.
func TestEnrolRows(t *testing.T) {
	for _, external := range []bool{false, true} {
		name := map[bool]string{false: "embedded", true: "external"}[external]
		t.Run(name, func(t *testing.T) {
			ln, port := taken(t)
			ln.Close()
			c := enrolling(t, "m", config.Master, port)
			var store *agentdb.Store
			if external {
				store = serveDatabase(t, c)
				c.Testudo.Services.AgentDB = config.External
			}
			n := run(t, c)
			awaitReady(t, n) // agents without a key have been removed
			if !external {
				store = n.agents.store
			}
			if err := store.InsertGroup(t.Context(), "default"); err != nil && external {
				t.Fatal(err)
			}
			checkRows(t, n, store)
		})
	}
}

func newcomer(id agent.ID, groups ...string) registrar.NewAgent {
	return registrar.NewAgent{
		ID: id, Name: "web-" + id.String(), RegisterIP: "192.0.2.7", Key: agent.NewSecret(strings.Repeat("b", 64)),
		Groups: groups, GroupSync: "syncreq", Added: 1700000000,
	}
}

func checkRows(t *testing.T, n *Node, store *agentdb.Store) {
	t.Helper()
	rows := n.enrolRows()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	has := func(id agent.ID, parts ...string) {
		t.Helper()
		page, err := store.AgentInfo(t.Context(), id)
		must(err)
		for _, part := range parts {
			if !strings.Contains(string(page.JSON), part) {
				t.Errorf("no %s in %s", part, page.JSON)
			}
		}
	}
	// A directory whose group has no row yet, or cannot have one.
	for _, name := range []string{"fresh", "a@b"} {
		must(os.MkdirAll(filepath.Join(n.cfg.Home, "etc/shared", name), 0o770))
	}
	for range 2 { // it may not be known how far the first came
		must(rows.Insert(t.Context(), newcomer(7, "default", "fresh")))
	}
	has(7, `"name":"web-007"`, `"register_ip":"192.0.2.7"`, `"date_add":1700000000`, `"group":"default,fresh"`, `"group_sync_status":"sync`)
	must(rows.Insert(t.Context(), newcomer(8)))
	if err := rows.Insert(t.Context(), newcomer(9, "a@b")); !errors.Is(err, registrar.ErrRefused) {
		t.Errorf("%v for a group that the database cannot have", err)
	}
	has(9, `"name":"web-009"`, `"group":"a@b"`)
	other := newcomer(8)
	other.Name = "other"
	if err := rows.Insert(t.Context(), other); !errors.Is(err, registrar.ErrRefused) {
		t.Errorf("%v for an id that another agent has", err)
	}
	must(store.UpdateKeepalive(t.Context(), 7, "active", "synced"))
	for id, want := range map[agent.ID]enrolment.Existing{
		7: {Known: true, Status: agent.Active, AddedAt: 1700000000}, 8: {Known: true, Status: agent.NeverConnected, AddedAt: 1700000000}, 99: {},
	} {
		if got, err := rows.State(t.Context(), id); err != nil || got != want {
			t.Errorf("agent %v: %+v, %v", id, got, err)
		}
	}
	left := []string{"queue/rids/007", "queue/diff/web-007/1/file", "queue/diff/kept/1/file"}
	for _, path := range left {
		path = filepath.Join(n.cfg.Home, path)
		must(os.MkdirAll(filepath.Dir(path), 0o770))
		must(os.WriteFile(path, nil, 0o640))
	}
	must(rows.Delete(t.Context(), 7, "web-007"))
	must(rows.Delete(t.Context(), 7, "")) // nothing is left of it
	must(rows.Delete(t.Context(), 99, ".."))
	if got, err := rows.State(t.Context(), 7); err != nil || got.Known {
		t.Errorf("%+v, %v", got, err)
	}
	for i, path := range left {
		if _, err := os.Stat(filepath.Join(n.cfg.Home, path)); errors.Is(err, fs.ErrNotExist) != (i < 2) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// While the database is away an error says so: it is asked again.
func TestEnrolRows_Away(t *testing.T) {
	c := enrolling(t, "m", config.Master, 0)
	client := wdb.Dial(filepath.Join(c.Home, databaseSocket), wdb.ClientOptions{})
	defer client.Close()
	rows := enrolled{table: wdb.NewExternal(client, nil), log: slog.New(slog.DiscardHandler)}
	_, stateErr := rows.State(t.Context(), 1)
	for name, err := range map[string]error{
		"state": stateErr, "insert": rows.Insert(t.Context(), newcomer(1, "default")), "delete": rows.Delete(t.Context(), 1, "a"),
	} {
		if err == nil || errors.Is(err, registrar.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
