//go:build unix

package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownerOf is who owns a file.
func ownerOf(info fs.FileInfo) (uid, gid int, known bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(s.Uid), int(s.Gid), true
}

// mayWrite says whether this user may make files in a directory.
func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

// runs says whether there is such a process, which is more than a dead one that
// nobody has taken down.
func runs(pid int) bool {
	if err := unix.Kill(pid, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return false
	}
	return stateOf(pid) != 'Z'
}

// frozen says whether a process has been stopped by a signal.
func frozen(pid int) bool { return stateOf(pid) == 'T' }

// stateOf is the letter of a process's state, 0 where there is no /proc.
func stateOf(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// It follows the program's name, which is in parentheses and may hold some.
	after := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(after) == 0 {
		return 0
	}
	return after[0]
}

// ownOpenFiles is how many files a child of ours may have open.
func ownOpenFiles() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Max) //nolint:unconvert // not the same type everywhere
}
