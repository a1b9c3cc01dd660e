package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"testudo/internal/config"
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
	var keys []string
	if r.cfg.EnrolmentEmbedded() {
		if err := makeTimestamps(r.cfg); err != nil {
			return fmt.Errorf("make the file of the times of enrolment: %w", err)
		}
		keys = keyFiles()
	}
	if err := handOver(r.cfg.Home, r.owner, keys...); err != nil {
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

// timestampsPath is where a master keeps the times of enrolment. Only root can make
// it there: the directory is not the account's.
const timestampsPath = "queue/agents-timestamp"

// keyFiles are files of a node that enrols agents, which the original's service,
// as it is root's, leaves to root.
func keyFiles() []string { return []string{home.KeysPath, timestampsPath, "var/run/testudo-keys.*"} }

// makeTimestamps makes sure that it is there.
func makeTimestamps(cfg *config.Config) error {
	if cfg.Cluster.Role != config.Master {
		return nil
	}
	root, err := os.OpenRoot(cfg.Home)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.OpenFile(timestampsPath, os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return file.Close()
}

// ownFiles are files of a node that a run as root may have left behind, which
// the account could then neither read nor write.
func ownFiles() []string {
	return []string{
		logFile, "queue/db/cluster.db*", "queue/db/testudo-*", home.LockPath,
		"queue/db/global.db*", "queue/db/.global.db.lock", "queue/db/[0-9]*.db*", "backup/db/global.db-backup-*",
	}
}

// handOver gives root's files of the node, and more, to the account. A file of several
// names is left alone: the others may be anywhere.
func handOver(dir string, to identity, more ...string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var failed []error
	for _, pattern := range append(ownFiles(), more...) {
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
