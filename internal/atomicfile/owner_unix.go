//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
)

// chown gives the file the owner that o asks for. What Keep asks for is done
// as far as we may; what is asked for by number must be done.
func chown(file *os.File, old fs.FileInfo, o Options) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	before := now
	if old != nil {
		if s, ok := old.Sys().(*syscall.Stat_t); ok {
			before = s
		}
	}
	if o.UID < 0 || o.GID < 0 {
		uid, gid := unless(o.UID < 0, before.Uid, now.Uid), unless(o.GID < 0, before.Gid, now.Gid)
		if uid >= 0 || gid >= 0 {
			_ = file.Chown(uid, gid)
		}
	}
	uid, gid := unless(o.UID >= 0, uint32(max(o.UID, 0)), now.Uid), unless(o.GID >= 0, uint32(max(o.GID, 0)), now.Gid)
	if uid < 0 && gid < 0 {
		return nil
	}
	return file.Chown(uid, gid)
}

// unless gives wanted when it is asked for and not so already, else -1, which
// changes nothing.
func unless(asked bool, wanted, now uint32) int {
	if !asked || wanted == now {
		return -1
	}
	return int(wanted)
}
