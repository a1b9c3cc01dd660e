package logging

import (
	"os"
	"path/filepath"
	"testing"
)

// A line that finds no room in the file is not lost: who runs the node sees it.
func TestLog_FullDisk(t *testing.T) {
	l, dir := open(t, func(o *Options) { o.Path, o.Archive = "/dev/full", "" })
	name := filepath.Join(dir, "stderr")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = file
	l.Logger().Error("no room")
	os.Stderr = stderr
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, messages(read(t, name)), "no room")
}
