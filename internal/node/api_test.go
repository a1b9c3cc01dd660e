package node

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/config"
	"testudo/internal/fault"
	"testudo/internal/localsock"
)

// asker asks a node as a local program does.
func asker(t *testing.T, c *config.Config) func(command, payload string) (string, error) {
	path := filepath.Join(c.Home, localSocket)
	return func(command, payload string) (string, error) {
		t.Helper()
		answer, err := localsock.Ask(t.Context(), path, localsock.ClientOptions{}, command, []byte(payload))
		return string(answer), err
	}
}

// Local programs ask a master and its worker; before the worker has its master it
// says so.
func TestLocalPrograms(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	w := homeOf(t, "w1", config.Worker, port)
	w.Intervals.Worker.ConnectionRetry = 100 * time.Millisecond
	run(t, w)
	worker := asker(t, w)
	for _, command := range []string{"get_nodes", "get_health", "dapi", "sendsync", "sendasync"} {
		if answer, err := worker(command, "{}"); !fault.Has(err, fault.NotConnected) {
			t.Errorf("%s without a master: %q, %v", command, answer, err)
		}
	}
	m := homeOf(t, "m", config.Master, port)
	run(t, m)
	master := asker(t, m)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for soon := time.Now().Add(time.Minute); ; <-tick.C {
		answer, err := worker("get_nodes", "{}")
		if err == nil && strings.Contains(answer, `"w1"`) {
			break
		}
		if err != nil && !fault.Has(err, fault.NotConnected) || time.Now().After(soon) {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	tests := []struct {
		name    string
		ask     func(string, string) (string, error)
		command string
		payload string
		want    []string // parts of the answer
		code    fault.Code
	}{
		{"configuration of the master", master, "get_config", "", []string{`"node_name": "m"`, strings.Repeat("k", 32), `"disabled": false`}, 0},
		{"configuration of the worker", worker, "get_config", "", []string{`"node_name": "w1"`}, 0},
		{"nodes", master, "get_nodes", `{"filter_type": "worker"}`, []string{`"w1"`, `"totalItems": 1`}, 0},
		{"unknown node", master, "get_nodes", `{"filter_node": "x"}`, nil, fault.NodeAbsent},
		{"unknown node, asked on the worker", worker, "get_nodes", `{"filter_node": "x"}`, nil, fault.NodeAbsent},
		{"health", master, "get_health", "null", []string{`"n_connected_nodes": 1`, `"m"`}, 0},
		{"health, asked on the worker", worker, "get_health", "null", []string{`"n_connected_nodes": 1`, `"w1"`}, 0},
		{"hashes", worker, "get_hash", "", []string{"{"}, 0},
		{"request without function", master, "dapi", "{}", nil, fault.Unspecified},
		{"daemon that does not run", worker, "sendsync", `{"daemon_name": "authd", "message": {}}`, nil, fault.RemoteText},
		{"forwarded to nobody", master, "dapi_fwd", "w2 {}", nil, fault.UnknownNode},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			answer, err := tc.ask(tc.command, tc.payload)
			if tc.code == 0 && err != nil || tc.code != 0 && !fault.Has(err, tc.code) {
				t.Fatalf("%q, %v", answer, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(answer, part) {
					t.Errorf("no %s in %s", part, answer)
				}
			}
		})
	}
}

// /status shows how the local socket is used.
func TestStatus_LocalSocket(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	c := homeOf(t, "m", config.Master, port)
	n := run(t, c)
	ask := asker(t, c)
	for range 2 {
		if _, err := ask("echo", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if s := n.status().(Status).Local; s == nil || s.Accepted != 2 || s.Requests != 2 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// A worker without a master says, wherever it is asked, that agents get no keys
// there.
func TestStatus_NoKeysWithoutAMaster(t *testing.T) {
	ln, port := taken(t)
	ln.Close()
	c := enrolling(t, "w1", config.Worker, port)
	n := run(t, c)
	const text = "Agents that ask this node for a key get none"
	if s := n.status().(Status).Enrolment; s == nil || !strings.Contains(s.NoKeys, text) {
		t.Errorf("status: %+v", s)
	}
	if answer, err := asker(t, c)("t_why", "w1"); err != nil || !strings.Contains(answer, text) {
		t.Errorf("why: %s, %v", answer, err)
	}
}
