package nodedb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"testudo/internal/nodedb"
	"testudo/internal/shortdir"
	"testudo/internal/sqlitedb"
	"testudo/internal/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// home makes a directory short enough for a socket, with a database.
func home(t *testing.T, agents int) string {
	t.Helper()
	dir := shortdir.New(t)
	if err := os.MkdirAll(filepath.Join(dir, "queue/db"), 0o750); err != nil {
		t.Fatal(err)
	}
	db := open(t, dir)
	defer db.Close()
	err := db.Write(t.Context(), func(c *sqlitedb.Conn) error {
		for id := range agents + 1 {
			status, node := "active", []string{"w1", "w2"}[id%2]
			if id%10 == 5 {
				status = "disconnected"
			}
			err := sqlitedb.Exec(c, `INSERT INTO agent VALUES (?1, ?2, ?3, 'secret', ?4, ?5, ?6, ?7, ?8)`,
				id, fmt.Sprintf("host-%d", id), "10.0.0.1", status, node, "Wazuh v4.7.5", []string{"default", "default,web"}[id%2], 1700000000+id)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// open opens the database of a home, with the columns that matter here.
func open(t *testing.T, dir string) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{
		Path: filepath.Join(dir, nodedb.FilePath), Rollback: true,
		Setup: func(c *sqlitedb.Conn) error {
			return sqlitedb.Exec(c, `CREATE TABLE IF NOT EXISTS agent (id INTEGER PRIMARY KEY, name TEXT, ip TEXT, internal_key TEXT,
				connection_status TEXT, node_name TEXT, version TEXT, "group" TEXT, last_keepalive INTEGER)`)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// original serves the database of a home as a service that knows no verb but sql.
func original(t *testing.T, dir string) {
	t.Helper()
	db := open(t, dir)
	serve(t, dir, func(request string) string {
		statement, ok := strings.CutPrefix(request, "global sql ")
		if !ok {
			_, verb, _ := strings.Cut(request, " ")
			return "err Invalid DB query syntax, near '" + verb[:min(len(verb), 32)] + "'"
		}
		rows := []map[string]any{}
		err := db.Read(context.Background(), func(c *sqlitedb.Conn) error {
			return sqlitedb.Select(c, statement, func(s *sqlitedb.Stmt) error {
				row := map[string]any{}
				for i := range s.ColumnCount() {
					if s.ColumnType(i).String() == "SQLITE_INTEGER" {
						row[s.ColumnName(i)] = s.ColumnInt64(i)
					} else {
						row[s.ColumnName(i)] = s.ColumnText(i)
					}
				}
				rows = append(rows, row)
				return nil
			})
		})
		if err != nil {
			return "err Cannot execute Global database query; " + err.Error()
		}
		text, _ := json.Marshal(rows)
		reply := "ok " + string(text)
		return reply[:min(len(reply), 65536)]
	})
	t.Cleanup(func() { db.Close() })
}

// serve answers at the socket of a home until the end of the test.
func serve(t *testing.T, dir string, answer func(request string) string) {
	t.Helper()
	ln, err := unixsock.Listen(filepath.Join(dir, nodedb.SocketPath), 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() {
		server := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{}, nil)
		_ = server.Serve(ctx, ln, func(_ context.Context, _ *unixsock.Conn, request []byte) []byte {
			return []byte(answer(string(request)))
		})
	})
	t.Cleanup(func() {
		stop()
		task.Wait()
	})
}

func list(t *testing.T, dir string, f nodedb.Filter) (ids []string, total int, origin nodedb.Origin) {
	t.Helper()
	r, err := nodedb.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	total, err = r.List(t.Context(), f, func(a nodedb.Agent) error {
		ids = append(ids, a.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, total, r.Origin()
}

// What is asked of another program's service and what is read from the file are
// the same.
func TestReader_ServiceAndFile(t *testing.T) {
	for _, served := range []bool{false, true} {
		t.Run(fmt.Sprintf("served=%t", served), func(t *testing.T) {
			dir := home(t, 40)
			want := nodedb.File
			if served {
				original(t, dir)
				want = nodedb.Asked
			}
			for name, c := range map[string]struct {
				filter nodedb.Filter
				ids    []string
				total  int
			}{
				"a page":         {nodedb.Filter{After: 3, Limit: 2}, []string{"004", "005"}, 40},
				"state":          {nodedb.Filter{Status: "disconnected"}, []string{"005", "015", "025", "035"}, 4},
				"node and limit": {nodedb.Filter{Node: "w2", Limit: 1}, []string{"001"}, 20},
				"group":          {nodedb.Filter{Group: "web", After: 37}, []string{"039"}, 20},
				"part of a word": {nodedb.Filter{Group: "we"}, nil, 0},
				"name":           {nodedb.Filter{Name: "ost-39"}, []string{"039"}, 1},
				"version":        {nodedb.Filter{Version: "Wazuh v4.7.4"}, nil, 0},
				"quotes":         {nodedb.Filter{Name: "x' OR '1'='1"}, nil, 0},
			} {
				ids, total, origin := list(t, dir, c.filter)
				if diff := cmp.Diff(c.ids, ids); diff != "" || total != c.total || origin != want {
					t.Errorf("%s: total %d from %s\n%s", name, total, origin, diff)
				}
			}
			if ids, _, _ := list(t, dir, nodedb.Filter{}); len(ids) != 40 {
				t.Errorf("all of them: %d", len(ids))
			}
		})
	}
}

// A page that the service cuts is asked for again, smaller.
func TestReader_CutReplies(t *testing.T) {
	dir := home(t, 600)
	db := open(t, dir)
	err := db.Write(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Exec(c, `UPDATE agent SET "group" = ?1 WHERE id BETWEEN 100 AND 300`, "default"+strings.Repeat(",some-group", 100))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	original(t, dir)
	if ids, total, _ := list(t, dir, nodedb.Filter{}); len(ids) != 600 || total != 600 || ids[599] != "600" {
		t.Errorf("%d of %d agents", len(ids), total)
	}
}

func TestReader_Counts(t *testing.T) {
	dir := home(t, 20)
	r, err := nodedb.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := nodedb.Counts{Total: 20, ByStatus: map[string]int{"active": 18, "disconnected": 2}, ByNode: map[string]map[string]int{
		"w1": {"active": 10}, "w2": {"active": 8, "disconnected": 2},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Our own verbs: pages go on behind the last agent of the one before.
func TestReader_Verbs(t *testing.T) {
	dir := home(t, 0)
	var mu sync.Mutex
	var asked []string
	serve(t, dir, func(request string) string {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, request)
		switch {
		case request == "global count-agents":
			return `ok {"total":3,"by_status":{"active":3},"by_node":{"w1":{"active":3}}}`
		case strings.Contains(request, `"after":0`):
			return `due {"total":3,"agents":[{"id":"001","name":"a","status":"active","groups":[]},{"id":"002","name":"b","status":"active","groups":[]}]}`
		default:
			return `ok {"total":3,"agents":[{"id":"003","name":"c","status":"active","groups":[]}]}`
		}
	})
	ids, total, origin := list(t, dir, nodedb.Filter{Group: "web"})
	if diff := cmp.Diff([]string{"001", "002", "003"}, ids); diff != "" || total != 3 || origin != nodedb.Served {
		t.Errorf("total %d from %s\n%s", total, origin, diff)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		`global list-agents {"group":"web","after":0,"limit":1000}`, `global list-agents {"group":"web","after":2,"limit":1000}`,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

func TestReader_Nobody(t *testing.T) {
	dir := t.TempDir()
	if _, err := nodedb.Open(t.Context(), dir); !errors.Is(err, nodedb.ErrNobody) || !strings.Contains(err.Error(), "has not run") {
		t.Errorf("got %v", err)
	}
}

// Replies nobody should give are errors, not panics; a refusal does not repeat
// what was asked, which may hold a key.
func TestConn_OddReplies(t *testing.T) {
	dir := home(t, 0)
	serve(t, dir, func(request string) string { return strings.TrimPrefix(request, "global x ") })
	c, err := nodedb.DialHome(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, reply := range []string{"okay", "nonsense", "ign x"} {
		if _, _, err := c.Call(t.Context(), "global x "+reply); err == nil {
			t.Errorf("%s was taken", reply)
		}
	}
	_, _, err = c.Call(t.Context(), "global x err no such thing")
	refused, ok := errors.AsType[*nodedb.RefusedError](err)
	if !ok || refused.Text != "no such thing" || err.Error() != "global x: no such thing" {
		t.Errorf("got %v", err)
	}
	if _, _, err := c.Call(t.Context(), strings.Repeat("x", nodedb.MaxRequest+1)); err == nil || errors.Is(err, nodedb.ErrLost) {
		t.Errorf("a request too long: %v", err)
	}
	if payload, more, err := c.Call(t.Context(), "global x due []"); err != nil || !more || string(payload) != "[]" {
		t.Errorf("got %s, %t, %v", payload, more, err)
	}
}

// A node that was killed has left last keep-alives in its journal only.
func TestReader_FileOfAKilledNode(t *testing.T) {
	dir := home(t, 3)
	db := open(t, dir)
	err := db.Write(t.Context(), func(c *sqlitedb.Conn) error {
		return errors.Join(
			sqlitedb.Exec(c, "CREATE TABLE t_keepalive (number INTEGER PRIMARY KEY, last_keepalive INTEGER, sync_status TEXT NOT NULL, agents TEXT NOT NULL)"),
			sqlitedb.Exec(c, "INSERT INTO t_keepalive VALUES (1, 1800000000, 'synced', '1,2'), (2, 1600000000, 'synced', '3'), (3, 1800000005, 'synced', '2')"),
		)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := nodedb.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]int64{}
	if _, err := r.List(t.Context(), nodedb.Filter{}, func(a nodedb.Agent) error {
		got[a.ID] = a.LastKeepalive
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"001": 1800000000, "002": 1800000005, "003": 1700000003}, got); d != "" {
		t.Error(d)
	}
}
