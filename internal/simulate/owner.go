package simulate

import (
	"os"
	"syscall"
)

// ownerOf tells who owns a file, as far as we may give files to him; -1 else.
func ownerOf(root *os.Root, name string) (uid, gid int) {
	info, err := root.Stat(name)
	if err != nil || os.Geteuid() != 0 {
		return -1, -1
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return -1, -1
}
