package filetree

import (
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// OpenFile opens a synchronised file for reading. The path must be one that
// Items.Match accepts (else *manifest.PathError), the file a regular one or a
// link to one (else ErrNotRegular). It never waits for another end, as opening a
// FIFO would. Errors are *fs.PathError otherwise.
func (t *Tree) OpenFile(path string) (*os.File, fs.FileInfo, error) {
	item, err := t.opts.Items.Match(path)
	if err != nil {
		return nil, nil, err
	}
	fd, err := t.openForReading(item, path)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func (t *Tree) openForReading(item manifest.Item, path string) (int, error) {
	home := int(t.dir.Fd())
	if fd, ok := t.openBeneath(home, path, openFileFlags); ok {
		return fd, nil
	}
	root, err := openat(home, item.Dir(), openDirFlags&^unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	below := path[len(item.Dir())+1:]
	slash := strings.LastIndexByte(below, '/')
	dir, err := descend(root, below[:max(slash, 0)])
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	// What the name leads to is looked at first: opening a device may act on it.
	var st unix.Stat_t
	if err := fstatat(dir, below[slash+1:], &st, 0); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, ErrNotRegular
	}
	return openat(dir, below[slash+1:], openFileFlags, 0)
}
