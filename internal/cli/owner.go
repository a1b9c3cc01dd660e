package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"testudo/internal/home"
)

// identity is who owns what the node writes; -1 leaves it.
type identity struct{ uid, gid int }

// becomeOwner makes this process, when it is root's and may not stay so, one of
// the account that owns the home. Where there is no such account, or we are not
// root, we stay who we are.
func (r *runner) becomeOwner() error {
	r.owner = identity{-1, -1}
	uid, gid, ok := home.Identity()
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	r.owner = identity{uid, gid}
	if r.stayRoot {
		return nil
	}
	if err := handOver(r.cfg.Home, r.owner); err != nil {
		return fmt.Errorf("hand files over to user %s: %w", home.Account, err)
	}
	err := syscall.Setgroups([]int{gid})
	if err == nil {
		err = syscall.Setgid(gid)
	}
	if err == nil {
		err = syscall.Setuid(uid)
	}
	if err != nil {
		return fmt.Errorf("become user %s: %w", home.Account, err)
	}
	return nil
}

// ownFiles are files of a node that a run as root may have left behind, which
// the account could then neither read nor write.
func ownFiles() []string {
	return []string{
		logFile, "queue/db/cluster.db*", "queue/db/testudo-*", home.LockPath,
		"queue/db/global.db*", "queue/db/.global.db.lock", "queue/db/[0-9]*.db*", "backup/db/global.db-backup-*",
	}
}

// handOver gives root's files of the node to the account. A file of several
// names is left alone: the others may be anywhere.
func handOver(dir string, to identity) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var failed []error
	for _, pattern := range ownFiles() {
		names, err := fs.Glob(root.FS(), pattern)
		if err != nil {
			return fmt.Errorf("look for %s: %w", path.Base(pattern), err)
		}
		for _, name := range names {
			info, err := root.Lstat(name)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 || s.Nlink > 1 {
				continue
			}
			failed = append(failed, root.Lchown(name, to.uid, to.gid))
		}
	}
	return errors.Join(failed...)
}
