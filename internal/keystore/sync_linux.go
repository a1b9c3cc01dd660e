package keystore

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync waits until what was written to a file is on the disk.
func dataSync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
