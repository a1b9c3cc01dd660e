package integrity_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/filestate"
	"testudo/internal/session"
)

// after makes a hostile master that sends a package and then a good one, and
// checks that the worker takes the good one and lives.
func after(t *testing.T, c *clustertest.Cluster, evil attack) (*clustertest.Node, *hostileMaster) {
	t.Helper()
	good := sends(text("etc/rules/good.xml", "good"),
		metadata([]string{entry("etc/rules/good.xml", "etc/rules/", "good")}, nil, nil))
	h := serveHostile(t, c, evil, good)
	c.Plain = true
	worker := c.StartWorker("1")
	h.wait()
	c.Wait(time.Minute, func() string {
		if got := worker.Read("etc/rules/good.xml"); got != "good" {
			return "the good file is " + got
		}
		return ""
	})
	return worker, h
}

func TestHostile_Row13_BombFromTheMaster(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Package.MemberBytes, c.Package.TotalBytes = 4<<20, 8<<20
		worker, _ := after(t, c, sends(zeros("etc/lists/bomb", bombBytes()),
			metadata([]string{entry("etc/lists/bomb", "etc/lists/", "")}, nil, nil)))
		if !worker.Log.Has(`ERROR .*Error synchronizing files: .*etc/lists/bomb`) {
			t.Error("nothing is said of the bomb")
		}
		if got := worker.Read("etc/lists/bomb"); !strings.Contains(got, "no such file") {
			t.Errorf("the bomb is there: %d bytes", len(got))
		}
	})
}

func TestHostile_Row13_ManySmallBombsFromTheMaster(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Package.MemberBytes, c.Package.TotalBytes = 4<<20, 8<<20
		var members []member
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			members = append(members, zeros("etc/lists/"+name, 3<<20))
		}
		worker, _ := after(t, c, sends(append(members, metadata(nil, nil, nil))...))
		if !worker.Log.Has(`ERROR .*Error synchronizing files: .*etc/lists/c`) {
			t.Error("the total is not limited")
		}
	})
}

func TestHostile_Row14_MemberNamesThatLeadOut(t *testing.T) {
	for _, name := range []string{
		"/tmp/testudo-was-here", "../outside/planted", "etc/rules/../../../outside/planted", "etc//rules/x", "./etc/rules/x",
		"etc/rules/..", "", "queue/cluster/1/../../../../outside/victim", "etc/rules/a\x00b", "files_metadata.json/../../outside/x",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *clustertest.Cluster) {
				_, unharmed := outside(t, c)
				after(t, c, sends(text(name, "planted"),
					metadata([]string{entry(name, "etc/rules/", "planted")}, nil, nil)))
				unharmed()
				if _, err := os.Stat("/tmp/testudo-was-here"); err == nil {
					t.Error("an absolute path was written")
				}
			})
		})
	}
}

// Nothing but the synchronised directories' own files is written or removed,
// whatever the master's metadata say.
func TestHostile_Row15_MetadataThatLeadOut(t *testing.T) {
	cases := map[string]struct{ path, key string }{
		"outside the home":          {"../outside/victim", "etc/rules/"},
		"absolute":                  {"/etc/hostname", "etc/rules/"},
		"not synchronised":          {"etc/internal.conf", "etc/"},
		"excluded":                  {"etc/shared/default/ar.conf", "etc/shared/"},
		"excluded ending":           {"etc/rules/x.tmp", "etc/rules/"},
		"the configuration":         {"etc/ossec.conf", "etc/"},
		"another item's key":        {"etc/ossec.conf", "etc/rules/"},
		"unknown key":               {"queue/db/cluster.db", "queue/db/"},
		"below a flat item":         {"etc/deep/client.keys", "etc/"},
		"not among the item's list": {"var/multigroups/other", "var/multigroups/"},
		"through a link":            {"etc/shared/link/victim", "etc/shared/"},
		"through a linked file":     {"etc/rules/linked.xml/x", "etc/rules/"},
		"our own database":          {"queue/db/testudo-digests", "etc/"},
		"an item's own directory":   {"etc/rules", "etc/"},
		"an item's parent":          {"etc", ""},
	}
	for name, tc := range cases {
		for _, class := range []string{"missing", "extra", "shared"} {
			t.Run(name+" as "+class, func(t *testing.T) {
				bubble(t, func(t *testing.T, c *clustertest.Cluster) {
					hostileRow15(t, c, tc.path, tc.key, class)
				})
			})
		}
	}
}

