package groups

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// While somebody removes a group file by file, no merged.mg comes back into its
// directory: an rm -r would find it not empty.
func TestBuilder_LeavesADirectoryAloneThatShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.shrinkWait = shrinkWait
		const group = sharedDir + "/web"
		for i := range 3 {
			w.put(fmt.Sprintf("%s/file%d", group, i), "text")
		}
		look := func() Result {
			t.Helper()
			r, err := w.Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		remove := func(name string) {
			t.Helper()
			if err := os.Remove(w.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		look()
		for _, name := range []string{"merged.mg", "file0", "file1"} {
			remove(group + "/" + name)
			time.Sleep(shrinkWait - time.Millisecond)
			if r := look(); r.Written > 0 || !r.waiting {
				t.Fatalf("%s has gone: %+v", name, r)
			}
		}
		time.Sleep(shrinkWait)
		if r := look(); r.Written != 1 || r.waiting {
			t.Errorf("one file is left for good: %+v", r)
		}
		remove(group + "/merged.mg")
		remove(group + "/file2")
		look()
		remove(group)
		if r := look(); r.Groups != 1 || r.waiting {
			t.Errorf("the group is gone: %+v", r)
		}
	})
}
