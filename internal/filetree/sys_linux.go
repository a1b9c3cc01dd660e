package filetree

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noBeneath remembers that the kernel (before 5.6), or what guards it, does not
// know openat2.
type noBeneath struct{ missing atomic.Bool }

// openBeneath opens a path below a directory in one call, through no symbolic
// link at all. ok is false when that cannot be: then the path has to be walked.
func (n *noBeneath) openBeneath(dirfd int, path string, flags int) (fd int, ok bool) {
	if n.missing.Load() {
		return -1, false
	}
	how := unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(dirfd, path, &how)
	if err == unix.ENOSYS || err == unix.EPERM {
		n.missing.Store(true)
	}
	return fd, err == nil
}

// syncFileSystem makes everything written to the descriptor's file system
// durable.
func syncFileSystem(fd int) error { return retry(func() error { return unix.Syncfs(fd) }) }

// remoteFileSystem tells whether another machine or program keeps the files,
// so that times follow another clock or may be remembered for a while.
func remoteFileSystem(fd int) bool {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return true
	}
	switch int64(st.Type) { //nolint:unconvert // not on every machine
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC,
		unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC,
		unix.MSDOS_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return true
	}
	return false
}
