package agentapi

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/unixsock"
)

const (
	restart   = "wazuh.agent.restart_agents"
	reconnect = "wazuh.agent.reconnect_agents"
	command   = "wazuh.active_response.run_command"
	add       = "wazuh.agent.add_agent"
	deleting  = "wazuh.agent.delete_agents"
)

// version gives an agent a version.
func (w *changeWorld) version(id agent.ID, version string) {
	w.Helper()
	must(w.T, w.store.UpdateStatusCode(w.Context(), id, 0, "synced", &version))
}

func TestActs_WhatAgentsAreSent(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.listen()
	for id, version := range map[agent.ID]string{2: "Wazuh v4.1.5", 3: "Wazuh v3.13.6", 4: "Wazuh v4.2.0", 5: "Wazuh v5.0.0-alpha", 6: "unknown"} {
		w.version(id, version)
	}
	const tail = " - null (from_the_server) (no_rule_id)"
	const inJSON = `{"version": 1, "origin": {"module": "framework"}, "command": "restart-wazuh0", "parameters": {"extra_args": [], "alert": {}}}` + tail
	w.expect(asked{function: restart, args: `{"agent_list": ["002", "003", "004", "005", "006"]}`}, `"002" "003" "004" "005" "006" `)
	want := []string{
		"(msg_to_agent) [] NNS 002 restart-ossec0" + tail, "(msg_to_agent) [] NNS 003 restart-ossec0" + tail,
		"(msg_to_agent) [] NNS 004 " + inJSON, "(msg_to_agent) [] NNS 005 " + inJSON, "(msg_to_agent) [] NNS 006 " + inJSON,
	}
	if diff := cmp.Diff(want, w.got(5)); diff != "" {
		t.Error(diff)
	}
	w.expect(asked{function: reconnect, args: `{"agent_list": ["010", "001"]}`}, `"001" "010" `)
	if diff := cmp.Diff([]string{"(msg_to_agent) [] N!S 001 force_reconnect", "(msg_to_agent) [] N!S 010 force_reconnect"}, w.got(2)); diff != "" {
		t.Error(diff)
	}
	w.expect(asked{function: command, args: `{"agent_list": ["001", "002"], "command": "block10", "arguments": ["-", "a \"b\"\nü"], "alert": {"data":  {"srcip": "10.0.0.1"}}}`},
		`"001" | 1012 [002] `)
	w.expect(asked{function: command, args: `{"agent_list": ["001", "002"], "command": "!mine"}`}, `"001" | 1652 [002] `)
	w.expect(asked{function: command, args: `{"agent_list": ["002"], "command": "block10", "arguments": ["-", "a b"]}`}, `"002" `)
	w.expect(asked{function: command, args: `{"agent_list": ["002"], "command": "block10"}`}, `"002" `)
	want = []string{`(msg_to_agent) [] NNS 001 {"version": 1, "origin": {"name": "m3", "module": "API"}, "command": "block10", ` +
		`"parameters": {"extra_args": ["-", "a \"b\"\n\u00fc"], "alert": {"data":{"srcip":"10.0.0.1"}}}}`,
		`(msg_to_agent) [] NNS 001 {"version": 1, "origin": {"name": "m3", "module": "API"}, "command": "!mine", "parameters": {"extra_args": [], "alert": {}}}`,
		`(msg_to_agent) [] NNS 002 block10 - a b`, `(msg_to_agent) [] NNS 002 block10 - -`}
	if diff := cmp.Diff(want, w.got(4)); diff != "" {
		t.Error(diff)
	}
}

func TestActs_WhoIsLeftOut(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.listen()
	w.expect(asked{function: restart, args: `{"agent_list": ["1", "0001", "-1", "x", "007", "000", "012"]}`}, `| 1701 [1 0001 -1 x] | 1703 [000] | 1707 [007 012] `)
	w.expect(asked{function: restart, args: `{"agent_list": []}`}, ``)
	w.expect(asked{function: restart, args: `{"agent_list": ["007", "001"]}`, broadcasting: true}, `"001" `)
	w.expect(asked{function: "wazuh.agent.restart_agents_by_node", args: `{"agent_list": ["000", "007", "099", "001"]}`}, `"001" `)
	for _, all := range []string{`{}`, `{"agent_list": "*"}`, `{"agent_list": null}`} {
		for _, function := range []string{"wazuh.agent.restart_agents_by_group", "wazuh.agent.restart_agents_by_node"} {
			if o := w.ask(asked{function: function, args: all}); o.Err == nil {
				t.Errorf("%s %s restarts %s", function, all, w.brief(o))
			}
		}
	}
	w.expect(asked{function: reconnect, args: `{}`}, `"001" "002" "003" "004" "005" "006" "008" "009" "010" "011" `)
	// An agent that has just been enrolled has a key, and no row yet.
	w.put("etc/client.keys", w.read("etc/client.keys")+"050 new any key\n051 !gone any key\n")
	w.expect(asked{function: restart, args: `{"agent_list": ["050", "051"]}`}, `| 1701 [051] `)
	w.expect(asked{function: reconnect, args: `{"agent_list": ["050", "051"]}`}, `| 1701 [051 050] `)
}

