package filetree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"testudo/internal/manifest"
)

func TestScan_TakesWhatIsSynchronised(t *testing.T) {
	h := newHome(t).write(
		"etc/client.keys", "001 a any k", "etc/ossec.conf", "x", "etc/other", "x", "etc/sub/client.keys", "x",
		"etc/rules/local_rules.xml", "<group/>\n", "etc/rules/deep/er/a.xml", "a", "etc/rules/.hidden", "h",
		"etc/rules/a.xml~", "x", "etc/rules/.a.xml.tmp", "x", "etc/rules/a.lock", "x", "etc/rules/a.swp", "x",
		"etc/shared/ar.conf", "x", "etc/shared/default/agent.conf", "c", "etc/shared/x.merged", "m",
		"etc/shared/dir.tmp/file", "in a directory with an excluded ending",
		"var/multigroups/ab/merged.mg", "m", "var/multigroups/ab/other", "x",
		"etc/lists/äö ü", "", "queue/db/global.db", "x", "etc/rulesx/a", "x",
	)
	s := scan(t, h.open())
	wantFiles(t, s.Manifest,
		"etc/client.keys", "etc/rules/local_rules.xml", "etc/rules/deep/er/a.xml", "etc/rules/.hidden",
		"etc/shared/default/agent.conf", "etc/shared/x.merged", "etc/shared/dir.tmp/file", "var/multigroups/ab/merged.mg", "etc/lists/äö ü")
	wantProblems(t, s.Unreadable)
	wantProblems(t, s.Directories)
	if s.Hashed != 9 || s.Took <= 0 {
		t.Errorf("hashed %d, took %v", s.Hashed, s.Took)
	}
	info, err := os.Stat(h.path("etc/rules/local_rules.xml"))
	h.must(err)
	e, _ := s.Manifest.Lookup("etc/rules/local_rules.xml")
	want := manifest.Entry{
		Path: "etc/rules/local_rules.xml", ItemKey: "etc/rules/", Digest: manifest.DigestOf([]byte("<group/>\n")), Size: 9,
		ModTime: float64(info.ModTime().Unix()) + 1e-9*float64(info.ModTime().Nanosecond()),
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestScan_MissingDirectoriesHoldNothing(t *testing.T) {
	h := home{t, t.TempDir()}
	s := scan(t, h.open(func(o *Options) { o.CacheFile = "" }))
	wantFiles(t, s.Manifest)
	wantProblems(t, s.Directories)
}

func TestScan_NothingChanged(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1", "etc/shared/g/b", "2", "etc/client.keys", "3")
	tree := h.open()
	first := scan(t, tree)
	for range 3 {
		again := scan(t, tree)
		if again.Manifest != first.Manifest || again.Hashed != 0 {
			t.Errorf("same manifest: %v, hashed %d", again.Manifest == first.Manifest, again.Hashed)
		}
	}
}

func TestScan_Changes(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1", "etc/rules/dir/b", "2", "etc/rules/dir/c", "3", "etc/lists/l", "4")
	tree := h.open()
	before := scan(t, tree)
	stamp := time.Date(2020, 1, 1, 0, 0, 0, 5000, time.UTC)
	steps := []struct {
		name   string
		change func()
		files  string
		hashed int
		same   bool // the same pointer
		sum    bool // the same sum
	}{
		{"content", func() { h.write("etc/rules/a", "11") }, "a dir/b dir/c", 1, false, false},
		{"touched", func() { h.must(os.Chtimes(h.path("etc/rules/a"), stamp, stamp)) }, "a dir/b dir/c", 1, false, true},
		{"content of the same size with its time put back", func() {
			h.write("etc/rules/a", "22")
			h.must(os.Chtimes(h.path("etc/rules/a"), stamp, stamp))
		}, "a dir/b dir/c", 1, false, false},
		{"mode", func() { h.must(os.Chmod(h.path("etc/rules/a"), 0o600)) }, "a dir/b dir/c", 1, true, true},
		{"new file", func() { h.write("etc/rules/dir/d", "5") }, "a dir/b dir/c dir/d", 1, false, false},
		{"new directory", func() { h.write("etc/rules/x/y/z", "6") }, "a dir/b dir/c dir/d x/y/z", 1, false, false},
		{"removed file", func() { h.remove("etc/rules/dir/b") }, "a dir/c dir/d x/y/z", 0, false, false},
		{"removed directory", func() { h.remove("etc/rules/x") }, "a dir/c dir/d", 0, false, false},
		{"an empty directory", func() { h.must(os.Mkdir(h.path("etc/rules/x"), 0o770)) }, "a dir/c dir/d", 0, true, true},
		{"an empty directory removed", func() { h.remove("etc/rules/x") }, "a dir/c dir/d", 0, true, true},
		{"renamed file", func() { h.must(os.Rename(h.path("etc/rules/dir/c"), h.path("etc/rules/c"))) }, "a c dir/d", 1, false, false},
		{"renamed directory", func() { h.must(os.Rename(h.path("etc/rules/dir"), h.path("etc/rules/dir2"))) }, "a c dir2/d", 1, false, false},
		{"replaced by the same content", func() {
			h.write("etc/rules/n", "5")
			h.must(os.Rename(h.path("etc/rules/n"), h.path("etc/rules/dir2/d")))
		}, "a c dir2/d", 1, false, true},
		{"a file becomes a directory", func() { h.remove("etc/rules/c"); h.write("etc/rules/c/e", "7") }, "a c/e dir2/d", 1, false, false},
		{"a directory becomes a file", func() { h.remove("etc/rules/c"); h.write("etc/rules/c", "7") }, "a c dir2/d", 1, false, false},
		{"the item's directory is gone", func() { h.remove("etc/rules") }, "", 0, false, false},
		{"and comes back", func() { h.write("etc/rules/a", "1") }, "a", 1, false, false},
		{"nothing", func() {}, "a", 0, true, true},
	}
	for _, step := range steps {
		step.change()
		s := scan(t, tree)
		var want []string
		for _, name := range strings.Fields(step.files) {
			want = append(want, "etc/rules/"+name)
		}
		t.Run(step.name, func(t *testing.T) {
			wantFiles(t, s.Manifest, append(want, "etc/lists/l")...)
			wantProblems(t, s.Unreadable)
			if s.Hashed != step.hashed {
				t.Errorf("hashed %d, want %d", s.Hashed, step.hashed)
			}
			if same := s.Manifest == before.Manifest; same != step.same {
				t.Errorf("same manifest: %v", same)
			}
			if same := s.Manifest.Sum() == before.Manifest.Sum(); same != step.sum {
				t.Errorf("same sum: %v", same)
			}
		})
		before = s
	}
}

func TestScan_Links(t *testing.T) {
	h := newHome(t).write("etc/rules/real", "1", "outside/file", "2", "outside/dir/x", "3")
	h.link("real", "etc/rules/near")
	h.link("../../outside/file", "etc/rules/far")
	h.link(h.path("outside/dir"), "etc/rules/dir")
	h.link("nowhere", "etc/rules/dangling")
	h.link("loop", "etc/rules/loop")
	tree := h.open()
	s := scan(t, tree)
	wantFiles(t, s.Manifest, "etc/rules/real", "etc/rules/near", "etc/rules/far")
	wantProblems(t, s.Unreadable, "etc/rules/dangling: following the link: no such file", "etc/rules/loop: following the link: too many levels")
	if e, _ := s.Manifest.Lookup("etc/rules/far"); e.Digest != manifest.DigestOf([]byte("2")) || e.Size != 1 {
		t.Errorf("far: %+v", e)
	}
	// The state of what the link leads to counts, not that of the link.
	h.write("outside/file", "22")
	s = scan(t, tree)
	if e, _ := s.Manifest.Lookup("etc/rules/far"); e.Digest != manifest.DigestOf([]byte("22")) || s.Hashed != 1 {
		t.Errorf("after a change: %+v, hashed %d", e, s.Hashed)
	}
	h.remove("outside/file")
	s = scan(t, tree)
	wantFiles(t, s.Manifest, "etc/rules/real", "etc/rules/near")
	h.write("etc/rules/nowhere", "4")
	s = scan(t, tree)
	wantFiles(t, s.Manifest, "etc/rules/real", "etc/rules/near", "etc/rules/nowhere", "etc/rules/dangling")
}

func TestScan_ItemDirectoryThroughALink(t *testing.T) {
	h := newHome(t)
	elsewhere := t.TempDir()
	h.must(os.WriteFile(filepath.Join(elsewhere, "a"), []byte("1"), 0o600))
	h.remove("etc/lists")
	h.link(elsewhere, "etc/lists")
	wantFiles(t, scan(t, h.open()).Manifest, "etc/lists/a")
}

func TestScan_SpecialFilesAreReportedAndNotOpened(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1")
	h.fifo("etc/rules/pipe")
	h.fifo("etc/rules/pipe.swp") // excluded
	h.link("pipe", "etc/rules/to-pipe")
	h.link("/dev/zero", "etc/rules/to-device")
	tree := h.open()
	for range 2 {
		s := scan(t, tree)
		wantFiles(t, s.Manifest, "etc/rules/a")
		wantProblems(t, s.Unreadable, "etc/rules/pipe: not a regular file", "etc/rules/to-pipe: not a regular file",
			"etc/rules/to-device: not a regular file")
	}
}

func TestScan_NamesThatCannotTravel(t *testing.T) {
	h := newHome(t).write("etc/rules/good", "1", "etc/rules/new\nline", "2", "etc/rules/\xff\xfe", "3", "etc/rules/d\x1b/file", "4")
	tree := h.open()
	for range 2 {
		s := scan(t, tree)
		wantFiles(t, s.Manifest, "etc/rules/good")
		wantProblems(t, s.Unreadable, `etc/rules/new\nline: control character`, `etc/rules/\xff\xfe: not valid UTF-8`,
			`etc/rules/d\x1b: control character`)
	}
}

func TestScan_WithoutPermission(t *testing.T) {
	h := newHome(t).write("etc/rules/open", "1", "etc/rules/closed", "2", "etc/shared/g/c", "3", "etc/lists/l", "4")
	unprivileged(h)
	tree := h.open()
	before := scan(t, tree)
	wantProblems(t, before.Unreadable)
	h.must(os.Chmod(h.path("etc/rules/closed"), 0))
	h.must(os.Chmod(h.path("etc/shared/g"), 0))
	h.must(os.Chmod(h.path("etc/lists"), 0))
	t.Cleanup(func() {
		os.Chmod(h.path("etc/shared/g"), 0o700)
		os.Chmod(h.path("etc/lists"), 0o700)
	})
	for range 2 {
		s := scan(t, tree)
		wantFiles(t, s.Manifest, "etc/rules/open")
		wantProblems(t, s.Unreadable, "etc/rules/closed: permission denied")
		wantProblems(t, s.Directories, "etc/shared/g: permission denied", "etc/lists: permission denied")
		// A worker that has them must keep them.
		if d := s.Spare(manifest.Compare(s.Manifest, before.Manifest)); !d.Empty() {
			t.Errorf("the worker would be told %+v", d)
		}
	}
	h.must(os.Chmod(h.path("etc/rules/closed"), 0o600))
	wantFiles(t, scan(t, tree).Manifest, "etc/rules/open", "etc/rules/closed")
}

func TestScan_TooDeep(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1")
	deep := "etc/rules" + strings.Repeat("/d", maxDepth+1)
	h.write(deep+"/x", "1", filepath.Dir(deep)+"/y", "2")
	s := scan(t, h.open())
	wantFiles(t, s.Manifest, "etc/rules/a", filepath.Dir(deep)+"/y")
	wantProblems(t, s.Directories, deep+": too many directories")
}

func TestScan_NestedItems(t *testing.T) {
	h := newHome(t).write("data/a", "1", "data/sub/only", "2", "data/sub/other", "3", "data/sub/x/only", "4")
	items := manifest.Items{List: []manifest.Item{
		{Key: "data/", Mode: 0o600, Files: []string{manifest.AllFiles}, Recursive: true},
		{Key: "data/sub/", Mode: 0o600, Files: []string{"only"}},
	}}
	s := scan(t, h.open(func(o *Options) { o.Items = items }))
	got := map[string]string{}
	for _, e := range s.Manifest.Entries() {
		got[e.Path] = e.ItemKey
	}
	want := map[string]string{"data/a": "data/", "data/sub/only": "data/sub/", "data/sub/other": "data/", "data/sub/x/only": "data/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// meddler changes something each time a hashing asks whether it is to end: after
// it looked at the file, before it reads.
type meddler struct {
	context.Context
	meddle func()
}

func (m meddler) Err() error {
	if _, file, _, _ := runtime.Caller(1); filepath.Base(file) == "hash.go" {
		m.meddle()
	}
	return nil
}

func TestScan_EndsWithItsContext(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1", "etc/shared/g/b", "2")
	tree := h.open()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tree.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	wantFiles(t, scan(t, tree).Manifest, "etc/rules/a", "etc/shared/g/b")
}

func TestScan_AfterOneThatWasBrokenOff(t *testing.T) {
	for _, after := range []int{1, 2, 3, 5, 8} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			h := newHome(t).write("etc/rules/a", "1", "etc/rules/b", "2", "etc/shared/g/c", "3")
			tree := h.open(func(o *Options) { o.Workers = 1 })
			scan(t, tree)
			h.write("etc/rules/a", "11", "etc/rules/d", "4", "etc/shared/h/e", "5").remove("etc/rules/b")
			ctx, cancel := context.WithCancel(context.Background())
			var n atomic.Int32
			_, err := tree.Scan(counting{ctx, func() {
				if n.Add(1) == int32(after) {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			s := scan(t, tree)
			wantFiles(t, s.Manifest, "etc/rules/a", "etc/rules/d", "etc/shared/g/c", "etc/shared/h/e")
			if e, _ := s.Manifest.Lookup("etc/rules/a"); e.Digest != manifest.DigestOf([]byte("11")) {
				t.Error("a has its old digest")
			}
		})
	}
}

// counting calls f each time the scan looks whether it is to end.
type counting struct {
	context.Context
	f func()
}

func (c counting) Err() error {
	c.f()
	return c.Context.Err()
}

// Whatever happens to the files, a scan that knows the past finds what one that
// knows nothing finds.
func TestScan_EqualsAFreshScan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHome(t)
		defer os.RemoveAll(h.dir)
		tree := h.open()
		defer tree.Close()
		name := rapid.StringMatching(`etc/(rules|shared)(/[ab]){1,3}`)
		for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 4).Draw(rt, "changes") {
				path := h.path(name.Draw(rt, "path"))
				switch rapid.SampledFrom([]string{"write", "remove", "mkdir", "rename", "link", "fifo"}).Draw(rt, "change") {
				case "write":
					os.MkdirAll(filepath.Dir(path), 0o770)
					content := rapid.SampledFrom([]string{"1", "2", "three"}).Draw(rt, "content")
					if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o660); err == nil {
						f.WriteString(content)
						f.Close()
					}
				case "remove":
					if _, err := os.Lstat(path); err == nil { // RemoveAll waits in a FIFO above
						os.RemoveAll(path)
					}
				case "mkdir":
					os.MkdirAll(path, 0o770)
				case "rename":
					os.Rename(path, h.path(name.Draw(rt, "to")))
				case "link":
					os.Symlink(h.path(name.Draw(rt, "target")), path)
				case "fifo":
					syscall.Mkfifo(path, 0o600)
				}
			}
			s := scan(rt, tree)
			fresh := h.open(func(o *Options) { o.CacheFile = "" })
			f := scan(rt, fresh)
			fresh.Close()
			if diff := cmp.Diff(f.Manifest.Entries(), s.Manifest.Entries(), cmpopts.EquateEmpty()); diff != "" {
				rt.Fatal(diff)
			}
			if len(f.Unreadable) != len(s.Unreadable) || len(f.Directories) != len(s.Directories) {
				rt.Fatalf("problems: fresh %v %v, known %v %v", f.Unreadable, f.Directories, s.Unreadable, s.Directories)
			}
		}
	})
}
