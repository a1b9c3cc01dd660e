package filetree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"testudo/internal/manifest"
)

func TestApply_AcrossFileSystems(t *testing.T) {
	p := newPair(t)
	other, err := os.MkdirTemp("/dev/shm", "filetree")
	if err != nil {
		t.Skip("no second file system: /dev/shm")
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	p.worker.remove("queue")
	p.worker.link(other, "queue")
	p.to.setWindow(0)
	long := "etc/rules/" + strings.Repeat("n", 255)
	p.master.write("etc/client.keys", "001", "etc/rules/a", "1", "etc/rules/dir/b", strings.Repeat("x", 3*blockSize), "etc/shared/g/c", "3", long, "4", "etc/lists/was", "5")
	p.worker.write("etc/rules/a", "old", "etc/rules/extra", "1", "etc/rules/.a.tmp", "left over", "etc/lists/was/dir/x", "1")
	done := p.converge(t)
	if done.Created != 5 || done.Updated != 1 || done.Removed != 2 {
		t.Errorf("%+v", done)
	}
	for path, mode := range map[string]fs.FileMode{"etc/client.keys": 0o640, "etc/rules/dir/b": 0o660} {
		if info, err := os.Stat(p.worker.path(path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, want %v", path, info.Mode(), mode)
		}
	}
	wantNoTemporary(t, p.worker)
}

func TestApply_AcrossFileSystemsBrokenOff(t *testing.T) {
	h := newHome(t).write("etc/rules/a", "old")
	other, err := os.MkdirTemp("/dev/shm", "filetree")
	if err != nil {
		t.Skip("no second file system: /dev/shm")
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	h.remove("queue")
	h.link(other, "queue")
	tree := h.open()
	contents := map[string]string{}
	var d manifest.Difference
	for i := range 10 {
		path := fmt.Sprint("etc/rules/", i)
		contents[path] = fmt.Sprint(i)
		d.Missing = append(d.Missing, manifest.Entry{Path: path, ItemKey: "etc/rules/", Digest: manifest.DigestOf([]byte(contents[path]))})
	}
	for after := 1; ; after++ {
		stage := putAll(t, tree, d.Missing, contents)
		ctx, cancel := context.WithCancel(context.Background())
		n := 0
		done, err := stage.Apply(counting{ctx, func() {
			if n++; n == after {
				cancel()
			}
		}}, d)
		cancel()
		h.must(stage.Close())
		wantNoTemporary(t, h)
		if done.Created == 10 {
			break // too late
		}
		if !errors.Is(err, context.Canceled) || done.Created != 0 || after > 100 {
			t.Fatalf("%+v %v", done, err)
		}
	}
	if h.content("etc/rules/a") != "old" || h.content("etc/rules/9") != "9" {
		t.Error("contents")
	}
}

// A device that is full leaves the old files, says so, and is no error when it
// has room again.
func TestApply_FullDisk(t *testing.T) {
	p := newPair(t)
	p.master.write("etc/rules/a", strings.Repeat("a", 300<<10), "etc/rules/b", strings.Repeat("b", 300<<10), "etc/rules/c", "small")
	p.worker.write("etc/rules/c", "old")
	if err := syscall.Mount("testudo", p.worker.path("etc/rules"), "tmpfs", 0, "size=512k"); err != nil {
		t.Skip("no small file system: mount: " + err.Error())
	}
	t.Cleanup(func() { p.worker.must(syscall.Unmount(p.worker.path("etc/rules"), 0)) })
	p.worker.write("etc/rules/c", "old")
	p.to.setWindow(0)
	done := p.sync(t)
	wantProblems(t, done.Problems, "etc/rules/b: no space left on device")
	if done.Created != 1 || done.Updated != 1 || p.worker.content("etc/rules/c") != "small" {
		t.Errorf("%+v", done)
	}
	wantNoTemporary(t, p.worker)
	p.worker.must(syscall.Mount("testudo", p.worker.path("etc/rules"), "tmpfs", syscall.MS_REMOUNT, "size=2m"))
	p.converge(t)
}
