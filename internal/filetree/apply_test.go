package filetree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"testudo/internal/manifest"
)

// pair is a master's and a worker's home.
type pair struct {
	master, worker home
	from, to       *Tree
	round          int
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{master: newHome(t), worker: newHome(t)}
	p.from, p.to = p.master.open(), p.worker.open()
	return p
}

// sync does one round: the worker becomes what the master is.
func (p *pair) sync(t tester) Applied {
	t.Helper()
	d := manifest.Compare(scan(t, p.from).Manifest, scan(t, p.to).Manifest)
	p.round++
	stage, err := p.to.NewStage(fmt.Sprintf("queue/cluster/w1/%ddir", p.round))
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range [][]manifest.Entry{d.Missing, d.Shared} {
		for _, e := range class {
			f, err := p.from.OpenFile(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stage.Put(e.Path, f); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	done, err := stage.Apply(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	return done
}

// converge does one round and checks that nothing is left to do, and that what
// was written need not be read.
func (p *pair) converge(t tester) Applied {
	t.Helper()
	done := p.sync(t)
	wantProblems(t, done.Problems)
	after := scan(t, p.to)
	if d := manifest.Compare(scan(t, p.from).Manifest, after.Manifest); !d.Empty() {
		t.Errorf("still different: %+v", d)
	}
	if after.Hashed != 0 {
		t.Errorf("hashed %d of the files just written", after.Hashed)
	}
	return done
}

func TestApply_CreatesUpdatesAndRemoves(t *testing.T) {
	p := newPair(t)
	p.master.write("etc/client.keys", "001", "etc/rules/same", "1", "etc/rules/changed", "new", "etc/rules/new/deep/file", "2", "etc/shared/g/big", strings.Repeat("x", 3*blockSize+1), "etc/lists/empty", "")
	p.worker.write("etc/rules/same", "1", "etc/rules/changed", "old", "etc/rules/gone", "3", "etc/shared/old/gone", "4")
	done := p.converge(t)
	if done.Created != 4 || done.Updated != 1 || done.Removed != 2 {
		t.Errorf("%+v", done)
	}
	for path, mode := range map[string]fs.FileMode{
		"etc/client.keys": 0o640, "etc/rules/changed": 0o660, "etc/shared/g/big": 0o660, "etc/rules/new/deep": 0o770 | fs.ModeDir, "etc/shared/g": 0o770 | fs.ModeDir,
	} {
		if info, err := os.Stat(p.worker.path(path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, mode)
		}
	}
	if p.worker.exists("etc/shared/old") || !p.worker.exists("queue/cluster/w1") || p.worker.exists("queue/cluster/w1/1dir") {
		t.Error("directories left or gone")
	}
}

func TestApply_ModesWhateverTheMask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	p := newPair(t)
	p.worker.remove("etc/lists").remove("var")
	p.master.write("etc/lists/a/b", "1", "var/multigroups/g/merged.mg", "2")
	p.converge(t)
	for path, mode := range map[string]fs.FileMode{"etc/lists": 0o770, "etc/lists/a": 0o770, "etc/lists/a/b": 0o660, "var": 0o770, "var/multigroups/g": 0o770} {
		if info, err := os.Stat(p.worker.path(path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, want %v", path, info.Mode(), mode)
		}
	}
}

func TestApply_Owner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files can only be given away by root")
	}
	p := newPair(t)
	p.master.write("etc/rules/dir/a", "1")
	p.to = p.worker.open(func(o *Options) { o.UID, o.GID = 12345, 54321 })
	p.converge(t)
	for _, path := range []string{"etc/rules/dir", "etc/rules/dir/a"} {
		info, err := os.Stat(p.worker.path(path))
		p.worker.must(err)
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 54321 {
			t.Errorf("%s: %d:%d", path, st.Uid, st.Gid)
		}
	}
}

// What stands in the way of a file or directory is gone after one round.
func TestApply_InTheWay(t *testing.T) {
	cases := map[string]struct {
		master []string
		worker func(home)
	}{
		"a directory where a file is to be": {[]string{"etc/rules/x", "1"}, func(h home) { h.write("etc/rules/x/a", "2", "etc/rules/x/y/b", "3") }},
		"an empty directory":                {[]string{"etc/rules/x", "1"}, func(h home) { h.must(os.MkdirAll(h.path("etc/rules/x/y/z"), 0o770)) }},
		"a directory of excluded files":     {[]string{"etc/shared/x", "1"}, func(h home) { h.write("etc/shared/x/ar.conf", "2", "etc/shared/x/y/ar.conf", "3") }},
		"a file where a directory is to be": {[]string{"etc/rules/x/y/a", "1"}, func(h home) { h.write("etc/rules/x", "2") }},
		"files and directories crosswise": {[]string{"etc/rules/x/a", "1", "etc/rules/y", "2"},
			func(h home) { h.write("etc/rules/x", "3", "etc/rules/y/b", "4") }},
		"a link to a file, for a file":       {[]string{"etc/rules/x", "1"}, func(h home) { h.write("o", "2").link(h.path("o"), "etc/rules/x") }},
		"a link to a file, for a directory":  {[]string{"etc/rules/x/a", "1"}, func(h home) { h.write("o", "2").link(h.path("o"), "etc/rules/x") }},
		"a link to a directory, for a file":  {[]string{"etc/rules/x", "1"}, func(h home) { h.write("o/a", "2").link(h.path("o"), "etc/rules/x") }},
		"a link to a directory, for one":     {[]string{"etc/rules/x/a", "1"}, func(h home) { h.write("o/a", "2").link(h.path("o"), "etc/rules/x") }},
		"a link to a directory further up":   {[]string{"etc/rules/x/y/a", "1"}, func(h home) { h.write("o/y/a", "2").link(h.path("o"), "etc/rules/x") }},
		"a link that leads nowhere":          {[]string{"etc/rules/x/a", "1"}, func(h home) { h.link("nowhere", "etc/rules/x") }},
		"a FIFO, for a file":                 {[]string{"etc/rules/x", "1"}, func(h home) { h.fifo("etc/rules/x") }},
		"a FIFO, for a directory":            {[]string{"etc/rules/x/a", "1"}, func(h home) { h.fifo("etc/rules/x") }},
		"a file with the mode 0":             {[]string{"etc/rules/x", "1"}, func(h home) { h.write("etc/rules/x", "2"); h.must(os.Chmod(h.path("etc/rules/x"), 0)) }},
		"a directory below one that is gone": {[]string{"etc/shared/x", "1"}, func(h home) { h.write("etc/shared/x/y/a", "2", "etc/shared/x/ar.conf", "3", "etc/shared/x/b", "3") }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.master.write(c.master...)
			c.worker(p.worker)
			for _, outside := range []string{"o", "o/a", "o/y/a"} {
				if info, err := os.Stat(p.worker.path(outside)); err == nil && !info.IsDir() {
					defer func() {
						if p.worker.content(outside) != "2" {
							t.Errorf("%s outside was changed", outside)
						}
					}()
				}
			}
			p.converge(t)
		})
	}
}

func TestApply_WhatIsNotSynchronisedStays(t *testing.T) {
	p := newPair(t)
	p.master.write("etc/rules/x", "1", "etc/shared/ar.conf/file", "2", "etc/rules/fine", "3")
	p.worker.write("etc/rules/x/a", "4", "etc/rules/x/editing.swp", "5", "etc/shared/ar.conf", "6")
	done := p.sync(t)
	wantProblems(t, done.Problems, `etc/rules/x: something that is not synchronised is in the way: "editing.swp"`,
		`etc/shared/ar.conf/file: something that is not synchronised is in the way: file "etc/shared/ar.conf"`)
	if !errors.Is(done.Problems[0].Err, ErrInTheWay) || done.Problems[0].Class != ClassMissing {
		t.Errorf("%+v", done.Problems)
	}
	if p.worker.content("etc/rules/x/editing.swp") != "5" || p.worker.content("etc/shared/ar.conf") != "6" || p.worker.content("etc/rules/fine") != "3" {
		t.Error("something else was touched")
	}
}

func TestApply_EmptiedDirectories(t *testing.T) {
	p := newPair(t)
	p.master.write("etc/shared/stay/a", "1")
	p.worker.write(
		"etc/shared/stay/a", "1", "etc/shared/stay/b", "2", // keeps a file
		"etc/shared/empty/a", "1", // goes
		"etc/shared/nest/deep/er/a", "1", // goes, with those above
		"etc/shared/excluded/a", "1", "etc/shared/excluded/ar.conf", "x", // goes
		"etc/shared/edited/a", "1", "etc/shared/edited/.a.swp", "x", // stays for the file
		"etc/shared/parent/a", "1", "etc/shared/parent/child/b", "2", // goes, whatever the order
		"etc/rules/empty/a", "1", // stays: rules keep their directories
		"var/multigroups/g/merged.mg", "1", // goes, var/multigroups stays
	)
	p.worker.must(os.MkdirAll(p.worker.path("etc/shared/withdir/d"), 0o770))
	p.worker.write("etc/shared/withdir/a", "1")
	p.converge(t)
	for path, want := range map[string]bool{
		"etc/shared/stay/a": true, "etc/shared/stay/b": false, "etc/shared/empty": false, "etc/shared/nest": false,
		"etc/shared/excluded": false, "etc/shared/edited/.a.swp": true, "etc/shared/edited/a": false, "etc/shared/parent": false,
		"etc/rules/empty": true, "etc/rules/empty/a": false, "var/multigroups": true, "var/multigroups/g": false, "etc/shared/withdir/d": true,
	} {
		if p.worker.exists(path) != want {
			t.Errorf("%s: exists %v", path, !want)
		}
	}
	// When everything goes, the item's own directory stays.
	p.master.remove("etc/shared/stay")
	p.converge(t)
	if !p.worker.exists("etc/shared") {
		t.Error("etc/shared is gone")
	}
}

func TestApply_ABadEntryDoesNotStopTheRest(t *testing.T) {
	h := newHome(t).write("etc/rules/changed", "old", "etc/rules/extra", "1", "etc/ossec.conf", "secret", "bin/x", "1", "etc/rules/twice", "1")
	tree := h.open()
	entry := func(path, content string) manifest.Entry {
		return manifest.Entry{Path: path, ItemKey: "etc/rules/", Digest: manifest.DigestOf([]byte(content))}
	}
	key := func(e manifest.Entry, key string) manifest.Entry { e.ItemKey = key; return e }
	stage, err := tree.NewStage("queue/cluster/w1/x")
	h.must(err)
	defer stage.Close()
	for path, content := range map[string]string{
		"etc/rules/good": "1", "etc/rules/changed": "garbled", "etc/rules/key": "1", "etc/rules/twice": "2", "etc/rules/new": "1",
	} {
		if _, err := stage.Put(path, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := stage.Apply(context.Background(), manifest.Difference{
		Missing: []manifest.Entry{
			entry("etc/rules/absent", "1"), entry("etc/rules/good", "1"), key(entry("etc/rules/key", "1"), "etc/lists/"),
			key(entry("etc/rules/key", "1"), "nonsense"), entry("../outside", "1"), entry("/etc/passwd", "1"), entry("etc/ossec.conf", "1"),
			entry("etc/rules/../../x", "1"), entry("etc/rules/a\x00b", "1"), entry("etc/rules/x.tmp", "1"), entry("etc/rules/twice", "2"),
			entry("etc/rules/new", "1"), entry("etc/rules/new", "1"),
		},
		Extra: []manifest.Entry{
			entry("bin/x", ""), key(entry("etc/ossec.conf", ""), "etc/"), entry("etc/rules/extra", ""), entry("etc/rules/not-there", ""),
			entry("etc/rules/no/dir", ""), entry("etc/rules/twice", ""), entry("etc/rules/../../queue/db", ""),
		},
		Shared: []manifest.Entry{entry("etc/rules/changed", "new")},
	})
	h.must(err)
	if done.Created != 3 || done.Removed != 1 || done.Updated != 0 {
		t.Errorf("%+v", done)
	}
	wantProblems(t, done.Problems,
		"etc/rules/absent: content did not come", "etc/rules/key: outside the directory", "etc/rules/key: unknown cluster_item_key",
		"../outside: upwards", "/etc/passwd: absolute", "etc/ossec.conf: outside the directory", "etc/rules/../../x: upwards",
		`etc/rules/a\x00b: control`, "etc/rules/x.tmp: excluded", "etc/rules/new: twice",
		"bin/x: outside", "etc/ossec.conf: not among", "etc/rules/twice: twice", "etc/rules/../../queue/db: upwards",
		"etc/rules/changed: not the one announced")
	if h.content("etc/rules/changed") != "old" || h.content("etc/ossec.conf") != "secret" || h.content("etc/rules/twice") != "2" || h.content("bin/x") != "1" {
		t.Error("something was changed")
	}
}

func TestApply_NeverLeavesTheHome(t *testing.T) {
	p := newPair(t)
	outside := home{t, t.TempDir()}.write("a", "mine")
	p.worker.remove("etc/rules").remove("etc/lists").write("etc/elsewhere/x", "1")
	p.worker.link(outside.dir, "etc/rules")
	p.worker.link("elsewhere", "etc/lists") // stays inside
	p.worker.link(outside.dir, "etc/decoders/out")
	p.worker.link("../decoders", "etc/shared/over")
	p.master.write("etc/rules/a", "theirs", "etc/rules/b", "theirs", "etc/lists/l", "1", "etc/decoders/out/a", "theirs", "etc/shared/over/c", "1")
	done := p.sync(t)
	wantProblems(t, done.Problems, "etc/rules/a: path escapes", "etc/rules/b: path escapes")
	if outside.content("a") != "mine" || outside.exists("b") {
		t.Error("written outside")
	}
	if p.worker.content("etc/elsewhere/l") != "1" || p.worker.content("etc/decoders/out/a") != "theirs" || p.worker.exists("etc/decoders/c") {
		t.Error("not written inside")
	}
	// Nor is anything removed there.
	p.master.remove("etc/rules/a").remove("etc/rules/b")
	wantProblems(t, p.sync(t).Problems, "etc/rules/a: path escapes")
	if !outside.exists("a") {
		t.Error("removed outside")
	}
}

func TestApply_EndsWithItsContext(t *testing.T) {
	h := newHome(t).write("etc/rules/extra", "1")
	tree := h.open()
	stage, err := tree.NewStage("queue/cluster/x")
	h.must(err)
	defer stage.Close()
	_, err = stage.Put("etc/rules/a", strings.NewReader("1"))
	h.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done, err := stage.Apply(ctx, manifest.Difference{
		Missing: []manifest.Entry{{Path: "etc/rules/a", ItemKey: "etc/rules/", Digest: manifest.DigestOf([]byte("1"))}},
		Extra:   []manifest.Entry{{Path: "etc/rules/extra", ItemKey: "etc/rules/"}},
	})
	if !errors.Is(err, context.Canceled) || done.Created+done.Removed != 0 || h.exists("etc/rules/a") || !h.exists("etc/rules/extra") {
		t.Errorf("%+v %v", done, err)
	}
}

// Whatever the two trees hold, one round makes the worker's equal to the
// master's.
func TestApply_OneRoundIsEnough(t *testing.T) {
	name := rapid.StringMatching(`etc/(rules|shared)(/[abc]){1,3}`)
	content := rapid.SampledFrom([]string{"", "1", "2"})
	rapid.Check(t, func(rt *rapid.T) {
		p := newPair(t)
		p.worker.write("o/file", "2")
		defer func() {
			p.from.Close()
			p.to.Close()
		}()
		for _, h := range []home{p.master, p.worker} {
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				path := h.path(name.Draw(rt, "path"))
				for up := filepath.Dir(path); up != h.dir; up = filepath.Dir(up) {
					if info, err := os.Lstat(up); err == nil && !info.IsDir() {
						os.Remove(up)
					}
				}
				os.RemoveAll(path)
				os.MkdirAll(filepath.Dir(path), 0o770)
				switch kind := rapid.SampledFrom([]string{"file", "file", "file", "nothing", "directory", "excluded", "link"}).Draw(rt, "kind"); {
				case kind == "file":
					h.must(os.WriteFile(path, []byte(content.Draw(rt, "content")), 0o660))
				case kind == "directory":
					h.must(os.Mkdir(path, 0o770))
				case kind == "excluded":
					h.must(os.Mkdir(path, 0o770))
					h.must(os.WriteFile(path+"/ar.conf", nil, 0o660))
				case kind == "link" && h == p.worker:
					h.must(os.Symlink(h.path(rapid.SampledFrom([]string{"o", "o/file", "o/none"}).Draw(rt, "target")), path))
				}
			}
		}
		p.converge(rt)
	})
}

func FuzzApply(f *testing.F) {
	f.Add("etc/rules/a", "etc/rules/", "etc/rules/b", "x")
	f.Add("etc/rules/../../outside", "etc/rules/", "etc/rules/out/file", "x")
	f.Add("etc/rules/out/file", "etc/rules/", "/outside/file", "x")
	h := newHome(f).write("outside/file", "mine")
	h.link(h.path("outside"), "etc/rules/out")
	h.link("../../outside", "etc/shared/out")
	tree := h.open()
	n := 0
	f.Fuzz(func(t *testing.T, path, key, extra, content string) {
		n++
		stage, err := tree.NewStage(fmt.Sprintf("queue/cluster/%d", n))
		if err != nil {
			t.Fatal(err)
		}
		defer stage.Close()
		stage.Put(path, strings.NewReader(content))
		entry := manifest.Entry{Path: path, ItemKey: key, Digest: manifest.DigestOf([]byte(content))}
		_, err = stage.Apply(context.Background(), manifest.Difference{
			Missing: []manifest.Entry{entry}, Extra: []manifest.Entry{{Path: extra, ItemKey: key}},
		})
		if err != nil {
			t.Fatal(err)
		}
		left, _ := os.ReadDir(h.dir)
		mine, _ := os.ReadFile(h.path("outside/file"))
		if len(left) != 4 || string(mine) != "mine" {
			t.Fatalf("changed outside: %v %q", left, mine)
		}
	})
}
