package unixsock

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// maxPath is the longest path of a socket that all our systems take.
const maxPath = 103

// answerTime is how long Listen waits for somebody to answer at its path.
const answerTime = time.Second

// Listener is a listening socket with a name in the file system.
type Listener struct {
	*net.UnixListener
	path   string
	id     fs.FileInfo
	closed sync.Once
	err    error
}

// Listen makes a socket at path with the mode and the owner given; a uid or gid
// below 0 is left as it is. The socket appears with mode and owner set. The file
// of a dead socket is replaced; a living one is ErrInUse, one that cannot be asked
// ErrForeign.
func Listen(path string, mode fs.FileMode, uid, gid int) (*Listener, error) {
	l, err := listen(path, mode, uid, gid)
	if err != nil {
		return nil, fmt.Errorf("listen on socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string, mode fs.FileMode, uid, gid int) (_ *Listener, err error) {
	// The name it is born under must fit too.
	birth := filepath.Join(filepath.Dir(path), ".s"+rand.Text()[:8])
	if max(len(path), len(birth)) > maxPath {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrPathTooLong, len(path), maxPath)
	}
	if err := makeWay(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: birth, Net: "unix"})
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("this account may not make files in %s: give it the directory (chown): %w", filepath.Dir(path), syscall.EACCES)
	}
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			ln.Close()
			err = errors.Join(err, removeIfThere(birth))
		}
	}()
	if err := os.Chmod(birth, mode); err != nil {
		return nil, err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(birth, uid, gid); err != nil {
			return nil, err
		}
	}
	id, err := os.Lstat(birth)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(birth, path); err != nil {
		return nil, err
	}
	return &Listener{UnixListener: ln, path: path, id: id}, nil
}

// makeWay checks that nobody answers at path and nothing but a socket is there.
func makeWay(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	conn, err := net.DialTimeout("unix", path, answerTime)
	if err == nil {
		conn.Close()
		return ErrInUse
	}
	// A full queue of connections is a sign of life as well.
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrInUse
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w%s, which this one may not use: end the program that serves it, if one does, then remove the file as root (rm %s)",
			ErrForeign, ownerOf(info), path)
	}
	return fmt.Errorf("look for a process that answers there: %w", err)
}

// ownerOf names the account that owns a file, after a comma; empty when that is not
// known.
func ownerOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.Itoa(int(stat.Uid))
	if u, err := user.LookupId(id); err == nil {
		return ", " + u.Username
	}
	return ", number " + id
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Path is the name of the socket.
func (l *Listener) Path() string { return l.path }

// Close ends listening and removes the file, unless it is another's by now.
// Later calls return what the first did.
func (l *Listener) Close() error {
	l.closed.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.id) {
			l.err = removeIfThere(l.path)
		}
		l.err = errors.Join(l.err, l.UnixListener.Close())
	})
	return l.err
}
