//go:build linux || dragonfly || openbsd

package filetree

import (
	"io/fs"
	"syscall"
)

// Identity gives what tells a file from another one in its place, and its last
// change of any kind, in ns since 1970; both are 0 where the system does not tell.
func Identity(info fs.FileInfo) (inode uint64, changed int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino, st.Ctim.Nano()
	}
	return 0, 0
}
