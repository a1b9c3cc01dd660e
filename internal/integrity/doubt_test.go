package integrity_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/clustertest"
	"testudo/internal/session"
)

// A master that announces the digest of half a file, and sends all of it, is
// believed the second time, and its file not written again the third time.
func TestDoubt_AFileThatIsNotWhatWasAnnounced(t *testing.T) {
	const file = "etc/rules/x.xml"
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		worker := c.Node("1")
		var seen []string // what the worker has before each package
		var written []os.FileInfo
		sendAs := func(class string) attack {
			return func(ctx context.Context, s *session.Session) error {
				seen = append(seen, worker.Read(file))
				info, _ := os.Stat(filepath.Join(worker.Home, file))
				written = append(written, info)
				list := map[string][]string{class: {entry(file, "etc/rules/", "wh")}}
				return sends(text(file, "whole"), metadata(list["missing"], nil, list["shared"]))(ctx, s)
			}
		}
		h := serveHostile(t, c, sendAs("missing"), sendAs("missing"), sendAs("shared"), sendAs("shared"))
		c.Plain = true
		c.StartWorker("1")
		h.wait()
		if len(seen) != 4 || !strings.Contains(seen[1], "no such file") || seen[2] != "whole" || seen[3] != "whole" {
			t.Fatalf("before each package the file was %q", seen)
		}
		if !os.SameFile(written[2], written[3]) {
			t.Error("the same content was written again")
		}
		if n := worker.Log.Count("INFO .*Files have changed on the master while they were sent"); n != 1 {
			t.Errorf("left for the next round %d times", n)
		}
		if n := worker.Log.Count("WARN .*The master sends files each round"); n != 1 {
			t.Errorf("warned %d times", n)
		}
		if bad := worker.Log.Errors(); len(bad) > 0 {
			t.Errorf("errors: %q", bad)
		}
	})
}
