//go:build !linux

package bench

import (
	"os"
	"syscall"
)

func syncFileSystem(*os.File) error {
	syscall.Sync()
	return nil
}
