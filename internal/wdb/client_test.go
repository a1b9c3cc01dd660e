package wdb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/fault"
	"testudo/internal/shortdir"
	"testudo/internal/unixsock"
)

// foreign is a database of a test's making.
type foreign struct {
	t      *testing.T
	path   string
	answer func(request string) string // called with mu held

	mu    sync.Mutex
	asked []string
}

// requests returns what was asked since the last call.
func (f *foreign) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func newForeign(t *testing.T, answer func(request string) string) *foreign {
	t.Helper()
	dir := shortdir.New(t)
	f := &foreign{t: t, path: filepath.Join(dir, "s"), answer: answer}
	t.Cleanup(f.start())
	return f
}

// start serves until the function returned is called.
func (f *foreign) start() (stop func()) {
	f.t.Helper()
	ln, err := unixsock.Listen(f.path, 0o600, -1, -1)
	if err != nil {
		f.t.Fatal(err)
	}
	server := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{Message: 1 << 20, Reply: 1 << 20}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(ctx, ln, func(_ context.Context, c *unixsock.Conn, request []byte) []byte {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked = append(f.asked, string(request))
			reply := f.answer(string(request))
			if reply == "(hang up)" {
				c.Hangup()
				return nil
			}
			return []byte(reply)
		})
	}()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
	})
}

