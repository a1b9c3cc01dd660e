package executor

import "golang.org/x/sys/unix"

// boundMemory bounds the private data of a process: what it allocates beyond
// fails.
func boundMemory(pid int, most int64) error {
	limit := unix.Rlimit{Cur: uint64(most), Max: uint64(most)}
	return unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil)
}
