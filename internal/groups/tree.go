package groups

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"testudo/internal/filetree"
)

const (
	// maxPath is how long a file's path in its group may be; longer ones are left
	// out of merged.mg.
	maxPath = 200
	// maxFiles bounds the files of one group.
	maxFiles = 100_000
	// settled is how old a file's last change must be to be relied upon: two
	// changes may share one time.
	settled = 2 * time.Second
)

var (
	errTooMany = fmt.Errorf("more than %d files", maxFiles)
	errChanged = errors.New("it changed while it was read")
	errSpecial = errors.New("it is no regular file")
)

// stamp tells one state of a file from the next without reading it.
type stamp struct {
	size, modified, changed int64
	inode                   uint64
}

func stampOf(info fs.FileInfo) stamp {
	inode, changed := filetree.Identity(info)
	return stamp{info.Size(), info.ModTime().UnixNano(), changed, inode}
}

// file is one file of a group.
type file struct {
	name   string // its path in the group
	stamp  stamp
	binary bool // it holds a NUL byte, and is left out
	// sure says that its last change was not just now. Two changes may share one
	// time, so what was read of a file before that is read again.
	sure bool
}

// tree is what a group's directory holds, in the order of merged.mg.
type tree struct {
	files  []file
	digest uint64 // of its files

	merged bool      // its merged.mg was there
	until  time.Time // nothing is written before, see waits
}

// seed makes the digests of one process comparable.
type seed struct{ maphash.Seed }

func (s seed) of(words ...any) uint64 {
	var h maphash.Hash
	h.SetSeed(s.Seed)
	for _, w := range words {
		maphash.WriteComparable(&h, w)
	}
	return h.Sum64()
}

// walker reads the directory of one group.
type walker struct {
	shared *os.Root // etc/shared
	group  string
	root   *os.Root // the group's directory
	before map[string]file
	until  time.Time // changes up to here are relied upon
	tree   *tree
}

// readTree looks at a group's directory. What was known of it before saves
// reading files that have not changed.
func readTree(shared *os.Root, group string, before *tree, s seed, until time.Time) (*tree, error) {
	root, err := shared.OpenRoot(group)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	w := walker{shared: shared, group: group, root: root, until: until, tree: &tree{}}
	if before != nil {
		w.before = make(map[string]file, len(before.files))
		for _, f := range before.files {
			w.before[f.name] = f
		}
		w.tree.files = make([]file, 0, len(before.files))
	}
	if err := w.directory("."); err != nil {
		return nil, err
	}
	for _, f := range w.tree.files {
		w.tree.digest = s.of(w.tree.digest, f)
	}
	return w.tree, nil
}

// merges tells whether a file or directory of this name takes part.
func merges(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, mergedName)
}

func (w *walker) directory(dir string) error {
	entries, err := readDir(w.root, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if !merges(e.Name()) || len(name) > maxPath {
			continue
		}
		if e.IsDir() {
			err = w.directory(name)
		} else if e.Type().IsRegular() || e.Type() == fs.ModeSymlink {
			err = w.file(name, e.Type() == fs.ModeSymlink)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone meanwhile is no fault
			return err
		}
	}
	return nil
}

// file takes one file in. A link counts when it leads to a file of etc/shared.
func (w *walker) file(name string, link bool) error {
	var info fs.FileInfo
	var err error
	if link {
		if info, err = w.shared.Stat(path.Join(w.group, name)); err != nil {
			return nil //nolint:nilerr // it leads nowhere, or out of here
		}
	} else if info, err = w.root.Lstat(name); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	if len(w.tree.files) >= maxFiles {
		return errTooMany
	}
	f := fileOf(name, info, w.until)
	if old, ok := w.before[name]; ok && f.same(old) {
		f.binary = old.binary
	} else if f.binary, err = holdsNUL(w.shared, path.Join(w.group, name)); err != nil {
		return err
	}
	w.tree.files = append(w.tree.files, f)
	return nil
}

func fileOf(name string, info fs.FileInfo, until time.Time) file {
	f := file{name: name, stamp: stampOf(info)}
	f.sure = max(f.stamp.modified, f.stamp.changed) <= until.UnixNano()
	return f
}

// same tells whether the file is as it was when old was read.
func (f *file) same(old file) bool { return f.stamp == old.stamp && f.sure == old.sure }

// openFile opens a regular file and nothing else; it waits for nobody.
func openFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: name, Err: errSpecial}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// holdsNUL tells whether a file holds a NUL byte, which merged.mg has no place
// for.
func holdsNUL(root *os.Root, name string) (bool, error) {
	f, _, err := openFile(root, name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := f.Read(buf)
		if bytes.IndexByte(buf[:n], 0) >= 0 {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}
