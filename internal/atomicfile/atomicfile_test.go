package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
)

var keep = Options{Mode: 0o640, UID: Keep, GID: Keep}

func openRoot(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// holds demands that dir holds exactly these files with these contents.
func holds(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		want, ok := files[e.Name()]
		if !ok {
			t.Errorf("%s is left", e.Name())
			continue
		}
		if got, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", e.Name(), got, err, want)
		}
		delete(files, e.Name())
	}
	if len(files) > 0 {
		t.Errorf("missing: %v", files)
	}
}

func TestWrite_NewAndReplaced(t *testing.T) {
	root, dir := openRoot(t)
	for _, text := range []string{"first", "second, longer", ""} {
		for _, sync := range []bool{false, true} {
			o := keep
			o.Sync = sync
			if err := Write(root, "f", []byte(text), o); err != nil {
				t.Fatal(err)
			}
			holds(t, dir, map[string]string{"f": text})
		}
	}
	if info, _ := os.Stat(filepath.Join(dir, "f")); info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestWrite_ModeOfTheFileReplaced(t *testing.T) {
	root, dir := openRoot(t)
	o := Options{UID: Keep, GID: Keep}
	if err := Write(root, "f", nil, o); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f")
	if info, _ := os.Stat(name); info.Mode() != 0o600 {
		t.Errorf("new file has mode %v", info.Mode())
	}
	if err := os.Chmod(name, 0o664); err != nil {
		t.Fatal(err)
	}
	if err := Write(root, "f", nil, o); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(name); info.Mode() != 0o664 {
		t.Errorf("replaced file has mode %v", info.Mode())
	}
}

func owner(t *testing.T, name string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return s.Uid, s.Gid
}

func TestWrite_Owner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	root, dir := openRoot(t)
	steps := []struct {
		uid, gid         int
		wantUID, wantGID uint32
	}{
		{Keep, Keep, 0, 0}, {1234, 2345, 1234, 2345}, {Keep, Keep, 1234, 2345}, {Keep, 7, 1234, 7}, {0, Keep, 0, 7},
	}
	for _, s := range steps {
		if err := Write(root, "f", []byte("x"), Options{Mode: 0o600, UID: s.uid, GID: s.gid}); err != nil {
			t.Fatal(err)
		}
		if uid, gid := owner(t, filepath.Join(dir, "f")); uid != s.wantUID || gid != s.wantGID {
			t.Errorf("asked %d:%d, owner is %d:%d, want %d:%d", s.uid, s.gid, uid, gid, s.wantUID, s.wantGID)
		}
	}
}

func TestWriteFrom_FailureLeavesNoTrace(t *testing.T) {
	broken := errors.New("cut off")
	tests := []struct {
		name   string
		target string
		r      io.Reader
		want   error
	}{
		{"reader fails at once", "f", iotest.ErrReader(broken), broken},
		{"reader fails late", "f", io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(broken)), broken},
		{"target is a directory", "d", strings.NewReader("x"), nil},
		{"no such directory", "no/f", strings.NewReader("x"), fs.ErrNotExist},
		{"outside", "../f", strings.NewReader("x"), nil},
		{"absolute", "/tmp/f", strings.NewReader("x"), nil},
		{"empty name", "", strings.NewReader("x"), nil},
		{"the root itself", ".", strings.NewReader("x"), nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			root, dir := openRoot(t)
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := WriteFrom(root, tc.target, tc.r, keep)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if err := os.Remove(filepath.Join(dir, "d")); err != nil {
				t.Error(err) // a trace in it
			}
			holds(t, dir, map[string]string{"f": "before"})
		})
	}
}

// What goes wrong again is told in the same words, without a name made up for once.
func TestWrite_FailuresAreAlike(t *testing.T) {
	root, _ := openRoot(t)
	want := "write file no/f: no such file or directory"
	for range 2 {
		if err := Write(root, "no/f", nil, keep); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for doing, err := range map[string]error{
		"write":  &fs.PathError{Op: "write", Path: "/home/d/.f.ABCDEFGHIJKL.tmp~", Err: syscall.ENOSPC},
		"rename": &os.LinkError{Op: "renameat", Old: "d/.f.ABCDEFGHIJKL.tmp~", New: "d/f", Err: syscall.ENOSPC},
	} {
		if got := nameless(err, "d/.f.ABCDEFGHIJKL.tmp~"); got != syscall.ENOSPC { //nolint:errorlint // nothing around it
			t.Errorf("%s: %v", doing, got)
		}
	}
	if err := error(&fs.PathError{Op: "read", Path: "source", Err: syscall.EIO}); nameless(err, "f.tmp~") != err { //nolint:errorlint // the very same
		t.Error("the name of what is read is lost")
	}
}

func TestWrite_LinksLeadNowhereElse(t *testing.T) {
	root, dir := openRoot(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"file": filepath.Join(outside, "f"), "dir": outside} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(root, "dir/f", []byte("ours"), keep); err == nil {
		t.Error("wrote through a link that leaves the root")
	}
	if err := Write(root, "file", []byte("ours"), keep); err != nil {
		t.Fatal(err)
	}
	holds(t, outside, map[string]string{"f": "theirs"})
	if info, _ := os.Lstat(filepath.Join(dir, "file")); !info.Mode().IsRegular() {
		t.Error("the link was not replaced")
	}
}

func TestWrite_LongestName(t *testing.T) {
	root, dir := openRoot(t)
	name := strings.Repeat("é", 127) + "x"
	if err := Write(root, name, []byte("x"), keep); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{name: "x"})
}

// A reader sees the old content or the new one, never a mixture.
func TestWrite_ReadersSeeWholeFiles(t *testing.T) {
	root, dir := openRoot(t)
	content := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n%26)}, 1000+n) }
	if err := Write(root, "f", content(0), keep); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 50 {
				if err := Write(root, "f", content(w*50+n), keep); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil || len(got) < 1000 || !bytes.Equal(got, content(len(got)-1000)) {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
	}
	wg.Wait()
	holds(t, dir, map[string]string{"f": string(must(os.ReadFile(filepath.Join(dir, "f"))))})
}

func must(data []byte, err error) []byte {
	if err != nil {
		return []byte(fmt.Sprint(err))
	}
	return data
}

func TestIsTemporary(t *testing.T) {
	for _, base := range []string{"client.keys", "x", strings.Repeat("y", 300), ".hidden"} {
		if name := temporaryName(base); !IsTemporary(name) || len(name) > maxName {
			t.Errorf("%q is not known as temporary", name)
		}
	}
	for _, base := range []string{"", ".", "client.keys", ".tmp~", ".x.tmp~", "x.ABCDEFGHIJKL.tmp~", ".x.ABCDEFGHIJK1.tmp~", ".x.ABCDEFGHIJKL.tmp"} {
		if IsTemporary(base) {
			t.Errorf("%q is taken for temporary", base)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	root, err := os.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	data := make([]byte, 2048)
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(root, "f", data, keep); err != nil {
			b.Fatal(err)
		}
	}
}
