package filetree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// dirMode is the mode of every directory that is created.
const dirMode = 0o770

// Stage holds contents that came from a master until Apply puts them into their
// places. One goroutine at a time may use it.
type Stage struct {
	tree    *Tree
	path    string
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
	path := filepath.Join(t.home, dir)
	f, err := t.makeStage(path)
	if err != nil {
		return nil, fmt.Errorf("making the stage %s: %w", dir, err)
	}
	return &Stage{tree: t, path: path, dir: f, members: map[string]*member{}}, nil
}

func (t *Tree) makeStage(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, dirMode); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	if err := t.finishDir(int(f.Fd())); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
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
	if err := unix.Fchmod(fd, uint32(item.Mode.Perm())); err != nil {
		return n, err
	}
	if err := s.tree.own(fd); err != nil {
		return n, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return n, err
	}
	m.stamp = stampOf(&st)
	return n, nil
}

// copy writes the content to fd and hashes it on the way.
func (s *Stage) copy(m *member, fd int, r io.Reader) (n int64, err error) {
	block := s.tree.newReading()
	defer s.tree.endReading(block)
	block.hasher.Reset()
	for {
		filled, err := fill(r, block.block)
		block.hasher.Write(block.block[:filled])
		if werr := writeAll(fd, block.block[:filled]); werr != nil {
			return n, fmt.Errorf("writing: %w", werr)
		}
		n += int64(filled)
		if err == io.EOF {
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
	err := errors.Join(s.dir.Close(), os.RemoveAll(s.path))
	if err != nil {
		return fmt.Errorf("removing the stage: %w", err)
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
