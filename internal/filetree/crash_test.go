package filetree

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/manifest"
)

// crashChild names the environment variable that makes the test binary apply
// bundles to the home it holds until it is killed.
const crashChild = "TESTUDO_FILETREE_CRASH_HOME"

// crashContent is the content of a file in a version, known by its first line.
func crashContent(path string, version int) []byte {
	head := fmt.Sprintf("%s %d\n", path, version)
	size := []int{0, 40, 5000, 300 << 10}[(len(path)+version*3+int(path[len(path)-1]))%4]
	return append([]byte(head), bytes.Repeat([]byte{byte('a' + version%26)}, size)...)
}

// crashFiles are the files of a version: some in each, some in every other one.
func crashFiles(version int) *manifest.Manifest {
	var entries []manifest.Entry
	for i := range 30 {
		if i < 10 || i < 20 == (version%2 == 0) {
			path := fmt.Sprintf("etc/shared/group%d/file%02d", i/5, i)
			digest := manifest.DigestOf(crashContent(path, version))
			entries = append(entries, manifest.Entry{Path: path, ItemKey: "etc/shared/", Digest: digest})
		}
	}
	m, err := manifest.New(entries)
	if err != nil {
		panic(err)
	}
	return m
}

// applyForEver is the child: it applies one version after the other and says so.
func applyForEver(dir string) int {
	tree, err := Open(dir, Options{Items: manifest.DefaultItems(), CacheFile: "queue/db/testudo-digests"})
	for version := 0; err == nil; version++ {
		err = applyVersion(tree, version)
		fmt.Println(version)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func applyVersion(tree *Tree, version int) error {
	s, err := tree.Scan(context.Background())
	if err != nil {
		return err
	}
	stage, err := tree.NewStage(fmt.Sprintf("queue/cluster/w1/%ddir", version))
	if err != nil {
		return err
	}
	d := manifest.Compare(crashFiles(version), s.Manifest)
	for _, class := range [][]manifest.Entry{d.Missing, d.Shared} {
		for _, e := range class {
			if _, err := stage.Put(e.Path, bytes.NewReader(crashContent(e.Path, version))); err != nil {
				return err
			}
		}
	}
	done, err := stage.Apply(context.Background(), d)
	if err == nil && len(done.Problems) > 0 {
		err = done.Problems[0].Err
	}
	if err != nil {
		return err
	}
	return stage.Close()
}

// A process killed at any instant leaves each file whole: the old or the new one.
func TestApply_KilledAtAnyInstant(t *testing.T) {
	for _, across := range []bool{false, true} {
		t.Run(fmt.Sprintf("across file systems %v", across), func(t *testing.T) {
			h := newHome(t)
			if across {
				other, err := os.MkdirTemp("/dev/shm", "filetree")
				if err != nil {
					t.Skip("no second file system: /dev/shm")
				}
				t.Cleanup(func() { os.RemoveAll(other) })
				h.remove("queue")
				h.link(other, "queue")
				h.must(os.MkdirAll(h.path("queue/db"), 0o770))
			}
			versions := map[string]bool{}
			for range 15 {
				killDuringApply(t, h)
				checkWhole(t, h, versions)
				h.remove("queue/cluster/w1")
			}
			if len(versions) < 2 {
				t.Errorf("only %d versions seen: nothing was tried", len(versions))
			}
			tree := h.open()
			_, err := tree.CleanTemporary(context.Background())
			h.must(err)
			wantNoTemporary(t, h)
			h.must(applyVersion(tree, 0))
			if d := manifest.Compare(crashFiles(0), scan(t, tree).Manifest); !d.Empty() {
				t.Errorf("afterwards: %+v", d)
			}
		})
	}
}

func killDuringApply(t *testing.T, h home) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashChild+"="+h.dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	h.must(err)
	h.must(child.Start())
	lines := bufio.NewScanner(out)
	for n := rand.IntN(4); n > 0 && lines.Scan(); n-- {
	}
	<-time.After(time.Duration(rand.IntN(40_000)) * time.Microsecond)
	h.must(child.Process.Kill())
	_ = child.Wait() // killed
	if stderr.Len() > 0 {
		t.Fatalf("child: %s", stderr.String())
	}
}

// checkWhole checks that each file is what some version has.
func checkWhole(t *testing.T, h home, versions map[string]bool) {
	t.Helper()
	h.must(filepath.WalkDir(h.path("etc"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".tmp") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(h.dir, path)
		var name string
		var version int
		fmt.Sscanf(string(content[:min(len(content), 100)]), "%s %d\n", &name, &version)
		versions[fmt.Sprint(version)] = true
		if name != rel || !bytes.Equal(content, crashContent(rel, version)) {
			t.Errorf("%s is torn: %d bytes, begins %.40q", rel, len(content), content)
		}
		return nil
	}))
}
