package cluster

// What a hostile or broken peer can do before and with its hello, and with
// commands of parts this node does not have: the rows of docs/wire.md §11 by
// their number. Frames, strings and files are tested in package session.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/peertest"
	"testudo/internal/session"
)

func TestHostile_Row03_ConnectionsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) {
			c.Limits = AdmissionLimits{Connections: 10, PerAddress: 6, StrangersPerAddress: 3}
		})
		for i := range 8 {
			g := w.dial("192.0.2.1")
			if synctest.Wait(); i >= 3 {
				g.WantClosed()
			}
		}
		for i := range 8 {
			g := w.dial("192.0.2.2")
			g.Try(1, "hello", fmt.Sprintf("w%d wazuh worker 4.7.5", i))
			if synctest.Wait(); i >= 6 {
				g.WantClosed()
			}
		}
		if n := len(w.Members()); n != 6 {
			t.Errorf("%d members", n)
		}
		w.dial("192.0.2.3")
		synctest.Wait()
		w.dial("192.0.2.4").WantClosed()
		time.Sleep(31 * time.Second) // the strangers are gone
		w.dial("192.0.2.4").OK("hello", "late wazuh worker 4.7.5")
	})
}

func TestHostile_Row04_CommandsBeforeHello(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, command := range []string{"echo-c", "echo", "nosuch", "dapi", "new_file", "get_nodes", "ok", "err"} {
			g := w.dial("10.0.0.3")
			g.Send(1, command, "keepalive")
			g.WantClosed()
		}
		w.join("w1")
	})
}

func TestHostile_Row05_RefusedHelloLeavesNoName(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, hello := range []string{"w1 other worker 4.7.5", "w1 wazuh worker 4.7.4", "w1 wazuh worker"} {
			g := w.dial("10.0.0.3")
			if name, _ := g.Ask("hello", hello); name != "err" {
				t.Errorf("%s: %s", hello, name)
			}
			synctest.Wait()
			if len(w.Members()) != 0 {
				t.Errorf("%s: members %v", hello, w.Members())
			}
			w.join("w1").Close() // while the refused one is still open
			synctest.Wait()
			g.WantClosed()
		}
	})
}

func TestHostile_Row06_SecondHelloMakesNoGhost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.join("other")
		g := w.join("w1")
		for _, again := range []string{"w2", "w1", "other", ""} {
			g.Refused("hello", again+" wazuh worker 4.7.5", "unknown command 'b'hello''")
		}
		if w.names() != "other w1" {
			t.Errorf("members %q", w.names())
		}
		g.Close()
		synctest.Wait()
		if w.names() != "other" {
			t.Errorf("members %q", w.names())
		}
		w.join("w2")
	})
}

func TestHostile_Row07_NamesAreChecked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) { c.NodeName = "node01" })
		for _, name := range []string{
			"../x", "/etc/x", "..", ".", ".x", "a/b", "a*b", "*", "", "a\x00b", "a\nb", "a\tb", `a\b`, "\xff\xfe", "wörker",
			"master", "c-internal.sock", strings.Repeat("a", 129),
		} {
			g := w.dial("10.0.0.3")
			g.Refused("hello", name+" wazuh worker 4.7.5", `"code": 1000`)
			g.WantClosed()
		}
		if left, err := filepath.Glob(filepath.Join(w.home, "*")); err != nil || len(left) > 0 {
			t.Errorf("made on disk: %v", left)
		}
		if parent, _ := os.ReadDir(filepath.Dir(w.home)); len(parent) != 1 {
			t.Errorf("made beside the home: %v", parent)
		}
	})
}

// request is a command with its argument.
type request struct{ command, payload string }

// refusesAll wants commands of a part this node does not have to be refused,
// however often they come, with nothing that grows and the others served.
func refusesAll(t *testing.T, requests ...request) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.join("w1")
		for range 200 {
			for _, r := range requests {
				g.Refused(r.command, r.payload, "unknown command 'b'"+r.command+"''")
			}
		}
		w.join("w2").OK("echo", "the others are served")
		if n := w.lines.Count("level=ERROR"); n > 0 {
			t.Errorf("%d error lines", n)
		}
	})
}

func TestHostile_Row18_NoFunctionIsRun(t *testing.T) {
	refusesAll(t,
		request{"dapi", `456306 {"f": {"__callable__": {"__name__": "system", "__module__": "os"}}, "f_kwargs": {"command": "reboot"}}`},
		request{"dapi", `1 {"rbac_permissions": {"rbac_mode": "black"}}`},
		request{"dapi_res", "456306 1234"}, request{"dapi_err", "x y"}, request{"dapi_fwd", "fw_all_nodes x"})
}

func TestHostile_Row27_NoQueueGrows(t *testing.T) {
	refusesAll(t,
		request{"dapi", "1 {}"}, request{"sendsync", `7 {"daemon_name": "authd", "message": {}}`}, request{"sendasync", "7 {}"},
		request{"sendsyn_res", "7 1"}, request{"sendsyn_err", "7 x"})
}

func TestHostile_Row28_NoGroupsAreQueued(t *testing.T) {
	refusesAll(t, request{"syn_w_g_c", ""}, request{"syn_w_g_e", "{"}, request{"syn_wgc_e", "{}"}, request{"syn_w_g_err", "x"})
}

