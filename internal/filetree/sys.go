package filetree

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	openDirFlags  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openFileFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
)

// stamp is the state of a file that changes with its content: when a file has
// the same stamp as before, its content is the same (but see windows).
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns since 1970
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{
		dev: uint64(st.Dev), //nolint:unconvert // not on every system
		ino: st.Ino, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}

// modTime returns the modification time as the original computes it, in Unix
// seconds.
func (s stamp) modTime() float64 {
	t := time.Unix(0, s.mtime)
	return float64(t.Unix()) + 1e-9*float64(t.Nanosecond())
}

// windows says for how long after a change a file's times cannot tell a second
// change from the first, by file system. Times come from a clock that ticks (4
// to 10 ms), on network file systems from another machine's clock, on old file
// systems in whole seconds. A content that was read sooner after the last change
// than this is read again at the next scan.
type windows struct {
	mu    sync.Mutex
	byDev map[uint64]time.Duration
}

const (
	fineWindow   = 20 * time.Millisecond
	coarseWindow = 2 * time.Second
)

// settled tells whether a change after now would give the file another stamp.
// now is from before the stamp was taken; fd is any descriptor of the file's
// file system.
func (w *windows) settled(s stamp, now time.Time, fd int) bool {
	window := w.of(s.dev, fd)
	if s.ctime%int64(time.Second) == 0 {
		window = coarseWindow
	}
	return s.ctime < now.Add(-window).UnixNano()
}

// coarse tells whether the times of a file system are to be taken with care.
func (w *windows) coarse(dev uint64, fd int) bool { return w.of(dev, fd) == coarseWindow }

func (w *windows) of(dev uint64, fd int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	window, ok := w.byDev[dev]
	if !ok {
		window = fineWindow
		if remoteFileSystem(fd) {
			window = coarseWindow
		}
		if w.byDev == nil || len(w.byDev) >= 64 {
			w.byDev = map[uint64]time.Duration{}
		}
		w.byDev[dev] = window
	}
	return window
}

// retry calls f until it is not interrupted by a signal.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func fstatat(dirfd int, name string, st *unix.Stat_t, flags int) error {
	for {
		if err := unix.Fstatat(dirfd, name, st, flags); err != unix.EINTR {
			return err
		}
	}
}

func openat(dirfd int, name string, flags int, mode uint32) (int, error) {
	for {
		if fd, err := unix.Openat(dirfd, name, flags, mode); err != unix.EINTR {
			return fd, err
		}
	}
}

// readNames returns the names in an open directory, in the order of the file
// system, without . and ...
func readNames(fd int, buf []byte) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var names []string
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// descend opens the directory rel ("" = dir itself) below an open one, through
// no symbolic link. The caller closes what it gets.
func descend(dir int, rel string) (int, error) {
	fd, err := openat(dir, ".", openDirFlags, 0)
	if rel == "" {
		return fd, err
	}
	for name := range strings.SplitSeq(rel, "/") {
		if err != nil {
			return -1, err
		}
		var next int
		next, err = openat(fd, name, openDirFlags, 0)
		unix.Close(fd)
		fd = next
	}
	return fd, err
}

// lastName returns what stands behind the last slash of a path.
func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// isKind tells whether the error is one of the numbers.
func isKind(err error, kinds ...unix.Errno) bool {
	var errno unix.Errno
	return errors.As(err, &errno) && slices.Contains(kinds, errno)
}