func (f *foreign) dial(o ClientOptions) *Client {
	c := Dial(f.path, o)
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClient_Replies(t *testing.T) {
	f := newForeign(t, func(request string) string { return request })
	c := f.dial(ClientOptions{})
	for reply, want := range map[string]struct {
		status  Status
		payload string
		code    fault.Code
	}{
		"ok":                       {StatusOK, "", 0},
		"ok ":                      {StatusOK, "", 0},
		"ok [1, 2]":                {StatusOK, "[1, 2]", 0},
		"due [1]":                  {StatusMore, "[1]", 0},
		"ign x":                    {StatusIgnored, "x", 0},
		`{"error":0, "data":{}}`:   {StatusOK, `{"error":0, "data":{}}`, 0},
		"err no such thing":        {StatusError, "no such thing", fault.DatabaseRefused},
		"err":                      {StatusError, "", fault.DatabaseRefused},
		"nonsense":                 {"", "", fault.DatabaseRead},
		strings.Repeat("x", 65536): {"", "", fault.DatabaseTooLarge},
		"(hang up)":                {"", "", fault.DatabaseRead},
	} {
		status, payload, err := c.Call(t.Context(), reply)
		if status != want.status || string(payload) != want.payload {
			t.Errorf("%.40q: %q %q, want %q %q", reply, status, payload, want.status, want.payload)
		}
		if want.code == 0 && err != nil || want.code != 0 && !fault.Has(err, want.code) {
			t.Errorf("%.40q: %v, want %d", reply, err, want.code)
		}
	}
	_, _, err := c.Call(t.Context(), "err because")
	if text, ok := Refusal(err); !ok || text != "because" {
		t.Errorf("Refusal(%v) = %q, %v", err, text, ok)
	}
}

func TestClient_NobodyThereThenSomebody(t *testing.T) {
	f := newForeign(t, func(string) string { return "ok" })
	c := f.dial(ClientOptions{Connections: 1})
	if err := c.run(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	// A new process at the same place: the kept connection is dead, which nobody notices.
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	stop := f.start()
	if err := c.run(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	stop()
	absent := Dial(filepath.Join(filepath.Dir(f.path), "absent"), ClientOptions{})
	defer absent.Close()
	if err := absent.run(t.Context(), "x"); !fault.Has(err, fault.DatabaseUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestClient_TakesUpAgainAfterARestart(t *testing.T) {
	f := newForeign(t, func(string) string { return "ok" })
	c := f.dial(ClientOptions{Connections: 1})
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	stop := f.start()
	if err := c.run(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	stop()
	defer f.start()()
	if err := c.run(t.Context(), "x"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestClient_Bounds(t *testing.T) {
	release := make(chan struct{})
	f := newForeign(t, func(request string) string {
		if request == "wait" {
			<-release
		}
		return "ok"
	})
	c := f.dial(ClientOptions{Connections: 1, Timeout: 20 * time.Millisecond})
	if _, _, err := c.Call(t.Context(), strings.Repeat("x", 65537)); !errors.Is(err, ErrRequestTooLong) {
		t.Errorf("got %v", err)
	}
	if err := c.run(t.Context(), "wait"); !errors.Is(err, context.DeadlineExceeded) || !fault.Has(err, fault.DatabaseRead) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := c.run(t.Context(), "x"); err != nil {
		t.Errorf("after a request that took too long: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.run(t.Context(), "x"); !errors.Is(err, unixsock.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func text(s string) *string { return &s }

func TestExternal_Requests(t *testing.T) {
	f := newForeign(t, func(string) string { return "ok []" })
	e := NewExternal(f.dial(ClientOptions{}), nil)
	ctx := t.Context()
	for want, do := range map[string]func() error{
		`global insert-agent {"id":7,"name":"a\"b","date_add":5,"register_ip":"any","internal_key":"k"}`: func() error {
			return e.InsertAgent(ctx, agentdb.NewAgent{ID: 7, Name: `a"b`, DateAdd: 5, RegisterIP: text("any"), InternalKey: text("k")})
		},
		`global update-agent-name {"id":0,"name":"host"}`: func() error { return e.RenameAgent(ctx, 0, "host") },
		`global update-agent-data {"id":1,"os_name":"D","connection_status":"active","group_config_status":"synced"}`: func() error {
			return e.UpdateData(ctx, agentdb.Data{ID: 1, OSName: text("D"), ConnectionStatus: text("active"), GroupConfigStatus: text("synced")})
		},
		`global update-keepalive {"id":1,"connection_status":"active","sync_status":"syncreq"}`: func() error {
			return e.UpdateKeepalive(ctx, 1, "active", "syncreq")
		},
		`global delete-agent 7`:                                                        func() error { return e.DeleteAgent(ctx, 7) },
		`wazuhdb remove 007 1234`:                                                      func() error { return e.RemoveFiles(ctx, []agent.ID{7, 1234}) },
		`global disconnect-agents 3 100 synced`:                                        func() error { _, _, err := e.DisconnectAgents(ctx, 3, 100, "synced"); return err },
		`global reset-agents-connection synced`:                                        func() error { return e.ResetConnections(ctx, "synced") },
		`global insert-agent-group web`:                                                func() error { return e.InsertGroup(ctx, "web") },
		`global delete-group web`:                                                      func() error { return e.DeleteGroup(ctx, "web") },
		`global get-all-agents last_id -1`:                                             func() error { _, err := e.AllAgents(ctx, -1); return err },
		`global sync-agent-info-set [{"id":1}]`:                                        func() error { return e.SetSyncInfo(ctx, []byte(`[{"id":1}]`)) },
		`global recalculate-agent-group-hashes`:                                        func() error { return e.RecalculateGroupHashes(ctx) },
		`global set-agent-groups {"mode":"override","sync_status":"synced","data":[]}`: func() error { return e.SetSyncGroups(ctx, []byte("[]")) },
		`global sql UPDATE agent SET sync_status = 'syncreq' WHERE id > 0 AND node_name = 'o''brien'`: func() error {
			return e.ReportAll(ctx, "o'brien")
		},
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if diff := cmp.Diff([]string{want}, f.requests()); diff != "" {
			t.Error(diff)
		}
	}
	if err := e.InsertGroup(ctx, "web last_id 0"); !errors.Is(err, ErrBadName) {
		t.Errorf("got %v", err)
	}
}

// The rows of a foreign database are marked by the very read: what was not
// confirmed is delivered again, before what is newer.
func TestExternal_PendingInfoUntilConfirmed(t *testing.T) {
	pages := []string{`due [{"id":1},{"id":2}]`, `ok [{"id":3}]`, `ok []`, `ok [{"id":1,"x":2}]`}
	f := newForeign(t, func(string) string {
		if len(pages) == 0 {
			return "ok []"
		}
		page := pages[0]
		pages = pages[1:]
		return page
	})
	e := NewExternal(f.dial(ClientOptions{Connections: 1}), nil)
	pending := func(most int, wantMore bool, want ...string) func(context.Context) error {
		t.Helper()
		chunks, more, confirm, err := e.PendingInfo(t.Context(), most)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range chunks {
			got = append(got, string(c))
		}
		if diff := cmp.Diff(want, got); diff != "" || more != wantMore {
			t.Errorf("more %v, %s", more, diff)
		}
		return confirm
	}
	pending(2, true, `[{"id":1},{"id":2}]`)
	pending(100, false, `[{"id":1},{"id":2}]`, `[{"id":3}]`)
	first := pending(1, true, `[{"id":1},{"id":2}]`)
	if err := first(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := pending(100, false, `[{"id":3}]`)
	newer := pending(100, false, `[{"id":3}]`, `[{"id":1,"x":2}]`)
	for _, confirm := range []func(context.Context) error{all, all, newer} {
		if err := confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pending(100, false)
}

func TestExternal_KeepsOnlySoMuch(t *testing.T) {
	big := `due [{"id":1,"x":"` + strings.Repeat("x", 50_000) + `"}]`
	f := newForeign(t, func(string) string { return big })
	e := NewExternal(f.dial(ClientOptions{}), nil)
	e.info.limit = 1 << 20
	chunks, more, _, err := e.PendingInfo(t.Context(), 1e6)
	if err != nil || !more {
		t.Fatalf("more %v, %v", more, err)
	}
	total := 0
	for _, c := range chunks {
		total += len(c)
	}
	if total > 1<<20 || total < 1<<19 {
		t.Errorf("%d bytes are kept", total)
	}
}

func TestExternal_AgentLargerThanAPage(t *testing.T) {
	f := newForeign(t, func(string) string { return "due []" })
	e := NewExternal(f.dial(ClientOptions{}), nil)
	if _, _, _, err := e.PendingInfo(t.Context(), 10); !errors.Is(err, errStuck) {
		t.Errorf("got %v", err)
	}
	if _, err := e.AllGroups(t.Context()); !errors.Is(err, fault.New(fault.DatabaseRead, nil)) && !errors.Is(err, errStuck) {
		t.Errorf("got %v", err)
	}
}

func TestExternal_Groups(t *testing.T) {
	hash := `[{"data":[],"hash":"2196d34b90177314d288df2ea5be4822b7dd8c67"}]`
	f := newForeign(t, func(request string) string {
		switch {
		case strings.Contains(request, "recalculate"):
			return "ok"
		case strings.Contains(request, `"last_id": 0`):
			return `due [{"data":[{"id":1,"groups":["a"]},{"id":4,"groups":[]}]}]`
		case strings.Contains(request, `"last_id": 4`):
			return `ok [{"data":[{"id":9,"groups":["b"]}]}]`
		case strings.Contains(request, "sql"):
			return `ok [{"id":1,"name":"default"},{"id":1,"name":"web"},{"id":2},{"id":3,"name":"db"}]`
		}
		return "ok " + hash
	})
	e := NewExternal(f.dial(ClientOptions{}), nil)
	chunks, err := e.AllGroups(t.Context())
	if err != nil || len(chunks) != 2 {
		t.Fatalf("%q, %v", chunks, err)
	}
	got, ok, err := e.GroupsHash(t.Context())
	if err != nil || !ok || got != "2196d34b90177314d288df2ea5be4822b7dd8c67" {
		t.Errorf("%q, %v, %v", got, ok, err)
	}
	of, err := e.GroupsOf(t.Context(), []agent.ID{1, 2, 3, 4}) // 2 has none, 4 is unknown
	if diff := cmp.Diff(map[agent.ID][]string{1: {"default", "web"}, 2: nil, 3: {"db"}}, of); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	// Pages that have a hash alone do not pile up.
	for range 3 {
		pending, _, err := e.PendingGroups(t.Context())
		if err != nil || len(pending) != 1 || string(pending[0]) != hash {
			t.Fatalf("%q, %v", pending, err)
		}
	}
	f.mu.Lock()
	hash = `[{"data":[],"hash":null}]`
	f.mu.Unlock()
	if got, ok, err := e.GroupsHash(t.Context()); err != nil || ok || got != "" {
		t.Errorf("%q, %v, %v", got, ok, err)
	}
}

func TestExternal_GroupsOfManyAgents(t *testing.T) {
	// An answer that is too large is asked for in halves.
	f := newForeign(t, func(request string) string {
		ids := strings.Count(request, ",")
		if ids > 20 {
			return strings.Repeat("x", 65536)
		}
		return "ok []"
	})
	e := NewExternal(f.dial(ClientOptions{}), nil)
	ids := make([]agent.ID, 250)
	for i := range ids {
		ids[i] = agent.ID(i + 1)
	}
	if got, err := e.GroupsOf(t.Context(), ids); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	asked := f.requests()
	for _, request := range asked {
		if len(request) > requestBytes {
			t.Error("a request that is too long")
		}
	}
	if len(asked) < 3 {
		t.Errorf("asked %d times", len(asked))
	}
}