func TestHostile_Row33_ConfigurationIsNotShown(t *testing.T) {
	refusesAll(t,
		request{"get_config", ""}, request{"get_nodes", "{}"}, request{"get_health", "null"}, request{"get_hash", ""},
		request{"send_file", "etc/client.keys w1"})
}

func TestHostile_Row36_ArgumentWithoutASpace(t *testing.T) {
	refusesAll(t, request{"dapi", "nospace"}, request{"dapi", ""}, request{"dapi_res", "nospace"}, request{"sendsync", "nospace"}, request{"sendsync", ""})
}

func TestHostile_Row25_NoOtherTaskIsMade(t *testing.T) {
	refusesAll(t, request{"syn_a_w_m", "123"}, request{"syn_e_w_m", ""}, request{"syn_e_w_m_r", "None {}"}, request{"syn_i_w_m", ""})
}

// One worker's slow handler keeps no other worker waiting.
func TestHostile_Row27_OneWorkerDoesNotBlockOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hangs := exchangeFunc(func(_ *session.Session, mux *session.Mux) func(context.Context) {
			mux.Handle("slow", func(ctx context.Context, _ *session.Session, _ []byte) (session.Reply, error) {
				<-ctx.Done()
				return session.Reply{}, ctx.Err()
			})
			return nil
		})
		w := newWorld(t, nil, hangs)
		slow, other := w.join("w1"), w.join("w2")
		for i := range uint32(10) {
			slow.Send(i, "slow", "")
		}
		if name, _ := slow.Ask("echo-c", "keepalive"); name != "ok-m" {
			t.Errorf("its own keep-alive: %s", name)
		}
		if got := other.OK("new_str", "5"); got == "" {
			t.Error("the other is not served")
		}
	})
}

func TestHostile_Row32_LogIsNotForged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, hello := range []string{
			"w1\n2026/11/22 ERROR: forged wazuh worker 4.7.5", "w1\x1b[31m wazuh worker 4.7.5", "w1 wazuh\nforged worker 4.7.5", "w1 wazuh wor\nker 4.7.5",
		} {
			w.dial("10.0.0.3").Ask("hello", hello)
		}
		g := w.dial("10.0.0.3")
		g.Send(1, "a\nb", "")
		g.WantClosed()
		g = w.join("w1")
		g.Ask("c\nd", "")
		if strings.ContainsAny(w.lines.String(), "\x1b\r") || strings.Contains(w.lines.String(), "\n2026") {
			t.Errorf("log:\n%s", w.lines)
		}
	})
}

// Strangers without the key cannot fill the log, whatever they send.
func TestHostile_Row32_StrangersDoNotFillTheLog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 500 {
			g := w.dial(fmt.Sprintf("192.0.2.%d", i%250))
			b := []byte(fmt.Sprintf("\x00\x00\x00\x01\xff\x00\x00\x00cmd%06d---", i))
			if _, err := g.Conn.Write(b); err != nil {
				t.Fatal(err)
			}
			g.WantClosed()
		}
		synctest.Wait()
		if n := w.lines.Count("level=ERROR"); n > 3 {
			t.Errorf("%d lines", n)
		}
	})
}

// TLS is not spoken: its first bytes are no frame (row 34: the original's TLS
// verifies nothing, so it would protect nothing).
func TestHostile_Row34_NoTLS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.dial("10.0.0.3")
		hello := append([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, make([]byte, 500)...)
		if _, err := g.Conn.Write(hello); err != nil {
			t.Fatal(err)
		}
		g.WantClosed()
	})
}

// All trust rests on the key (row 35): without it nothing is answered, and with
// it a live worker still keeps its name.
func TestHostile_Row35_KeyHolders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		worker := w.settle("w1", nil)
		synctest.Wait()
		since := worker.Connected()
		stranger := w.dial("10.0.0.3")
		stranger.Key = peertest.NewKey(t, strings.Repeat("x", 32))
		stranger.Send(1, "hello", "w9 wazuh worker 4.7.5")
		stranger.WantClosed()
		holder := w.dial("10.0.0.3")
		holder.Refused("hello", "w1 wazuh worker 4.7.5", `"code": 3028`)
		synctest.Wait()
		if worker.Connected() != since || w.names() != "w1" {
			t.Errorf("members %q", w.names())
		}
	})
}

// A recorded connection is not taken for the worker when the policy is on.
func TestHostile_Row21_RecordedHello(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *MasterConfig) { c.Session.Limits.TokenAge = 5 * time.Minute })
		worker := w.settle("w1", func(c *WorkerConfig) { c.Session.Limits.TokenAge = 5 * time.Minute })
		g := w.dial("10.0.0.3")
		recording := g.Frame(1, "hello", "w2 wazuh worker 4.7.5")
		if _, err := g.Conn.Write(recording); err != nil {
			t.Fatal(err)
		}
		g.Next()
		g.Close()
		synctest.Wait()
		again := w.dial("10.0.0.3")
		if _, err := again.Conn.Write(recording); err != nil {
			t.Fatal(err)
		}
		again.WantClosed()
		time.Sleep(time.Hour) // those who are no recordings are well
		if worker.Connected().IsZero() || worker.lines.Count("Successfully connected") != 1 {
			t.Errorf("log:\n%s", worker.lines)
		}
		w.lines.Want(t, "frame refused: token_again")
	})
}
