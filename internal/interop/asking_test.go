package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"testudo/internal/localsock"
	"testudo/internal/session"
)

// localSocket is where a node answers local programs, whoever made it.
const localSocket = "queue/cluster/c-internal.sock"

// asker asks nodes as local programs do. Both makers' ask the same way.
type asker struct {
	maker maker
	ask   func(n *node, command, payload string) string
}

// askers are our client and, where the reference has it, the original's.
func (c *cluster) askers() []asker {
	list := []asker{{ours, (*node).askByOurs}}
	if c.offers("ask") {
		list = append(list, asker{theirs, (*node).askByTheirs})
	}
	return list
}

// offers says whether the reference has a program that not every one has.
func (c *cluster) offers(program string) bool {
	_, err := os.Stat(filepath.Join(c.reference, program))
	if err != nil {
		c.t.Logf("the reference has no program %s: without it", program)
	}
	return err == nil
}

// askByOurs gives the answer to a command, or the error's JSON.
func (n *node) askByOurs(command, payload string) string {
	n.cluster.t.Helper()
	answer, err := localsock.Ask(n.cluster.t.Context(), filepath.Join(n.home, localSocket), localsock.ClientOptions{}, command, []byte(payload))
	if remote, ok := errors.AsType[*session.RemoteError](err); ok {
		return string(remote.Fault.JSON())
	}
	if err != nil {
		n.cluster.t.Errorf("%s, asked %s: %v", n, command, err)
	}
	return string(answer)
}

// askByTheirs is that through the original's client.
func (n *node) askByTheirs(command, payload string) string {
	n.cluster.t.Helper()
	return strings.TrimSuffix(n.reference("ask", payload, command), "\n")
}

// call does with a request what an API process of the node's installation does.
func (n *node) call(request string) string {
	n.cluster.t.Helper()
	return strings.TrimSuffix(n.reference("call", request), "\n")
}

// reference runs a program of the reference for the node's home.
func (n *node) reference(program, input string, args ...string) string {
	n.cluster.t.Helper()
	cmd := exec.CommandContext(n.cluster.t.Context(), filepath.Join(n.cluster.reference, program), append([]string{n.home}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	if err != nil {
		n.cluster.t.Errorf("%s %s %q: %v: %s", program, n, args, err, complaints.String())
	}
	return string(output)
}

// control is what the original's tool prints of a node.
func (n *node) control(args ...string) string {
	n.cluster.t.Helper()
	return n.reference("control", "", args...)
}

// ourControl is what ours prints under the name of the original's.
func (n *node) ourControl(args ...string) string {
	n.cluster.t.Helper()
	cmd := exec.CommandContext(n.cluster.t.Context(), n.cluster.program, args...)
	cmd.Args[0] = tool
	cmd.Env = append(os.Environ(), "TESTUDO_HOME="+n.home)
	output, err := cmd.CombinedOutput()
	if err != nil {
		n.cluster.t.Errorf("our %s %q at %s: %v: %s", tool, args, n, err, output)
	}
	return string(output)
}

// request is one of the distributed API.
type request struct {
	module, function string
	kind             string
	args             map[string]any
	async            bool
	client           string // local_client_arg
	nodes            []string
	broadcasting     bool
	complete         bool // wait_for_complete
	permissions      map[string]any
}

func (r request) String() string {
	return r.module + "." + r.function + " " + r.kind + " " + text(r.args)
}

// json is the request as it is sent.
func (r request) json() string {
	last := r.function[strings.LastIndexByte(r.function, '.')+1:]
	m := map[string]any{
		"f": map[string]any{"__callable__": map[string]any{
			"__name__": last, "__module__": r.module, "__qualname__": r.function, "__type__": "function",
		}},
		"request_type": r.kind, "is_async": r.async, "broadcasting": r.broadcasting, "nodes": r.nodes,
		"wait_for_complete": r.complete,
	}
	if r.args != nil {
		m["f_kwargs"] = r.args
	}
	if r.client != "" {
		m["local_client_arg"] = r.client
	}
	if r.permissions != nil {
		m["rbac_permissions"] = r.permissions
	}
	return text(m)
}

// names are those of all nodes, as an API process knows them.
func (c *cluster) names() (list []string) {
	for _, n := range c.nodes() {
		list = append(list, n.name)
	}
	return list
}

// fakeDaemons says by their pid files that the other daemons of an installation
// run with a node of ours, as the reference does for its nodes: an API process
// refuses to work without them.
func (n *node) fakeDaemons() {
	n.cluster.t.Helper()
	if n.maker == theirs {
		return
	}
	pid := n.process.cmd.Process.Pid
	for _, daemon := range []string{"modulesd", "analysisd", "execd", "remoted", "db"} {
		path := filepath.Join(n.home, "var/run", fmt.Sprintf("wazuh-%s-%d.pid", daemon, pid))
		if err := os.WriteFile(path, fmt.Appendln(nil, pid), 0o640); err != nil {
			n.cluster.t.Fatal(err)
		}
		n.cluster.t.Cleanup(func() { _ = os.Remove(path) })
	}
}

// plainly gives JSON in one form, whoever wrote it, with times as "time" unless
// they say that there is none.
func plainly(answer string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(answer))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return answer
	}
	return text(timeless(v))
}

