package filetree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/manifest"
)

func TestMain(m *testing.M) {
	if home := os.Getenv(crashChild); home != "" {
		os.Exit(applyForEver(home))
	}
	goleak.VerifyTestMain(m)
}

// home is a home's directory in a test.
type home struct {
	t   testing.TB
	dir string
}

func newHome(t testing.TB) home {
	t.Helper()
	h := home{t, t.TempDir()}
	for _, dir := range []string{"etc/shared", "var/multigroups", "etc/rules", "etc/decoders", "etc/lists", "queue/db", "queue/cluster"} {
		h.must(os.MkdirAll(h.path(dir), 0o770))
	}
	return h
}

func (h home) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h home) path(rel string) string { return filepath.Join(h.dir, rel) }

// write makes files: path and content in turn.
func (h home) write(pairs ...string) home {
	h.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		h.must(os.MkdirAll(filepath.Dir(h.path(pairs[i])), 0o770))
		h.must(os.WriteFile(h.path(pairs[i]), []byte(pairs[i+1]), 0o660))
	}
	return h
}

func (h home) link(target, rel string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.path(rel)), 0o770))
	h.must(os.Symlink(target, h.path(rel)))
}

func (h home) fifo(rel string) {
	h.t.Helper()
	h.must(syscall.Mkfifo(h.path(rel), 0o660))
}

func (h home) remove(rel string) home {
	h.t.Helper()
	h.must(os.RemoveAll(h.path(rel)))
	return h
}

func (h home) content(rel string) string {
	h.t.Helper()
	content, err := os.ReadFile(h.path(rel))
	h.must(err)
	return string(content)
}

func (h home) exists(rel string) bool {
	_, err := os.Lstat(h.path(rel))
	return err == nil
}

// open opens the tree. Changes made just before a scan are taken for settled,
// unless a test says otherwise.
func (h home) open(change ...func(*Options)) *Tree {
	h.t.Helper()
	o := Options{Items: manifest.DefaultItems(), CacheFile: "queue/db/testudo-digests", UID: -1, GID: -1}
	for _, f := range change {
		f(&o)
	}
	tree, err := Open(h.dir, o)
	h.must(err)
	h.t.Cleanup(func() {
		if err := tree.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			h.t.Error(err)
		}
	})
	tree.setWindow(0)
	return tree
}

func stampDev[T int32 | uint64](dev T) uint64 { return uint64(dev) }

// setWindow makes every file system one whose times tell changes so far apart.
func (t *Tree) setWindow(d time.Duration) {
	t.windows.byDev = map[uint64]time.Duration{}
	for _, dir := range []string{".", "etc", "etc/rules", "etc/lists", "queue"} {
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(t.home, dir), &st) == nil {
			t.windows.byDev[stampDev(st.Dev)] = d
		}
	}
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
}

func scan(t tester, tree *Tree) *Scan {
	t.Helper()
	s, err := tree.Scan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listing is the manifest as "path=digest of content" would be, with contents
// named by the test.
func listing(m *manifest.Manifest) []string {
	var names []string
	for _, e := range m.Entries() {
		names = append(names, e.Path)
	}
	return names
}

func wantFiles(t tester, m *manifest.Manifest, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := listing(m); !slices.Equal(got, want) {
		t.Errorf("files\n got %q\nwant %q", got, want)
	}
}

// wantProblems compares problems with "path: words of the error".
func wantProblems(t tester, got []Problem, want ...string) {
	t.Helper()
	left := slices.Clone(got)
	for _, w := range want {
		path, text, _ := strings.Cut(w, ": ")
		i := slices.IndexFunc(left, func(p Problem) bool {
			return p.Path == path && strings.Contains(p.Err.Error(), text)
		})
		if i < 0 {
			t.Errorf("no problem %q", w)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, p := range left {
		t.Errorf("problem not expected: %v", p)
	}
}

// unprivileged takes the rights of root from the test, if it has them.
func unprivileged(h home) {
	h.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	h.must(filepath.WalkDir(h.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	}))
	for dir := filepath.Dir(h.dir); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		h.must(os.Chmod(dir, 0o755))
	}
	h.must(syscall.Setresuid(-1, nobody, -1))
	h.t.Cleanup(func() { h.must(syscall.Setresuid(-1, 0, -1)) })
}

// manyFiles writes n files of 2 KiB as a large tree has them.
func manyFiles(h home, n int) {
	for i := range n {
		name := fmt.Sprintf("etc/shared/group%02d/file%05d.conf", i%50, i)
		h.write(name, strings.Repeat(fmt.Sprintf("%08x", uint32(i)*2654435761), 256))
	}
}

// cpuTime is what the process has used.
func cpuTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func wantNoTemporary(t *testing.T, h home) {
	t.Helper()
	h.must(filepath.WalkDir(h.path("etc"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("%s is left", path)
		}
		return err
	}))
}