func hostileRow15(t *testing.T, c *clustertest.Cluster, path, key, class string) {
	dir, unharmed := outside(t, c)
	worker := c.Node("1")
	own := []string{"etc/internal.conf", "etc/shared/default/ar.conf", "etc/rules/x.tmp", "etc/ossec.conf", "etc/deep/client.keys", "var/multigroups/other"}
	for _, p := range own {
		worker.Write(p, "own")
	}
	for link, target := range map[string]string{"etc/shared/link": dir, "etc/rules/linked.xml": filepath.Join(dir, "victim")} {
		if err := os.Symlink(target, filepath.Join(worker.Home, link)); err != nil {
			t.Fatal(err)
		}
	}
	list := map[string][]string{class: {entry(path, key, "planted")}}
	_, h := after(t, c, sends(text("etc/rules/beside.xml", "beside"), text(strings.TrimLeft(path, "/."), "planted"),
		metadata(append(list["missing"], entry("etc/rules/beside.xml", "etc/rules/", "beside")), list["extra"], list["shared"])))
	unharmed()
	for _, p := range own {
		if got := worker.Read(p); got != "own" {
			t.Errorf("%s is %q now", p, got)
		}
	}
	if err := <-h.verdicts; err != nil {
		t.Logf("the package was refused: %v", err)
	}
}

// Items of the original's "merged" kind are files like all others: nothing is
// taken apart.
func TestHostile_Row16_MergedIsAnOrdinaryFile(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		_, unharmed := outside(t, c)
		const content = "7 ../../outside/planted 2023-01-01 00:00:00\nplanted"
		e := strings.Replace(entry("etc/shared/x.merged", "etc/shared/", content), `"merged": false`,
			`"merged": true, "merge_type": "agent-groups", "merge_name": "/etc/passwd"`, 1)
		worker, _ := after(t, c, sends(text("etc/shared/x.merged", content), metadata([]string{e}, nil, nil)))
		unharmed()
		if got := worker.Read("etc/shared/x.merged"); got != content {
			t.Errorf("the file is %q", got)
		}
	})
}

// A master that announces packages without end and never sends them costs a
// worker one goroutine, and the worker takes a good package afterwards.
func TestHostile_Row25_PackagesAnnouncedWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		worker, _ := after(t, c, func(ctx context.Context, s *session.Session) error {
			before := runtime.NumGoroutine()
			for range 500 {
				if _, err := s.Request(ctx, "syn_m_c", nil); err != nil {
					return err
				}
			}
			if more := runtime.NumGoroutine() - before; more > 5 {
				t.Errorf("500 announcements cost %d goroutines", more)
			}
			return nil
		})
		c.Wait(time.Minute, func() string {
			if state := worker.Store.File("1", "etc/rules/good.xml").State; state != filestate.Synchronized {
				return fmt.Sprintf("the good file is shown as %q", state)
			}
			return ""
		})
		if n := worker.Log.Count(`ERROR`); n > 10 {
			t.Errorf("%d error lines for one attack", n)
		}
	})
}

// A verdict that nobody waits for is no news.
func TestHostile_Row25_VerdictsWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		worker, _ := after(t, c, func(ctx context.Context, s *session.Session) error {
			for range 500 {
				if _, err := s.Request(ctx, "syn_m_c_ok", nil); err != nil {
					return err
				}
			}
			_, err := s.SendPackage(ctx, "syn_m_c", pack(metadata(nil, nil, nil)))
			return err
		})
		if n := worker.Log.Count(`Sync not required`); n > 10 {
			t.Errorf("%d lines about 500 verdicts", n)
		}
	})
}

// A member that the worker's own table does not synchronise spoils nothing: the
// others arrive, and the master is told which did not.
func TestHostile_Row15_OneBadEntryAmongGoodOnes(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		worker, _ := after(t, c, sends(text("etc/rules/one.xml", "1"), text("etc/elsewhere/two.xml", "2"), text("etc/lists/three", "3"),
			metadata([]string{
				entry("etc/rules/one.xml", "etc/rules/", "1"), entry("etc/elsewhere/two.xml", "etc/elsewhere/", "2"),
				entry("etc/lists/three", "etc/lists/", "3"),
			}, nil, nil)))
		for path, want := range map[string]string{"etc/rules/one.xml": "1", "etc/lists/three": "3"} {
			if got := worker.Read(path); got != want {
				t.Errorf("%s is %q", path, got)
			}
		}
		if _, err := os.Stat(filepath.Join(worker.Home, "etc/elsewhere")); err == nil {
			t.Error("a directory was made where nothing is synchronised")
		}
		if !worker.Log.Has(`ERROR .*etc/elsewhere/two.xml`) {
			t.Error("the log does not say which file was refused")
		}
	})
}