// outline is JSON with the kind of each value in the place of the value, for
// answers that differ from one moment to the next.
func outline(answer string) string {
	var v any
	if json.Unmarshal([]byte(answer), &v) != nil {
		return answer
	}
	return text(kinds(v))
}

func kinds(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = kinds(member)
		}
		return v
	case []any:
		for i := range v {
			v[i] = kinds(v[i])
		}
		return v
	}
	return fmt.Sprintf("%T", v)
}

func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = timeless(member)
		}
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	case string:
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z", v); err == nil {
			return "time"
		}
	}
	return v
}

// serveDaemon is a daemon of the node's installation that gives one answer to all
// messages. It tells what it heard.
func (n *node) serveDaemon(path, answer string) <-chan string {
	t := n.cluster.t
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(n.home, path))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			message, err := takeMessage(conn)
			if err == nil {
				heard <- message
				_, err = conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(answer))), answer...))
			}
			if err != nil {
				t.Errorf("%s of %s: %v", path, n, err)
			}
			conn.Close()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return heard
}

// takeMessage reads a length and as many bytes.
func takeMessage(r io.Reader) (string, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	message := make([]byte, binary.LittleEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, message)
	return string(message), err
}

// toAgents is where a node's programs leave messages for agents.
const toAgents = "queue/alerts/ar"

// listenToAgents takes the messages for the agents of the node, in the place of
// the daemon that would send them.
func (n *node) listenToAgents() {
	t := n.cluster.t
	t.Helper()
	path := filepath.Join(n.home, toAgents)
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		buffer := make([]byte, 1<<16)
		for {
			size, err := conn.Read(buffer)
			if err != nil {
				return // closed at the end of the test
			}
			n.sentMu.Lock()
			n.sent = append(n.sent, string(buffer[:size]))
			n.sentMu.Unlock()
		}
	})
	t.Cleanup(func() {
		conn.Close()
		listening.Wait()
	})
}

// checkSent looks at what the node has sent since the last look: something to its
// own agents, and nothing else.
func (n *node) checkSent(what string, agents []int) {
	t := n.cluster.t
	t.Helper()
	n.sentMu.Lock()
	defer n.sentMu.Unlock()
	for _, message := range n.sent {
		if !strings.Contains(message, what) || !slices.ContainsFunc(agents, func(id int) bool { return strings.Contains(message, fmt.Sprintf(" %03d ", id)) }) {
			t.Errorf("%s, of agents %d, sent %q", n, agents, message)
		}
	}
	if len(n.sent) == 0 {
		t.Errorf("%s sent no %s", n, what)
	}
	n.sent = nil
}
