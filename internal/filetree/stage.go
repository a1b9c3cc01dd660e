package filetree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// dirMode is the mode of every directory that is created.
const dirMode = 0o770

// Stage holds contents that came from a master until Apply puts them into their
// places. One goroutine at a time may use it. How many and how large they are is
// bounded by the caller, who reads them.
type Stage struct {
	tree    *Tree
	parent  *os.Root // the directory that it is in
	name    string
	dir     *os.File
	members map[string]*member
	count   int
}

// member is one staged content, under a name made up here.
type member struct {
	name    string
	digest  manifest.Digest
	stamp   stamp // when it was complete
	claimed bool  // an entry of the difference is to have it
}

// NewStage makes the directory dir (relative to the home, mode 0770, and those
// above it where they are missing), which must not exist yet. dir is the
// caller's own choice, never a peer's: links above it are followed.
func (t *Tree) NewStage(dir string) (*Stage, error) {
	s := &Stage{tree: t, name: filepath.Base(dir), members: map[string]*member{}}
	err := fs.ErrInvalid
	if filepath.IsLocal(dir) {
		err = s.open(filepath.Join(t.home, filepath.Dir(dir)))
	}
	if err != nil {
		return nil, fmt.Errorf("making a stage in %s: %w", filepath.Dir(dir), nameless(err))
	}
	return s, nil
}

// nameless is an error without the name of a stage, which no two share: who logs it
// must see that it is the same again.
func nameless(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// open makes the stage in the directory parent. When it fails it leaves nothing
// open.
func (s *Stage) open(parent string) error {
	root, err := openOrMake(parent)
	if err != nil {
		return err
	}
	if err := root.Mkdir(s.name, dirMode); err != nil {
		return errors.Join(err, root.Close())
	}
	f, err := root.Open(s.name)
	if err == nil {
		if err = s.tree.finishDir(int(f.Fd())); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return errors.Join(err, root.Remove(s.name), root.Close())
	}
	s.parent, s.dir = root, f
	return nil
}

// openOrMake opens a directory, made first, with those above it, where they are
// missing.
func openOrMake(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	above, err := openOrMake(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := above.Mkdir(filepath.Base(dir), dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return above.OpenRoot(filepath.Base(dir))
}

// finishDir gives a new directory its mode, whatever the process's mask, and its
// owner.
func (t *Tree) finishDir(fd int) error {
	if err := unix.Fchmod(fd, dirMode); err != nil {
		return err
	}
	return t.own(fd)
}

// Put stages the content of one file and returns its length. A content put for
// the same path before is replaced. A path that is not synchronised is a
// *manifest.PathError, and nothing is read: the caller may go on with the next
// file, Apply reports this one. Any other error is that of reading or writing.
func (s *Stage) Put(path string, r io.Reader) (int64, error) {
	item, err := s.tree.opts.Items.Match(path)
	if err != nil {
		return 0, err
	}
	m := &member{name: strconv.Itoa(s.count)}
	s.count++
	n, err := s.write(m, item, r)
	if err != nil {
		return n, fmt.Errorf("staging %q: %w", path, err)
	}
	if old, ok := s.members[path]; ok {
		if err := s.remove(old); err != nil {
			return n, fmt.Errorf("staging %q again: %w", path, err)
		}
	}
	s.members[path] = m
	return n, nil
}

// write makes the member's file, with the mode and owner that it is to have in
// its place. When it fails it leaves nothing behind.
func (s *Stage) write(m *member, item manifest.Item, r io.Reader) (n int64, err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openat(int(s.dir.Fd()), m.name, flags, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, unix.Close(fd))
		if err != nil {
			err = errors.Join(err, s.remove(m))
		}
	}()
	if n, err = s.copy(m, fd, r); err != nil {
		return n, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return n, err
	}
	// What follows changes the ctime only, as does the renaming.
	m.stamp = stampOf(&st)
	if err := unix.Fchmod(fd, uint32(item.Mode.Perm())); err != nil {
		return n, err
	}
	return n, s.tree.ownAs(fd, &st)
}

// copy writes the content to fd and hashes it on the way.
func (s *Stage) copy(m *member, fd int, r io.Reader) (n int64, err error) {
	block := s.tree.newReading()
	defer s.tree.endReading(block)
	block.hasher.Reset()
	for {
		filled, err := fill(r, block.block)
		_, _ = block.hasher.Write(block.block[:filled])
		if werr := writeAll(fd, block.block[:filled]); werr != nil {
			return n, fmt.Errorf("writing: %w", werr)
		}
		n += int64(filled)
		if err == io.EOF { //nolint:errorlint // an EOF inside another error is no end
			m.digest = block.hasher.Digest()
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// fill reads until p is full or the reader ends, which is io.EOF as it comes.
func fill(r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; {
		var k int
		k, err = r.Read(p[n:])
		n += k
		if empty++; k > 0 {
			empty = 0
		}
		if empty == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

func (s *Stage) remove(m *member) error {
	return unix.Unlinkat(int(s.dir.Fd()), m.name, 0)
}

// Close removes the stage and what is left in it.
func (s *Stage) Close() error {
	err := errors.Join(s.dir.Close(), s.parent.RemoveAll(s.name), s.parent.Close())
	if err != nil {
		return fmt.Errorf("removing the stage %q: %w", s.name, err)
	}
	return nil
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
