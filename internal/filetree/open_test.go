package filetree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"testudo/internal/manifest"
)

func TestOpenFile(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "1", "etc/rules/dir/b", "2", "outside/x", "3", "etc/ossec.conf", "secret")
	h.link("a", "etc/rules/near")
	h.link(h.path("outside/x"), "etc/rules/far")
	h.link(h.path("outside"), "etc/rules/out")
	h.link("dir", "etc/rules/dir2")
	h.fifo("etc/rules/pipe")
	h.link("pipe", "etc/rules/to-pipe")
	elsewhere := home{t, t.TempDir()}.write("l", "4")
	h.remove("etc/lists")
	h.link(elsewhere.dir, "etc/lists")
	for _, slow := range []bool{false, true} {
		tree := h.open()
		if slow {
			tree.forbidBeneath()
		}
		for path, want := range map[string]string{
			"etc/rules/a": "1", "etc/rules/dir/b": "2", "etc/rules/near": "1", "etc/rules/far": "3", "etc/lists/l": "4",
		} {
			f, err := tree.OpenFile(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			content, err := io.ReadAll(f)
			if string(content) != want || err != nil {
				t.Errorf("%s: %q, %v", path, content, err)
			}
			if first, second := f.Close(), f.Close(); first != nil || !errors.Is(second, fs.ErrClosed) {
				t.Errorf("%s: closing: %v, again: %v", path, first, second)
			}
		}
		for path, want := range map[string]error{
			"etc/rules/pipe": ErrNotRegular, "etc/rules/to-pipe": ErrNotRegular, "etc/rules/dir": ErrNotRegular,
			"etc/rules/absent": fs.ErrNotExist, "etc/rules/out/x": syscall.ENOTDIR, "etc/rules/dir2/b": syscall.ENOTDIR,
			"etc/rules/a/b": syscall.ENOTDIR, "etc/decoders/none/x": fs.ErrNotExist,
		} {
			f, err := tree.OpenFile(path)
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
			if f != nil {
				f.Close()
			}
		}
		for _, path := range []string{"etc/ossec.conf", "../x", "/etc/passwd", "etc/rules/../ossec.conf", "outside/x", ""} {
			var pe *manifest.PathError
			if _, err := tree.OpenFile(path); !errors.As(err, &pe) {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
}

func TestOpen_HomeMustBeThere(t *testing.T) {
	if _, err := Open(t.TempDir()+"/absent", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	h := home{t, t.TempDir()}.write("file", "")
	if _, err := Open(h.path("file"), Options{}); err == nil {
		t.Error("a file was taken for a home")
	}
	t.Chdir(h.dir)
	h.must(os.MkdirAll("etc/rules", 0o770))
	h.write("etc/rules/a", "1")
	tree, err := Open(".", Options{Items: manifest.DefaultItems()})
	h.must(err)
	defer tree.Close()
	t.Chdir("/")
	wantFiles(t, scan(t, tree).Manifest, "etc/rules/a")
}
