package nodekeys_test

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

	"testudo/internal/agent"
	"testudo/internal/home"
	"testudo/internal/nodekeys"
	"testudo/internal/unixsock"
)

// masterHome makes the home of a master with keys.
func masterHome(t *testing.T, role, keys string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "keys") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	spec := home.Spec{Role: role, Name: role, Key: strings.Repeat("k", 32)}
	if role == "worker" {
		spec.Master = "127.0.0.1"
	}
	if _, err := home.Init(dir, spec, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, home.KeysPath), []byte(keys), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// registrar answers at a home's socket, and remembers what it was asked.
type registrar struct {
	answer func(request string) string

	mu    sync.Mutex
	asked []string
}

func (r *registrar) serve(t *testing.T, dir string) {
	t.Helper()
	ln, err := unixsock.Listen(filepath.Join(dir, nodekeys.SocketPath), 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var server sync.WaitGroup
	server.Go(func() {
		s := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{}, nil)
		_ = s.Serve(ctx, ln, func(_ context.Context, conn *unixsock.Conn, request []byte) []byte {
			conn.Hangup()
			if strings.HasPrefix(string(request), "getconfig ") {
				return []byte(`ok {"auth":{}}`)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, string(request))
			return []byte(r.answer(string(request)))
		})
	})
	t.Cleanup(func() {
		end()
		server.Wait()
	})
}

func open(t *testing.T, dir string, want nodekeys.Origin) *nodekeys.Keys {
	t.Helper()
	keys, err := nodekeys.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	if keys.Origin() != want {
		t.Errorf("keys are changed by the %s, want %s", keys.Origin(), want)
	}
	return keys
}

func TestServed_AsksInTheWordsOfTheSocket(t *testing.T) {
	dir := masterHome(t, "master", "")
	r := &registrar{answer: func(request string) string {
		if strings.Contains(request, `"function":"add"`) {
			return `{"error":0,"data":{"id":"007","name":"web-01","ip":"10.0.0.0/255.0.0.0","key":"` + key64 + `"}}`
		}
		return `{"error":0,"data":"Agent deleted successfully."}`
	}}
	r.serve(t, dir)
	keys := open(t, dir, nodekeys.Served)
	k, err := keys.Add(t.Context(), nodekeys.Addition{Name: "web-01", Address: "10.0.0.0/255.0.0.0", Groups: []string{"a", "b"}, Replace: true})
	if err != nil || k.Text != "007" || k.ID != 7 || k.Secret.Reveal() != key64 || k.Address != "10.0.0.0/255.0.0.0" {
		t.Errorf("got %v, %v", k, err)
	}
	if _, err := keys.Add(t.Context(), nodekeys.Addition{Name: "web-02", ID: "12", Key: agent.NewSecret("k12")}); err != nil {
		t.Error(err)
	}
	if err := keys.Remove(t.Context(), "007", true); err != nil {
		t.Error(err)
	}
	const force = `"force":{"disconnected_time":{"enabled":false,"value":0},"enabled":%v,"key_mismatch":false,"after_registration_time":0}`
	want := []string{
		`{"arguments":{"name":"web-01","ip":"10.0.0.0/255.0.0.0","groups":"a,b",` + fmt.Sprintf(force, true) + `},"function":"add"}`,
		`{"arguments":{"name":"web-02","ip":"any","key":"k12","id":"12",` + fmt.Sprintf(force, false) + `},"function":"add"}`,
		`{"arguments":{"id":"007","purge":true},"function":"remove"}`,
	}
	for i, w := range want {
		if !equalJSON(t, r.asked[i], w) {
			t.Errorf("asked\n%s, want\n%s", r.asked[i], w)
		}
	}
}

func equalJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var one, other any
	if err := json.Unmarshal([]byte(a), &one); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &other); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(one) == fmt.Sprint(other)
}

func TestServed_Refusals(t *testing.T) {
	dir := masterHome(t, "master", "")
	text := ""
	r := &registrar{answer: func(string) string { return text }}
	r.serve(t, dir)
	keys := open(t, dir, nodekeys.Served)
	text = `{"error":9008,"message":"Duplicate name"}`
	if _, err := keys.Add(t.Context(), nodekeys.Addition{Name: "web-01"}); err == nil || err.Error() != `refused: "Duplicate name" (9008): another agent has this name, or it is the name of this host` {
		t.Errorf("got %v", err)
	}
	text = `{"error":9011,"message":"Agent ID not found"}`
	if err := keys.Remove(t.Context(), "001", false); !errors.Is(err, nodekeys.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	if n, err := keys.RemoveAll(t.Context(), []string{"001", "002"}, nil); n != 0 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	text = `x`
	if _, err := keys.Add(t.Context(), nodekeys.Addition{Name: "web-01"}); err == nil {
		t.Error("an answer without sense")
	}
	asked := len(r.asked)
	for name, a := range map[string]nodekeys.Addition{
		"a short name": {Name: "a"}, "a blank": {Name: "a b"}, "no address": {Name: "web-01", Address: "10.0.0"},
	} {
		if _, err := keys.Add(t.Context(), a); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if len(r.asked) != asked {
		t.Error("what cannot be was asked for")
	}
}

func TestOpen_Worker(t *testing.T) {
	dir := masterHome(t, "worker", "")
	if _, err := nodekeys.Open(t.Context(), dir); !errors.Is(err, nodekeys.ErrWorker) {
		t.Errorf("got %v", err)
	}
}

func TestOpen_NodeThatDoesNotAnswerYet(t *testing.T) {
	dir := masterHome(t, "master", "")
	withAuth(t, dir)
	lock, err := home.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	if _, err := nodekeys.Open(t.Context(), dir); !errors.Is(err, nodekeys.ErrNobody) || !errors.Is(err, home.ErrInUse) {
		t.Errorf("got %v", err)
	}
}

// withAuth makes sure that the node of a home would register agents.
func withAuth(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "etc/ossec.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "<auth>") {
		text = append(text, "<ossec_config><auth><disabled>no</disabled></auth></ossec_config>\n"...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
