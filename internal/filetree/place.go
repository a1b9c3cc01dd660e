package filetree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// itemRoot opens an item's own directory, made first if create says so. Links
// on the way to it are followed while they stay inside the home.
func (a *application) itemRoot(item manifest.Item, create bool) (int, error) {
	if root, ok := a.roots[item.Key]; ok {
		if root.err != nil {
			return -1, root.err
		}
		return int(root.file.Fd()), nil
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NONBLOCK
	f, err := a.root.OpenFile(item.Dir(), flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return -1, err // not remembered: it may be made later
		}
		if err = a.makeRoot(item.Dir()); err == nil {
			f, err = a.root.OpenFile(item.Dir(), flags, 0)
		}
	}
	if err != nil {
		a.roots[item.Key] = &itemDir{err: err}
		return -1, err
	}
	a.roots[item.Key] = &itemDir{file: f}
	return int(f.Fd()), nil
}

// makeRoot makes a directory of the home and those above it.
func (a *application) makeRoot(dir string) error {
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		err := a.root.Mkdir(dir[:i], dirMode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		f, err := a.root.Open(dir[:i])
		if err != nil {
			return err
		}
		if err := errors.Join(a.finishDir(int(f.Fd())), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// openParent returns the open directory that a file is or will be in. With
// create, directories that are missing are made, and what stands in their way is
// removed if it may be. The descriptor is good until the next call or until
// closeParent.
func (a *application) openParent(item manifest.Item, path string, create bool) (int, error) {
	dir := path[:strings.LastIndexByte(path, '/')]
	if a.parent >= 0 && a.parentPath == dir {
		return a.parent, nil
	}
	a.closeParent()
	root, err := a.itemRoot(item, create)
	if err != nil {
		return -1, err
	}
	fd, err := openat(root, ".", openDirFlags, 0)
	for end := len(item.Dir()); err == nil && end < len(dir); {
		start := end + 1
		end = len(dir)
		if slash := strings.IndexByte(dir[start:], '/'); slash >= 0 {
			end = start + slash
		}
		var next int
		next, err = a.openChild(fd, dir[:end], create)
		unix.Close(fd)
		fd = next
	}
	if err != nil {
		return -1, err
	}
	a.parent, a.parentPath = fd, dir
	return fd, nil
}

func (a *application) closeParent() {
	if a.parent >= 0 {
		unix.Close(a.parent)
	}
	a.parent, a.parentPath = -1, ""
}

// openChild opens the directory path, whose parent is open as dirfd.
func (a *application) openChild(dirfd int, path string, create bool) (int, error) {
	name := lastName(path)
	fd, err := openat(dirfd, name, openDirFlags, 0)
	if err == nil || !create {
		return fd, err
	}
	if isKind(err, unix.ENOTDIR, unix.ELOOP) {
		err = a.clearFile(dirfd, path)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return -1, err
	}
	if err := unix.Mkdirat(dirfd, name, dirMode); err != nil {
		return -1, err
	}
	fd, err = openat(dirfd, name, openDirFlags, 0)
	if err != nil {
		return -1, err
	}
	if err := a.finishDir(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// clearFile removes what is no directory and stands where one is to be.
func (a *application) clearFile(dirfd int, path string) error {
	var st unix.Stat_t
	if err := fstatat(dirfd, lastName(path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	i, extra := a.extraIndex(path)
	if st.Mode&unix.S_IFMT == unix.S_IFREG && !extra {
		return fmt.Errorf("%w: file %q", ErrInTheWay, path)
	}
	if err := unix.Unlinkat(dirfd, lastName(path), 0); err != nil {
		return err
	}
	if extra {
		a.handled[i] = true
		a.done.Removed++
	}
	return nil
}

// extraIndex finds the extra entry of a path that is still to be removed.
func (a *application) extraIndex(path string) (int, bool) {
	if a.extraAt == nil {
		a.extraAt = make(map[string]int, len(a.extra))
		for i := range a.extra {
			a.extraAt[a.extra[i].Path] = i
		}
	}
	i, ok := a.extraAt[path]
	return i, ok && !a.handled[i]
}

// clearDirectory removes the directory that stands where a file is to be, after
// the extra files below it. parent is the open directory that it is in; it is
// closed afterwards.
func (a *application) clearDirectory(parent int, path string) error {
	if a.holdsItem(path) {
		return fmt.Errorf("%w: directory %q", ErrInTheWay, path)
	}
	fd, err := openat(parent, ".", openDirFlags, 0) // outlives openParent below
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i := range a.extra {
		if strings.HasPrefix(a.extra[i].Path, path+"/") {
			a.removeExtra(i)
		}
	}
	a.closeParent()
	name := lastName(path)
	if err := a.hollow(fd, name, false, 0); err != nil {
		return fmt.Errorf("directory %q: %w", path, err)
	}
	return a.hollow(fd, name, true, 0)
}

// hollow checks that a directory holds nothing but directories, excluded files,
// and what is no regular file, or removes it with those.
func (a *application) hollow(parent int, name string, remove bool, depth int) error {
	if depth > maxDepth {
		return ErrTooDeep
	}
	fd, err := openat(parent, name, openDirFlags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := readNames(fd, make([]byte, 8<<10))
	if err != nil {
		return err
	}
	for _, child := range names {
		var st unix.Stat_t
		if err := fstatat(fd, child, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = a.hollow(fd, child, remove, depth+1)
		case st.Mode&unix.S_IFMT == unix.S_IFREG && !slices.Contains(a.opts.Items.ExcludedFiles, child):
			err = fmt.Errorf("%w: %q", ErrInTheWay, child)
		case remove:
			err = unix.Unlinkat(fd, child, 0)
		}
		if err != nil {
			return err
		}
	}
	if !remove {
		return nil
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}

// copied is a file on the file system of its place, under a temporary name.
type copied struct {
	placing
	temporary string
	stamp     stamp
}

// placeAcross places files whose stage is on another file system: they are
// copied beside their places, made durable at once, and renamed. The error is
// one that ends all; then no temporary file is left.
func (a *application) placeAcross(list []placing) error {
	var ready []copied
	devices := map[uint64]*os.File{}
	defer func() {
		for _, f := range devices {
			f.Close()
		}
	}()
	for _, p := range list {
		if a.ctx.Err() != nil {
			break
		}
		c, err := a.copyBeside(p, devices)
		if err != nil {
			a.problem(p.class, p.entry.Path, err)
			continue
		}
		ready = append(ready, c)
	}
	err := a.ctx.Err()
	for _, f := range devices {
		if err == nil {
			err = syncFileSystem(int(f.Fd()))
		}
	}
	for _, c := range ready {
		if err == nil {
			a.installCopy(c)
		} else {
			a.removeCopy(c)
		}
	}
	return err
}

// copyBeside copies a staged file to a temporary name beside its place, and
// opens its directory once for each file system, for the sync.
func (a *application) copyBeside(p placing, devices map[uint64]*os.File) (c copied, err error) {
	parent, err := a.openParent(p.item, p.entry.Path, true)
	if err != nil {
		return c, err
	}
	c = copied{placing: p, temporary: temporaryName(lastName(p.entry.Path))}
	if err := a.copyContent(parent, &c); err != nil {
		return c, errors.Join(err, removeFile(parent, c.temporary))
	}
	if devices[c.stamp.dev] == nil {
		fd, err := openat(parent, ".", openDirFlags, 0)
		if err != nil {
			return c, errors.Join(err, removeFile(parent, c.temporary))
		}
		devices[c.stamp.dev] = os.NewFile(uintptr(fd), a.parentPath)
	}
	// The space is needed for the next copies.
	return c, a.stage.remove(p.member)
}

func (a *application) copyContent(parent int, c *copied) (err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	from, err := openat(int(a.stage.dir.Fd()), c.member.name, openFileFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	source := os.NewFile(uintptr(from), c.member.name)
	defer source.Close()
	if err := removeFile(parent, c.temporary); err != nil {
		return err
	}
	to, err := openat(parent, c.temporary, flags, 0o600)
	if err != nil {
		return err
	}
	target := os.NewFile(uintptr(to), c.temporary)
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := io.Copy(target, source); err != nil {
		return err
	}
	if err := target.Chmod(c.item.Mode.Perm()); err != nil {
		return err
	}
	if err := a.own(to); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil {
		return err
	}
	c.stamp = stampOf(&st)
	return nil
}

func (a *application) installCopy(c copied) {
	parent, err := a.openParent(c.item, c.entry.Path, true)
	if err == nil {
		var fd int
		if fd, err = openat(parent, ".", openDirFlags, 0); err == nil {
			err = a.install(c.placing, fd, c.temporary, c.stamp)
			if err != nil {
				err = errors.Join(err, removeFile(fd, c.temporary))
			}
			unix.Close(fd)
		}
	}
	if err != nil {
		a.problem(c.class, c.entry.Path, err)
	}
}

func (a *application) removeCopy(c copied) {
	if parent, err := a.openParent(c.item, c.entry.Path, false); err == nil {
		// What is left is removed by CleanTemporary at the next start.
		_ = removeFile(parent, c.temporary)
	}
}

// removeFile removes a file; an absent one is fine.
func removeFile(dirfd int, name string) error {
	if err := unix.Unlinkat(dirfd, name, 0); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
