package filetree

import (
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// OpenFile opens a synchronised file for reading, as far as it is long now. The
// path must be one that Items.Match accepts (else *manifest.PathError), the file
// a regular one or a link to one (else ErrNotRegular). It never waits for another
// end, as opening a FIFO would. Errors are *fs.PathError otherwise.
func (t *Tree) OpenFile(path string) (io.ReadCloser, error) {
	item, err := t.opts.Items.Match(path)
	if err != nil {
		return nil, err
	}
	fd, err := t.openForReading(item, path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &content{fd: fd, left: st.Size, path: path}, nil
}

// content reads an open file. An os.File takes three more system calls, which
// counts when ten thousand small files are read.
type content struct {
	fd   int // -1 when closed
	left int64
	path string
}

func (c *content) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	for {
		n, err := unix.Read(c.fd, p[:min(int64(len(p)), c.left)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, &fs.PathError{Op: "read", Path: c.path, Err: err}
		case n == 0 && len(p) > 0: // it has become shorter
			return 0, io.EOF
		}
		if c.left -= int64(n); c.left == 0 {
			return n, io.EOF
		}
		return n, nil
	}
}

func (c *content) Close() error {
	if c.fd < 0 {
		return fs.ErrClosed
	}
	fd := c.fd
	c.fd = -1
	if err := unix.Close(fd); err != nil {
		return &fs.PathError{Op: "close", Path: c.path, Err: err}
	}
	return nil
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
