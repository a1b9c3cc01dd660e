package filetree

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

func TestScan_Steady(t *testing.T) {
	for name, c := range map[string]struct {
		add  func(dir string) error
		want bool
	}{
		"files":            {func(string) error { return nil }, true},
		"a linked file":    {func(dir string) error { return os.Symlink("a.xml", filepath.Join(dir, "link.xml")) }, false},
		"a link to none":   {func(dir string) error { return os.Symlink("none", filepath.Join(dir, "link.xml")) }, false},
		"a FIFO":           {func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "fifo"), 0o660) }, false},
		"an excluded link": {func(dir string) error { return os.Symlink("a.xml", filepath.Join(dir, "link.tmp")) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			dir := filepath.Join(home, "etc/rules/deep") // all other directories are absent
			if err := os.MkdirAll(dir, 0o770); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "a.xml"), []byte("a"), 0o660); err != nil {
				t.Fatal(err)
			}
			if err := c.add(dir); err != nil {
				t.Fatal(err)
			}
			tree, err := Open(home, Options{Items: manifest.DefaultItems()})
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			scan, err := tree.Scan(t.Context())
			if err != nil || scan.Steady {
				t.Errorf("steady %v right after the files were made, %v", scan.Steady, err)
			}
			if steady := becomesSteady(t, tree); steady != c.want {
				t.Errorf("steady %v, want %v", steady, c.want)
			}
		})
	}
}

// becomesSteady scans until every file but links and the like has settled, and
// tells what the scan after that says.
func becomesSteady(t *testing.T, tree *Tree) bool {
	t.Helper()
	for {
		scan, err := tree.Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		settled := true
		var look func(d *directory)
		look = func(d *directory) {
			settled = settled && (d.absent || d.stamp != stamp{})
			for _, sub := range d.dirs {
				look(sub)
			}
		}
		for _, root := range tree.roots {
			look(root.dir)
			root.dir.eachFile(func(f *file) { settled = settled && (f.settled || f.entry == nil) })
		}
		if settled {
			return scan.Steady
		}
	}
}
