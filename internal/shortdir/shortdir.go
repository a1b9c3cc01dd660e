// Package shortdir makes the directories of tests that serve sockets: a socket's
// path has some 100 bytes, and that of testing.T.TempDir takes them.
package shortdir

import (
	"os"
	"testing"
)

// New returns a new directory, which goes with the test.
func New(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
