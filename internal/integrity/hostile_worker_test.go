package integrity_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/session"
)

// attacked starts a master with a file and lets a hostile worker at it. What
// the worker announces afterwards in good faith must be answered.
func attacked(t *testing.T, assault func(t *testing.T, c *clustertest.Cluster, p *peer)) *clustertest.Node {
	t.Helper()
	var boss *clustertest.Node
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		boss = c.Node(clustertest.MasterName)
		boss.Write("etc/rules/a.xml", "a")
		c.StartMaster()
		inStep := make(chan struct{}, 1)
		mux := session.NewMux()
		mux.Handle("syn_m_c_ok", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			inStep <- struct{}{}
			return session.OK("Thanks"), nil
		})
		p, end := hostileWorker(t, c, "evil", mux)
		defer end()
		c.Wait(time.Minute, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
		c.Wait(time.Minute, func() string {
			if boss.Master.Files() != 1 {
				return "the master has not seen its file"
			}
			return ""
		})
		assault(t, c, p)
		c.Wait(5*time.Minute, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
		p.check(own("etc/rules/a.xml", "etc/rules/", "a"))
		select {
		case <-inStep:
		case <-time.After(time.Minute):
			t.Error("a good check is not answered any more; the log:\n" + strings.Join(boss.Log.All(), "\n"))
		}
		if got := boss.Read("etc/rules/a.xml"); got != "a" {
			t.Errorf("the master's file is %q", got)
		}
	})
	return boss
}

func need(want, got string) string {
	if got != want {
		return fmt.Sprintf("the answer is %q", got)
	}
	return ""
}

// check sends a package of metadata.
func (p *peer) check(members ...member) {
	p.t.Helper()
	if _, err := p.SendPackage(p.t.Context(), "syn_i_w_m", pack(members...)); err != nil {
		p.t.Logf("the package was refused: %v", err)
	}
}

// own is a worker's files_metadata.json with one file.
func own(path, key, content string) member {
	return text("files_metadata.json", "{"+entry(path, key, content)+"}")
}

func TestHostile_Row13_BombFromAWorker(t *testing.T) {
	boss := attacked(t, func(_ *testing.T, _ *clustertest.Cluster, p *peer) {
		p.check(zeros("files_metadata.json", bombBytes()))
		p.check(member{"files_metadata.json", io.MultiReader(strings.NewReader("{"), io.LimitReader(spaces{}, bombBytes()))})
	})
	if !boss.Log.Has(`ERROR .*Error in synchronization process: .*files_metadata.json`) {
		t.Error("nothing is said of the bomb")
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestHostile_Row14_MembersFromAWorker(t *testing.T) {
	attacked(t, func(t *testing.T, c *clustertest.Cluster, p *peer) {
		_, unharmed := outside(t, c)
		for _, name := range []string{"../outside/victim", "/tmp/testudo-was-here", "etc/rules/a.xml", "etc/rules/planted.xml"} {
			p.check(text(name, "planted"), own("etc/rules/a.xml", "etc/rules/", "a"))
		}
		unharmed()
		if got := c.Node(clustertest.MasterName).Read("etc/rules/planted.xml"); got == "planted" {
			t.Error("a worker planted a file")
		}
	})
}

// The paths of a worker's metadata touch nothing on the master, and those that
// cannot be are refused.
func TestHostile_Row15_MetadataFromAWorker(t *testing.T) {
	attacked(t, func(t *testing.T, c *clustertest.Cluster, p *peer) {
		_, unharmed := outside(t, c)
		for _, e := range []member{
			own("../outside/victim", "etc/rules/", "x"), own("/etc/passwd", "etc/", "x"), own("etc/ossec.conf", "etc/", "x"),
			own("etc/rules/a.xml", "etc/decoders/", "x"), text("files_metadata.json", "[]"), text("files_metadata.json", `{"a": 1}`),
			text("files_metadata.json", strings.Repeat(`{"a":`, 100_000)), text("files_metadata.json", ""), text("x", ""),
		} {
			p.check(e)
		}
		unharmed()
	})
}

func TestHostile_Row25_ChecksAnnouncedWithoutEnd(t *testing.T) {
	attacked(t, func(t *testing.T, _ *clustertest.Cluster, p *peer) {
		before := runtime.NumGoroutine()
		for range 500 {
			p.ask("syn_i_w_m", "")
		}
		if more := runtime.NumGoroutine() - before; more > 5 {
			t.Errorf("500 announcements cost %d goroutines", more)
		}
	})
}

// Tampering that keeps a file's length and time of modification is noticed, and
// undone on a worker.
func TestHostile_Row29_TamperingThatKeepsTheTime(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		c.StartMaster().Write("etc/rules/a.xml", "level 12")
		worker := c.StartWorker("1")
		c.WaitEqual(inStep)
		path := filepath.Join(worker.Home, "etc/rules/a.xml")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		worker.Write("etc/rules/a.xml", "level 00")
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		c.WaitEqual(inStep)
		if got := worker.Read("etc/rules/a.xml"); got != "level 12" {
			t.Errorf("the tampered file is %q", got)
		}
		c.Verify()
	})
}

