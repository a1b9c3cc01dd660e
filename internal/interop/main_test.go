package interop

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"testudo/internal/cli"
)

// The names under which this test binary is ours: its own, and those of the
// programs that it takes the place of.
const (
	program  = "testudo"
	replaced = "wazuh-clusterd"
	tool     = "cluster_control"
)

// clusters is how many run at a time, at least, unless -parallel says otherwise.
const clusters = 4

func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains([]string{program, replaced, tool}, name) {
		os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	flag.Parse()
	// Nodes mostly wait for their intervals.
	if at := flag.Lookup("test.parallel"); at.Value.String() == at.DefValue && runtime.GOMAXPROCS(0) < clusters {
		if err := flag.Set("test.parallel", strconv.Itoa(clusters)); err != nil {
			panic(err)
		}
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
