package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
	"testudo/internal/registrar"
	"testudo/internal/unixsock"
)

// enrolling is a home at whose node agents enrol, at a free port.
func enrolling(t *testing.T, name string, role config.Role, port int) *config.Config {
	t.Helper()
	c := homeOf(t, name, role, port)
	for _, below := range []string{"var/run", "queue/sockets", "queue/rids", "queue/diff"} {
		if err := os.MkdirAll(filepath.Join(c.Home, below), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := certificate.Make(root, certificate.Place{UID: -1, GID: -1}, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	c.Auth.Present, c.Auth.Port, c.Auth.Purge = true, 0, true
	c.Testudo.Enrolment.Address = "127.0.0.1"
	return c
}

// enrol asks a node for a key.
func enrol(t *testing.T, n *Node, r enrolment.Request) (agent.Key, error) {
	t.Helper()
	if r.Version == "" {
		r.Version = "v4.7.5"
	}
	return enrolport.Enrol(t.Context(), enrolport.ClientConfig{
		Address: n.enrol.port.Addresses()[0], CA: filepath.Join(n.cfg.Home, certificate.DefaultCertificate), Request: r,
	})
}

// tell sends a message to the node's local socket of enrolment.
func tell(t *testing.T, c *config.Config, message string) string {
	t.Helper()
	client, err := unixsock.Dial(t.Context(), filepath.Join(c.Home, registrar.SocketPath), unixsock.LengthPrefix(), unixsock.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer, err := client.Call(t.Context(), []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// hasKey tells whether a node's client.keys has the line.
func hasKey(t *testing.T, c *config.Config, k agent.Key) bool {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(c.Home, "etc/client.keys"))
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s %s %s %s\n", k.ID, k.Name, k.Address, k.Secret.Reveal())
	return strings.Contains("\n"+string(keys), "\n"+line)
}

// rowOf is the agent's row in the node's own database, "" when there is none.
func rowOf(t *testing.T, n *Node, id agent.ID) string {
	t.Helper()
	page, err := n.agents.store.AgentInfo(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(page.JSON), "[]")
}

func TestEnrolment_AtMasterAndWorker(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	m, w := enrolling(t, "m", config.Master, port), enrolling(t, "w1", config.Worker, port)
	master, worker := run(t, m), run(t, w)
	eventually(t, "the worker has its master", func() bool { return worker.ready() && !worker.status().(Status).Connected.IsZero() })

	first, err := enrol(t, master, enrolment.Request{Name: "at-master", Groups: []string{"default"}})
	if err != nil {
		t.Fatal(err)
	}
	if !hasKey(t, m, first) {
		t.Error("the agent has a key that the master's client.keys does not have")
	}
	if got := rowOf(t, master, first.ID); !strings.Contains(got, `"name":"at-master"`) || !strings.Contains(got, `"group":"default"`) {
		t.Errorf("the row of the first is %s", got)
	}
	second, err := enrol(t, worker, enrolment.Request{Name: "at-worker", Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	if !hasKey(t, w, second) || !hasKey(t, m, second) {
		t.Error("the key is not known at once at the worker that gave it, and at the master")
	}
	if second.ID != first.ID+1 || second.Address != "192.0.2.7" {
		t.Errorf("second is %v %s", second.ID, second.Address)
	}
	eventually(t, "both keys and rows on both nodes", func() bool {
		for _, k := range []agent.Key{first, second} {
			for _, n := range []*Node{master, worker} {
				if !hasKey(t, n.cfg, k) || rowOf(t, n, k.ID) == "" {
					return false
				}
			}
		}
		return true
	})
	_, err = enrol(t, worker, enrolment.Request{
		Name: "at-worker", KeyHash: enrolment.KeyHash(second.ID.String(), second.Name, second.Secret), // it has a working key
	})
	if refused, ok := errors.AsType[*enrolport.RefusedError](err); !ok || refused.Reason() != "Duplicate name" {
		t.Errorf("%v, want the worker's text for a taken name", err)
	}
	if s := master.status().(Status).Enrolment; s == nil || s.Keys != 3 || s.Port == nil || s.Port.Requests != 1 {
		t.Errorf("status of the master: %+v", s)
	}
	checkRemoval(t, master, worker, second)
}

// checkRemoval removes an agent at the master: its row goes at once there, and
// with the key on the worker.
func checkRemoval(t *testing.T, master, worker *Node, k agent.Key) {
	t.Helper()
	remove := fmt.Sprintf(`{"function":"remove","arguments":{"id":%q,"purge":true}}`, k.ID)
	if got := tell(t, worker.cfg, remove); !strings.Contains(got, "9015") {
		t.Errorf("the worker's socket answers %s", got)
	}
	rids := filepath.Join(master.cfg.Home, ridsDir, k.ID.String())
	if err := os.WriteFile(rids, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if got := tell(t, master.cfg, remove); !strings.Contains(got, "Agent deleted successfully.") {
		t.Errorf("the master's socket answers %s", got)
	}
	if rowOf(t, master, k.ID) != "" || hasKey(t, master.cfg, k) {
		t.Error("the agent is still there")
	}
	if _, err := os.Stat(rids); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its counters are still there: %v", err)
	}
	eventually(t, "the agent is gone from the worker", func() bool {
		return rowOf(t, worker, k.ID) == "" && !hasKey(t, worker.cfg, k)
	})
}

// A worker whose master is away says so, and enrols again when it is back.
func TestEnrolment_WithoutMaster(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	w := enrolling(t, "w1", config.Worker, port)
	w.Intervals.Worker.ConnectionRetry = 100 * time.Millisecond
	worker := run(t, w)
	done := make(chan error, 1)
	go func() {
		_, err := enrol(t, worker, enrolment.Request{Name: "early"})
		done <- err
	}()
	run(t, enrolling(t, "m", config.Master, port))
	if err := <-done; err != nil { // the worker asks ten times, a second apart
		t.Error(err)
	}
}

func TestEnrolment_CannotStart(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, c *config.Config)
		want   string
	}{
		{"port in use", func(t *testing.T, c *config.Config) { _, c.Auth.Port = taken(t) }, "set services.enrolment to external"},
		{"no certificate", func(t *testing.T, c *config.Config) {
			if err := os.Remove(filepath.Join(c.Home, certificate.DefaultCertificate)); err != nil {
				t.Fatal(err)
			}
		}, "testudo init --force makes a certificate"},
		{"no password", func(t *testing.T, c *config.Config) {
			c.Auth.UsePassword = true
			if err := os.WriteFile(filepath.Join(c.Home, enrolport.PasswordPath), []byte("\n"), 0o640); err != nil {
				t.Fatal(err)
			}
		}, "must be a password"},
		{"somebody answers at the socket", func(t *testing.T, c *config.Config) {
			ln, err := unixsock.Listen(filepath.Join(c.Home, registrar.SocketPath), 0o660, -1, -1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
		}, "set services.enrolment to external"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ln, port := taken(t)
			ln.Close()
			c := enrolling(t, "m", config.Master, port)
			test.change(t, c)
			_, err := build(t, c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// Without <auth>, when it is disabled or another program's matter, a node has
// neither port nor socket, and leaves the questions of workers to the socket.
func TestEnrolment_NotHere(t *testing.T) {
	tests := map[string]func(c *config.Config){
		"no section": func(c *config.Config) { c.Auth.Present = false },
		"disabled":   func(c *config.Config) { c.Auth.Disabled = true },
		"external":   func(c *config.Config) { c.Testudo.Services.Enrolment = config.External },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			ln, port := taken(t)
			ln.Close()
			m, w := enrolling(t, "m", config.Master, port), enrolling(t, "w1", config.Worker, port)
			change(m)
			change(w)
			master, worker := run(t, m), run(t, w)
			for _, n := range []*Node{master, worker} {
				if _, err := os.Lstat(filepath.Join(n.cfg.Home, registrar.SocketPath)); !errors.Is(err, fs.ErrNotExist) || n.enrol.port != nil {
					t.Errorf("%s serves enrolment: %v", n.cfg.Cluster.NodeName, err)
				}
			}
			daemon(t, filepath.Join(m.Home, registrar.SocketPath), "from another program")
			ask := asker(t, w)
			eventually(t, "the worker's question is answered", func() bool {
				answer, err := ask("sendsync", `{"daemon_name": "authd", "message": {"function": "get"}}`)
				return err == nil && answer == "from another program"
			})
		})
	}
}

// daemon answers at a socket until the test ends.
func daemon(t *testing.T, path, answer string) {
	t.Helper()
	ln, err := unixsock.Listen(path, 0o660, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	server := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ctx, ln, func(context.Context, *unixsock.Conn, []byte) []byte { return []byte(answer) })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// Only the local socket: nobody enrols from elsewhere.
func TestEnrolment_LocalOnly(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	c := enrolling(t, "m", config.Master, port)
	c.Auth.RemoteEnrollment = false
	n := run(t, c)
	if n.enrol.port != nil {
		t.Error("there is a port")
	}
	var answer struct {
		Data struct{ ID, Key string }
	}
	if err := json.Unmarshal([]byte(tell(t, c, `{"function":"add","arguments":{"name":"a","ip":"any"}}`)), &answer); err != nil || answer.Data.ID != "002" {
		t.Errorf("%+v, %v", answer, err)
	}
	if got := tell(t, c, "getconfig auth"); !strings.Contains(got, `"remote_enrollment":"no"`) || !strings.Contains(got, `"purge":"yes"`) {
		t.Error(got)
	}
}

// The daemons whose work the node does count as running.
func TestEmbedded_Daemons(t *testing.T) {
	for want, present := range map[string]bool{"wazuh-clusterd wazuh-db wazuh-authd": true, "wazuh-clusterd wazuh-db": false} {
		ln, port := taken(t)
		ln.Close()
		c := enrolling(t, "m", config.Master, port)
		c.Auth.Present = present
		if got := strings.Join(run(t, c).embedded(), " "); got != want {
			t.Errorf("embedded are %s, want %s", got, want)
		}
	}
}

// When the port of enrolment cannot be had, that of the cluster is free again.
func TestNew_LeavesNoListener(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	_, used := taken(t)
	c := enrolling(t, "m", config.Master, port)
	c.Auth.Port = used
	if _, err := build(t, c); err == nil {
		t.Fatal("the port is taken, and nobody minds")
	}
	again, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
