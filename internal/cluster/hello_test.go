package cluster

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/memnet"
	"testudo/internal/peertest"
)

func TestMaster_Welcome(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.join("w1")
		w.join("node-2.example_x")
		synctest.Wait()
		list := w.Members()
		if len(list) != 2 || w.names() != "w1 node-2.example_x" {
			t.Fatalf("members %v", list)
		}
		m := list[0]
		if m.Type != "worker" || m.Version != "4.7.5" || m.Address != "10.0.0.2" || !m.Connected.Equal(time.Now()) || !m.LastKeepAlive.IsZero() || m.Testudo {
			t.Errorf("member %+v", m)
		}
		if info, err := os.Stat(filepath.Join(w.home, "queue/cluster/w1")); err != nil || info.Mode().Perm() != 0o770 {
			t.Errorf("its directory: %v, %v", info, err)
		}
		time.Sleep(30 * time.Second)
		if name, text := g.Ask("echo-c", "keepalive"); name != "ok-m" || text != "keepalive" {
			t.Errorf("keep-alive: %s %q", name, text)
		}
		if at := w.Members()[0].LastKeepAlive; !at.Equal(time.Now()) {
			t.Errorf("last keep-alive %v", at)
		}
		g.Close()
		synctest.Wait()
		if w.names() != "node-2.example_x" {
			t.Errorf("members %s", w.names())
		}
		w.lines.Want(t, "Serving on ('10.0.0.1', 1516)", "Connection from ('10.0.0.2', ", "Disconnected w1.", "Cancelling pending tasks.")
	})
}

// refusal is a hello and its answer.
type refusal struct {
	name, hello string
	code        fault.Code
	extra       string
}

var refusals = []refusal{
	{"too few fields", "w1 wazuh", fault.Unspecified, "not enough values to unpack (expected 4, got 2)"},
	{"too many fields", "w1 wazuh worker 4.7.5 x", fault.Unspecified, "too many values to unpack (expected 4)"},
	{"the master's own name", "master wazuh worker 4.7.5", fault.SameAsMaster, ""},
	{"the master's own name comes before the cluster's", "master other worker 4.7.5", fault.SameAsMaster, ""},
	{"another cluster", "w1 other worker 4.7.5", fault.WrongCluster, ""},
	{"another cluster comes before the version", "w1 other worker 4.7.4", fault.WrongCluster, ""},
	{"another version", "w1 wazuh worker 4.7.4", fault.WrongVersion, ""},
	{"version with a v", "w1 wazuh worker v4.7.5", fault.WrongVersion, ""},
	{"a name in use comes first", "taken other worker 4.7.4", fault.DuplicateName, "taken"},
	{"no name", " wazuh worker 4.7.5", fault.Unspecified, "node name"},
	{"no type", "w1 wazuh  4.7.5", fault.Unspecified, "node type"},
	{"odd type", "w1 wazuh wor\nker 4.7.5", fault.Unspecified, "node type"},
}

func TestMaster_RefusesHello(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.join("taken")
		for _, c := range refusals {
			g := w.dial("10.0.0.3")
			began := time.Now()
			name, text := g.Ask("hello", c.hello)
			e := fault.Parse([]byte(text))
			extra, _ := e.Extra.(string)
			if name != "err" || e.Code != c.code || !strings.Contains(extra, c.extra) || c.extra == "" && e.Extra != nil {
				t.Errorf("%s: %s %s", c.name, name, text)
			}
			if want := c.code.Class(); e.Class != want {
				t.Errorf("%s: class %s, want %s", c.name, e.Class, want)
			}
			g.WantClosed() // whether or not the worker closes
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: closed after %v", c.name, took)
			}
		}
		if w.names() != "taken" {
			t.Errorf("members %s", w.names())
		}
		w.lines.Want(t, "Internal error processing request 'b'hello'': Error 3030", "Error 3028 - Worker node ID already exists: taken")
	})
}

// The master's own name is said to be that even when it could not be a
// worker's.
func TestMaster_OwnNameOfAnyForm(t *testing.T) {
	for _, own := range []string{"master", "node01", "c-internal.sock"} {
		w := newWorld(t, func(c *MasterConfig) { c.NodeName = own })
		w.dial("10.0.0.3").Refused("hello", own+" wazuh worker 4.7.5", `"code": 3029, "extra_message": null`)
	}
}

