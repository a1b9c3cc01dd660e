package groups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/manifest"
)

func TestRemove(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/web/sub/file", "x")
	w.put("outside/precious", "x")
	for link, target := range map[string]string{"etc/shared/web/out": w.path("outside"), "etc/shared/linked": "../../outside"} {
		if err := os.Symlink(target, w.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	w.put("etc/shared/ar.conf", "")
	for name, want := range map[string]error{
		"default": ErrDefault, "nope": ErrNotFound, "linked": ErrNotFound, "ar.conf": ErrNotFound, "..": ErrName, "web/sub": ErrName, "": ErrName,
	} {
		if err := Remove(w.root, name); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", name, err, want)
		}
	}
	if err := Remove(w.root, "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(w.path("etc/shared/web")); err == nil {
		t.Error("the directory is still there")
	}
	if got := w.read("outside/precious"); got != "x" {
		t.Errorf("what a link pointed to: %q", got)
	}
}

// A removal that dies while it deletes leaves no half group: neither who lists
// groups nor who synchronises files finds anything of it.
func TestRemove_CutShort(t *testing.T) {
	for _, another := range []bool{false, true} {
		t.Run(fmt.Sprintf("etc on another file system %t", another), func(t *testing.T) {
			w := newWorld(t)
			for _, file := range []string{"agent.conf", "a/b", "z"} {
				w.put("etc/shared/web/"+file, "x")
			}
			cut := errors.New("cut")
			r := remover{home: w.root, removeAll: func(dir string) error {
				return errors.Join(cut, w.root.Remove(dir+"/agent.conf"))
			}}
			r.rename = func(from, to string) error {
				if another && path.Dir(from) != path.Dir(to) {
					return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
				}
				return w.root.Rename(from, to)
			}
			err := r.remove("web")
			if !errors.Is(err, ErrLeft) || !errors.Is(err, cut) {
				t.Errorf("got %v", err)
			}
			names, err := List(w.root)
			if diff := cmp.Diff([]string{"default"}, names); diff != "" || err != nil {
				t.Errorf("groups (-want +got): %v\n%s", err, diff)
			}
			left := w.left()
			if len(left) != 1 || !another && synchronised(left[0]) {
				t.Fatalf("left behind: %q", left)
			}
			if err := Create(w.root, "web", ours); err != nil {
				t.Errorf("make it anew: %v", err)
			}
			if err := CleanRemoved(w.root); err != nil {
				t.Error(err)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("still there: %q", left)
			}
			if got := w.read("etc/shared/web/agent.conf"); got != emptyConf {
				t.Errorf("the new group's agent.conf holds %q", got)
			}
		})
	}
}

// Only what a removal leaves is cleaned up.
func TestCleanRemoved_Others(t *testing.T) {
	w := newWorld(t)
	removed := removedPrefix + strings.Repeat("A", randomSize)
	others := []string{
		"etc/" + removedPrefix + "x/file", "etc/" + removed + "x/file", "etc/shared/.hidden/file",
		"etc/shared/default/" + removed + "/file", "etc/shared/" + removed,
	}
	for _, file := range others {
		w.put(file, "x")
	}
	w.put("etc/"+removed+"/file", "x")
	w.put("outside/precious", "x")
	if err := os.Symlink(w.path("outside"), w.path("etc/"+removed+"/out")); err != nil {
		t.Fatal(err)
	}
	if err := CleanRemoved(w.root); err != nil {
		t.Fatal(err)
	}
	for _, file := range append(others, "outside/precious") {
		if got := w.read(file); got != "x" {
			t.Errorf("%s: %q", file, got)
		}
	}
	if _, err := os.Lstat(w.path("etc/" + removed)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left: %v", err)
	}
}

// left lists what removed groups have left anywhere, as paths from the home.
func (w *world) left() (paths []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && isRemoved(d.Name()) {
			paths = append(paths, strings.TrimPrefix(p, w.dir+"/"))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return paths
}

// synchronised tells whether any file of a directory goes to other nodes.
func synchronised(dir string) bool {
	for _, item := range manifest.DefaultItems().List {
		if item.Recursive && strings.HasPrefix(dir+"/", item.Key) {
			return true
		}
	}
	return false
}

// What cannot be set aside stays whole; what goes meanwhile is not there.
func TestRemove_NotSetAside(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/web/a", "x")
	for cause, want := range map[error]error{syscall.EBUSY: syscall.EBUSY, syscall.ENOENT: ErrNotFound} {
		r := remover{home: w.root, removeAll: w.root.RemoveAll, rename: func(string, string) error { return cause }}
		if err := r.remove("web"); !errors.Is(err, want) {
			t.Errorf("%v: got %v", cause, err)
		}
	}
	if got := w.read("etc/shared/web/a"); got != "x" {
		t.Errorf("its file: %q", got)
	}
}
