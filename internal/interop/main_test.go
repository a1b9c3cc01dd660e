package interop

import (
	"os"
	"path/filepath"
	"testing"

	"testudo/internal/cli"
)

// program is the name under which this test binary is a node of ours.
const program = "testudo"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == program {
		os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// reference is where the real nodes come from.
const reference = "TESTUDO_REFERENCE_HOME"

// needReference skips a test where there are no real nodes.
func needReference(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(reference)
	if dir == "" {
		t.Skip("no real node here: " + reference + " is not set")
	}
	return dir
}
