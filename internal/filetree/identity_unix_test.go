//go:build unix

package filetree

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Another content of the same length, with the time of modification put back,
// still shows.
func TestIdentity_TimesPutBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	write := func(text string) (inode uint64, changed int64) {
		t.Helper()
		when := time.Unix(1_700_000_000, 0)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return Identity(info)
	}
	inode, before := write("one")
	if before == 0 {
		t.Skip("the system does not tell")
	}
	for again, after := write("two"); ; again, after = write("two") {
		if again != inode {
			t.Fatalf("inode %d became %d", inode, again)
		}
		if after > before {
			return // a coarse clock may need some turns
		}
	}
}