// The package of a file whose compressed form would hold the separator can be
// read by a node that cuts packages at every separator, as the original does.
func TestHostile_Row30_SeparatorInsideCompressedData(t *testing.T) {
	chance := rand.NewChaCha8([32]byte{30})
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = chance.Read(b)
		return string(b)
	}
	files := map[string]string{
		"etc/lists/stored": random(40) + "|@@//@@|" + random(5<<10),
		"etc/lists/many":   strings.Repeat(random(7)+"|@@//@@|", 3_000),
		"etc/lists/ends":   random(70_000) + "|@@//@@|",
		"etc/lists/plain":  "plain",
	}
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		boss := c.Node(clustertest.MasterName)
		for path, content := range files {
			boss.Write(path, content)
		}
		c.StartMaster()
		c.Wait(time.Minute, func() string {
			if n := boss.Master.Files(); n != len(files) {
				return fmt.Sprintf("the master knows %d files", n)
			}
			return ""
		})
		got := make(chan map[string]string, 1)
		mux := session.NewMux()
		mux.HandleDelivery("syn_m_c", func(ctx context.Context, d *session.Delivery) {
			u, err := d.Wait(ctx, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			defer u.Close()
			got <- naive(t, u.Reader())
		})
		p, end := hostileWorker(t, c, "old", mux)
		defer end()
		p.check(text("files_metadata.json", "{}"))
		received := <-got
		for path, content := range files {
			if received[path] != content {
				t.Errorf("%s came as %d bytes, not as its %d", path, len(received[path]), len(content))
			}
		}
	})
}

// naive reads a package by cutting it at its separators.
func naive(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	files := make(map[string]string)
	for part := range bytes.SplitSeq(all, []byte("|@@//@@|")) {
		path, packed, _ := bytes.Cut(part, []byte("|//@@//|"))
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Errorf("member %q: %v", path, err)
			continue
		}
		content, err := io.ReadAll(z)
		if err != nil {
			t.Errorf("member %q: %v", path, err)
		}
		files[string(path)] = string(content)
	}
	return files
}

// An unknown cluster_item_key ends the check and nothing else: the lock opens,
// and the log says why.
func TestHostile_Row31_UnknownItemKey(t *testing.T) {
	boss := attacked(t, func(t *testing.T, c *clustertest.Cluster, p *peer) {
		p.check(own("etc/rules/a.xml", "etc/unknown/", "a"))
		c.Wait(time.Second, func() string { return need("True", p.ask("syn_i_w_m_p", "")) })
	})
	if !boss.Log.Has(`ERROR .*Error in synchronization process: .*unknown cluster_item_key`) {
		t.Error("the log does not say why")
	}
}
