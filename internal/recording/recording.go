// Package recording reads test data that is not part of the repository: what
// real nodes said to each other, and files that real sites have. A test that
// needs what is absent is skipped, by the name of what it needs.
package recording

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// folder is where the data is, seen from the directory of a package below
// internal, in which its tests run.
const folder = "../../../shared"

// Path is where a file or a directory is; name is relative to the data, such as
// "golden/dapi/agents.jsonl".
func Path(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("not here: shared/" + name)
	}
	return path
}

// Glob is the names of the files that fit a pattern, in their order, for the
// other functions.
func Glob(t testing.TB, pattern string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name, err := filepath.Rel(folder, path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		t.Skip("not here: shared/" + pattern)
	}
	return names
}

// Read is what a file holds.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Lines is a file of JSON values, one a line. Values may refer to what was read.
func Lines[T any](t testing.TB, name string) (values []T) {
	t.Helper()
	for line := range bytes.Lines(Read(t, name)) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("shared/%s, line %d: %v", name, len(values)+1, err)
		}
		values = append(values, v)
	}
	return values
}
