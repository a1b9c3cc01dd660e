//go:build !linux

package filetree

import "golang.org/x/sys/unix"

// noBeneath: only Linux opens a path through no link in one call.
type noBeneath struct{}

func (*noBeneath) openBeneath(int, string, int) (fd int, ok bool) { return -1, false }

// syncFileSystem makes everything written durable.
func syncFileSystem(int) error { return unix.Sync() }

// remoteFileSystem is not known here; times are taken with care.
func remoteFileSystem(int) bool { return true }
