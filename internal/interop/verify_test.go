package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"testudo/internal/home"
)

// synchronised lists the directories of the built-in table and the mode that
// their files get. It stands here a second time on purpose: nothing of the
// programs under test is used to look at what they did.
func synchronised() map[string]fs.FileMode {
	return map[string]fs.FileMode{
		"etc/shared": 0o660, "etc/rules": 0o660, "etc/decoders": 0o660, "etc/lists": 0o660, "var/multigroups": 0o660,
	}
}

const (
	keysFile = "etc/client.keys"
	keysMode = fs.FileMode(0o640)
)

// isExcluded says whether a file of a synchronised directory stays where it is.
func isExcluded(path string) bool {
	name := filepath.Base(path)
	return name == "ar.conf" || name == "ossec.conf" ||
		slices.ContainsFunc([]string{"~", ".tmp", ".lock", ".swp"}, func(end string) bool { return strings.HasSuffix(name, end) }) ||
		strings.HasPrefix(path, "var/multigroups/") && name != "merged.mg"
}

// files lists the synchronised files of a node with their infos.
func (n *node) files() []string {
	var found []string
	for dir := range synchronised() {
		_ = filepath.WalkDir(filepath.Join(n.home, dir), func(path string, d fs.DirEntry, err error) error {
			rel, relErr := filepath.Rel(n.home, path)
			if err == nil && relErr == nil && !d.IsDir() && !isExcluded(rel) {
				found = append(found, rel)
			}
			return nil // what vanishes meanwhile is looked for again
		})
	}
	if n.has(keysFile) {
		found = append(found, keysFile)
	}
	slices.Sort(found)
	return found
}

// differs says how a worker's files differ from the master's; "" when they do
// not.
func (n *node) differs() string {
	want, got := n.cluster.master.files(), n.files()
	for _, path := range want {
		if _, ok := slices.BinarySearch(got, path); !ok {
			return fmt.Sprintf("%s lacks %q (has %d of %d files)", n, path, len(got), len(want))
		}
	}
	for _, path := range got {
		if _, ok := slices.BinarySearch(want, path); !ok {
			return fmt.Sprintf("%s has %q", n, path)
		}
	}
	for _, path := range want {
		a, errA := os.ReadFile(filepath.Join(n.cluster.master.home, path))
		b, errB := os.ReadFile(filepath.Join(n.home, path))
		if err := cmp.Or(errA, errB); err != nil {
			return err.Error()
		}
		if !bytes.Equal(a, b) {
			return fmt.Sprintf("%s: %q has other content", n, path)
		}
	}
	return ""
}

// waitEqual waits until all running workers have the master's files.
func (c *cluster) waitEqual() {
	c.t.Helper()
	wait(c.t, patience, func() string {
		for _, w := range c.workers {
			if why := w.differs(); w.process != nil && why != "" {
				return why + w.tail() + c.master.tail()
			}
		}
		return ""
	})
}

// waitInStep waits until the files are equal and both ends of each connection
// have said so in a check that began after that.
func (c *cluster) waitInStep() {
	c.t.Helper()
	c.waitEqual()
	for _, w := range c.workers {
		if w.process == nil {
			continue
		}
		atMaster := `\[Worker ` + w.name + `\] \[Integrity check\] Finished in .* Sync not required\.`
		seen, seenAtMaster := w.count(inStep), c.master.count(atMaster)
		// The first may belong to a check from before; the second does not.
		w.waitFor(seen+1, inStep)
		c.master.waitFor(seenAtMaster+1, atMaster)
	}
	c.waitEqual()
}

// verify ends the test: in step, stopped, modes as the table says, nothing left
// behind, no line unexplained.
func (c *cluster) verify() {
	c.t.Helper()
	c.waitInStep()
	for _, n := range c.made {
		n.leaving = len(n.lines())
	}
	for _, w := range c.workers {
		w.stop()
	}
	c.master.stop()
	for _, w := range c.workers {
		w.checkModes()
	}
	for _, n := range c.made {
		n.checkLeftovers()
	}
	c.checkLogs()
}

// checkLogs fails on lines that nothing explains.
func (c *cluster) checkLogs() {
	c.t.Helper()
	for _, n := range c.made {
		for _, line := range n.unexplained(c.known) {
			c.t.Errorf("%s logged: %s", n, line)
		}
	}
}

// checkModes looks at modes and owners. All files of a worker came from its
// master: it began with none.
func (n *node) checkModes() {
	t := n.cluster.t
	t.Helper()
	uid, gid, hasOwner := home.Identity()
	hasOwner = hasOwner && os.Geteuid() == 0
	for _, path := range n.files() {
		info, err := os.Lstat(filepath.Join(n.home, path))
		if err != nil {
			t.Error(err)
			continue
		}
		want := keysMode
		for dir, mode := range synchronised() {
			if strings.HasPrefix(path, dir+"/") {
				want = mode
			}
		}
		if info.Mode() != want {
			t.Errorf("%s: %q has mode %v, want %v", n, path, info.Mode(), want)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && hasOwner && (int(s.Uid) != uid || int(s.Gid) != gid) {
			t.Errorf("%s: %q belongs to %d:%d, want %d:%d", n, path, s.Uid, s.Gid, uid, gid)
		}
	}
}

// checkLeftovers looks for what a transfer may leave behind. A real node that
// was killed clears its directory at the next start only, so only ours count.
func (n *node) checkLeftovers() {
	if n.maker != ours {
		return
	}
	t := n.cluster.t
	t.Helper()
	err := filepath.WalkDir(n.home, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(n.home, path)
		if err := cmp.Or(err, relErr); err != nil || d.IsDir() {
			return err
		}
		inQueue := strings.HasPrefix(rel, "queue/cluster/") && !strings.HasPrefix(rel, "queue/cluster/.spool")
		if inQueue || strings.HasSuffix(rel, ".tmp") {
			t.Errorf("%s: left behind: %s", n, rel)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
