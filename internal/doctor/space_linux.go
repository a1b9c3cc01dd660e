package doctor

import "golang.org/x/sys/unix"

// spaceOf tells the room of the file system of a path.
func spaceOf(path string) (device uint64, s space, err error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, s, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, s, err
	}
	size := int64(fs.Bsize) //nolint:unconvert // not the same type everywhere
	return stat.Dev, space{int64(fs.Bavail) * size, int64(fs.Blocks) * size, int64(fs.Ffree), int64(fs.Files)}, nil
}