func TestMaster_Handshake(t *testing.T) {
	for name, c := range map[string]struct {
		send func(g *peertest.Peer)
		log  string
	}{
		"another key": {func(g *peertest.Peer) {
			g.Key = peertest.NewKey(t, strings.Repeat("k", 32))
			g.Send(1, "hello", "w1 wazuh worker 4.7.5")
		}, "Error during handshake with incoming connection: Error 3025 - Could not decrypt message."},
		"closed at once": {func(g *peertest.Peer) { g.Close() }, "level=DEBUG msg=\"A connection was closed before it said anything.\""},
		"reset": {func(g *peertest.Peer) { g.Conn.(*memnet.Conn).SetLinger(0); g.Close() },
			"Error during handshake with incoming connection: connection reset by peer."},
		"another command":  {func(g *peertest.Peer) { g.Send(1, "echo", "") }, "Error during handshake with incoming connection: no hello."},
		"nothing":          {func(*peertest.Peer) {}, "Error during handshake with incoming connection: no hello."},
		"far too long":     {func(g *peertest.Peer) { g.Send(1, "hello", strings.Repeat("x", 5000)) }, "incoming connection: frame refused: too_large."},
		"part of a header": {func(g *peertest.Peer) { _, _ = g.Conn.Write(make([]byte, 3)); g.Close() }, "the connection was closed in the middle of a frame."},
	} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, nil)
			g := w.dial("10.0.0.3")
			c.send(g)
			time.Sleep(time.Minute)
			synctest.Wait()
			if !strings.Contains(w.lines.String(), c.log) || !strings.Contains(w.lines.String(), "address=10.0.0.3") {
				t.Errorf("%s: log:\n%s", name, w.lines)
			}
			w.join("w1") // nothing has suffered
		})
	}
}

// What a stranger sends is escaped once in the log, so that it can be read there.
func TestMaster_HandshakeInTheLog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var out bytes.Buffer
		w := newWorld(t, func(c *MasterConfig) { c.Log = slog.New(logging.NewHandler(&out, slog.LevelInfo, false)) })
		g := w.dial("10.0.0.3")
		g.Raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) // a length far too large
		g.WantClosed()
		g = w.dial("10.0.0.4")
		g.Send(1, "a\x01\\", "") // another command than hello
		g.WantClosed()
		synctest.Wait()
		w.stop()
		if err := <-w.served; err != nil {
			t.Fatal(err)
		}
		w.served <- nil // for the end of the world
		for _, want := range []string{
			`detail="frame 'TP/1.1\r\nHos' of `, `detail="first command is 'a\x01\\': no hello"`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in\n%s", want, out.String())
			}
		}
	})
}

// A master that stops closes all connections, in whatever state, and waits.
func TestMaster_Stops(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		guests := []*peertest.Peer{w.join("w1"), w.dial("10.0.0.3"), w.dial("10.0.0.4"), w.dial("10.0.0.5")}
		guests[1].Send(1, "hello", "w1 wazuh worker 4.7.5") // is probing
		guests[2].Send(1, "hello", "w2 other worker 4.7.5") // is being refused
		synctest.Wait()
		began := time.Now()
		w.stop()
		synctest.Wait()
		if err := <-w.served; err != nil || time.Since(began) != 0 {
			t.Errorf("Serve: %v after %v", err, time.Since(began))
		}
		w.served <- nil // for the cleanup
		for _, g := range guests {
			for { // what was sent before may still be read
				if _, err := g.Dec.Next(); err != nil {
					break
				}
			}
		}
	})
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"w1": true, "W_1-a.b": true, "-": true, "_": true, "0": true, "a.zip": true, strings.Repeat("a", 128): true,
		"": false, ".": false, "..": false, ".hidden": false, "a/b": false, "/a": false, "../x": false, "a b": false, "a*b": false,
		"a\x00": false, "a\n": false, "é": false, "a\\b": false, "master": false, "c-internal.sock": false, strings.Repeat("a", 129): false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}