func TestCommand_Refused(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.listen()
	ask := func(rest string) asked {
		return asked{function: command, args: `{"agent_list": ["001"], ` + rest + `}`}
	}
	w.expect(ask(`"command": ""`), `| 1650 [001] `)
	for _, name := range []string{"../block10", "!../x", "!/bin/sh", "!", "!a b", "!a\\n", "a//b", "!.", "!a\\\\b"} {
		w.expect(ask(`"command": "`+name+`"`), `| 1652 [001] `)
	}
	w.expect(ask(`"command": "!mine.sh"`), `"001" `)
	w.expect(ask(`"command": "mine.sh", "custom": true`), `"001" `)
	for _, alert := range []string{`7`, `[1]`, `"x"`} {
		if o := w.ask(ask(`"command": "block10", "alert": ` + alert)); o.Err == nil {
			t.Errorf("alert %s: taken", alert)
		}
	}
	w.expect(ask(`"command": "block10", "arguments": ["`+strings.Repeat("a", 1<<20)+`"]`), `| 1012 [001] `)
	must(t, os.Remove(w.path("etc/shared/ar.conf")))
	w.version(1, "Wazuh v4.1.5")
	w.expect(ask(`"command": "block10"`), `| 1652 [001] `)
}

func TestActs_WithoutListener(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	const absent = "Error 1010 - "
	ask := asked{function: restart, args: `{"agent_list": ["001"]}`}
	if o := w.ask(ask); !strings.HasPrefix(fmt.Sprint(o.Err), absent) {
		t.Errorf("got %v", o.Err)
	}
	w.put(listenerQueue, "") // a file, and no socket
	if o := w.ask(ask); !strings.HasPrefix(fmt.Sprint(o.Err), absent) {
		t.Errorf("got %v", o.Err)
	}
	// Nobody to be told: nobody is missed.
	w.expect(asked{function: restart, args: `{"agent_list": ["099", "007"]}`}, `| 1701 [099] | 1707 [007] `)
}

// A listener that takes nothing holds up a request once, not for each agent.
func TestActs_FullQueue(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path(listenerQueue), Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	filler, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: w.path(listenerQueue), Net: "unixgram"})
	must(t, err)
	defer filler.Close()
	must(t, filler.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	for err == nil {
		_, err = filler.Write([]byte("x"))
	}
	w.expect(asked{function: restart, args: `{}`}, `| 1011 [001 002 003 004 005 006 008 009 010 011] `)

	// Who is asked to stop waits no longer.
	w.changes.cfg.Send = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		s := &scope{kind: agentID, ids: []string{"001"}, named: true}
		ended <- w.changes.restartAll(ctx, restarted(), s)
	}()
	cancel()
	if err := <-ended; err == nil {
		t.Error("a message was sent that nobody took")
	}
}

// daemon is a stand-in for a daemon: it notes requests and answers with what
// answer says.
type daemon struct {
	mu       sync.Mutex
	requests []string
}

func (w *changeWorld) enrolment(answer func(request string) string) *daemon {
	w.Helper()
	return w.daemon(enrolSocket, answer)
}

func (w *changeWorld) daemon(socket string, answer func(request string) string) *daemon {
	w.Helper()
	must(w.T, os.MkdirAll(filepath.Dir(w.path(socket)), 0o770))
	r := &daemon{}
	ln, err := unixsock.Listen(w.path(socket), 0o660, -1, -1)
	must(w.T, err)
	server := unixsock.NewServer(unixsock.LengthPrefix(), unixsock.Limits{}, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(ctx, ln, func(_ context.Context, conn *unixsock.Conn, request []byte) []byte {
			r.mu.Lock()
			r.requests = append(r.requests, string(request))
			r.mu.Unlock()
			conn.Hangup()
			return []byte(answer(string(request)))
		})
	}()
	w.Cleanup(func() { cancel(); <-ended })
	return r
}

func TestScan(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.listen()
	for _, function := range []string{"wazuh.syscheck.run", "wazuh.rootcheck.run"} {
		w.expect(asked{function: function, args: `{"agent_list": ["001", "000", "099", "007"]}`}, `"000" "001" | 1701 [099] | 1707 [007] `)
		if diff := cmp.Diff([]string{"(msg_to_agent) [] N!S 000 syscheck restart", "(msg_to_agent) [] N!S 001 syscheck restart"}, w.got(2)); diff != "" {
			t.Error(diff)
		}
	}
}

// told is a database that another program has.
type told map[agent.ID]agent.Status

func (s told) EachState(_ context.Context, ids []agent.ID, f func(agent.ID, agent.Status, string)) error {
	for _, id := range ids {
		if status, ok := s[id]; ok {
			f(id, status, "Wazuh v4.7.5")
		}
	}
	return nil
}

func TestActs_DatabaseOfAnother(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.listen()
	w.changes = NewChanges(ChangeConfig{Home: w.root, Dir: w.dir, Reader: New(Config{Home: w.root}), States: told{1: agent.Active, 2: agent.Disconnected}})
	w.expect(asked{function: restart, args: `{"agent_list": ["003", "002", "001"]}`}, `"001" | 1707 [002] `)
	w.expect(asked{function: restart, args: `{"agent_list": ["001"]}`,
		permissions: `{"rbac_mode": "white", "agent:restart": {"agent:group:web": "allow"}}`}, "Error 1000 - Wazuh Internal Error: this node has no agent database to ask")
}
