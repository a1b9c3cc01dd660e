package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"testudo/internal/config"
	"testudo/internal/home"
	"testudo/internal/screen"
	"testudo/internal/sqlitedb"
)

// newest is the last change of the files that are looked at.
func (x *exam) newest() (at time.Time, path string) {
	for _, name := range watched {
		if info, err := os.Stat(filepath.Join(x.Home, name)); err == nil && info.ModTime().After(at) {
			at, path = info.ModTime(), name
		}
	}
	return at, path
}

// secrets are files that not everybody may read, and what is in them.
var secrets = map[string]string{
	config.ConfPath: "the cluster's key", home.KeysPath: "the keys of all agents", agentDatabase: "the keys of all agents",
	config.AuthKeyPath: "the private key that agents know this node by", passwordPath: "the password of enrolment",
}

// needed are files that a node reads.
var needed = []string{config.ConfPath, config.SettingsPath, home.KeysPath, config.OptionsPath, config.LocalOptionsPath, agentDatabase, "queue/db/cluster.db",
	config.AuthCertificatePath, config.AuthKeyPath, passwordPath}

// files looks at the directories and files of the home: who owns them and who
// may do what with them.
func (x *exam) files(context.Context) {
	n := len(x.Findings)
	for _, d := range home.Directories() {
		x.directory(d)
	}
	for _, name := range needed {
		x.file(name)
	}
	if len(x.Findings) == n {
		x.fine("The directories and files of the home are there, and only those may use them who should.")
	}
}

func (x *exam) directory(d home.Directory) {
	path := filepath.Join(x.Home, d.Path)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // made when a node starts
	case err != nil:
		x.fail(owns(d.Path), "The directory %s cannot be looked at: %s.", d.Path, reason(err))
		return
	case !info.IsDir():
		x.fail("Move it away; the node makes the directory when it starts.", "%s is no directory.", d.Path)
		return
	case info.Mode().Perm()&0o002 != 0:
		x.fail(fmt.Sprintf("chmod o-w %s.", path), "Everybody may put files into the directory %s.", d.Path)
	}
	uid, gid, exists := home.Identity()
	owner, group, known := ownerOf(info)
	if os.Geteuid() == 0 && exists && known && d.Own {
		if !writableBy(info.Mode(), owner == uid, group == gid) {
			x.fail(owns(d.Path), "The directory %s does not belong to the account %s, which could not write there.", d.Path, home.Account)
		}
		return
	}
	if d.Own && mayWrite(path) != nil {
		x.fail(owns(d.Path), "The directory %s cannot be written by this user.", d.Path)
	}
}

// owns says how a path gets its owner back.
func owns(path string) string {
	return fmt.Sprintf("Give it to the account that runs the node: chown %s:%s %s below the home, mode 0770.", home.Account, home.Account, path)
}

func (x *exam) file(name string) {
	path := filepath.Join(x.Home, name)
	info, err := os.Stat(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			x.fail(owns(name), "The file %s cannot be looked at: %s.", name, reason(err))
		}
		return
	}
	if !info.Mode().IsRegular() {
		x.fail("Move it away and put the file back.", "%s is no regular file.", name)
		return
	}
	if info.Mode().Perm()&0o002 != 0 {
		x.fail(fmt.Sprintf("chmod o-w %s.", path), "Everybody may write the file %s.", name)
	}
	if what := secrets[name]; what != "" && info.Mode().Perm()&0o004 != 0 {
		x.warn(fmt.Sprintf("chmod o-r %s.", path), "Everybody may read %s, and with it %s.", name, what)
	}
	if err := mayRead(path); err != nil {
		x.fail(owns(name), "The file %s cannot be read by this user: %s.", name, reason(err))
	}
}

const (
	// A disk with less room than this, and less than the share, is worth a word.
	roomWarning, shareWarning = 1 << 30, 0.05
	roomError, shareError     = 64 << 20, 0.01
)

// space is the room of a file system.
type space struct {
	free, total             int64 // bytes
	freeInodes, totalInodes int64 // 0 in all: they are not counted
}

// judge says how bad it is that so much is left.
func judge(free, total int64, warning, failure int64) Severity {
	if total <= 0 {
		return Fine
	}
	share := float64(free) / float64(total)
	switch {
	case free < failure && share < shareWarning || share < shareError && free < warning:
		return Error
	case free < warning && share < shareWarning*2 || share < shareError:
		return Warning
	}
	return Fine
}

// inodes that should be left.
const inodesWarning, inodesError = 10_000, 500

// disk looks at the room on the file systems of the home.
func (x *exam) disk(context.Context) {
	seen := map[uint64]bool{}
	for _, dir := range []string{".", "queue/db", home.QueueDir, "etc", "logs", "backup/db"} {
		path := filepath.Join(x.Home, dir)
		device, s, err := spaceOf(path)
		if err != nil || seen[device] {
			continue
		}
		seen[device] = true
		x.space(dir, s)
	}
}

func (x *exam) space(dir string, s space) {
	const remedy = "Make room: old files below logs/ and backup/ are the first to look at."
	severity := judge(s.free, s.total, roomWarning, roomError)
	text := fmt.Sprintf("The file system of %s has %s of %s left.", where(dir), screen.Size(s.free), screen.Size(s.total))
	if severity == Fine {
		x.fine("%s", text)
	} else {
		x.add("", severity, text, remedy)
	}
	if severity := judge(s.freeInodes, s.totalInodes, inodesWarning, inodesError); severity != Fine {
		x.add("", severity, fmt.Sprintf("The file system of %s has room for %d more files of %d.", where(dir), s.freeInodes, s.totalInodes), remedy)
	}
}

func where(dir string) string {
	if dir == "." {
		return "the home"
	}
	return dir
}

// checkTime bounds how long one database is read.
const checkTime = time.Minute

// databases reads the node's databases, without changing them.
func (x *exam) databases(ctx context.Context) {
	const restore = "Stop the node and put a backup in its place with 'testudo db restore', or move the file away: a worker's is filled again by its master, a master's from etc/client.keys, without the groups of the agents."
	x.database(ctx, agentDatabase, restore)
	x.database(ctx, "queue/db/cluster.db", "Stop the node and move the file away; it is made and filled again.")
}

func (x *exam) database(ctx context.Context, name, remedy string) {
	path := filepath.Join(x.Home, name)
	info, err := os.Stat(path)
	if err != nil {
		return // a node that has not run has none; who may not look is told by files
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err = check(ctx, path)
	switch {
	case err == nil:
		x.fine("The database %s is sound (%s).", name, screen.Size(info.Size()))
	case sqlitedb.IsBroken(err):
		x.fail(remedy, "The database %s is damaged: %s.", name, err)
	case errors.Is(err, context.DeadlineExceeded):
		x.warn("'testudo db check' takes the time that it needs.", "The database %s (%s) could not be read to its end in %s.", name, screen.Size(info.Size()), checkTime)
	default:
		x.fail(remedy, "The database %s cannot be read: %s.", name, err)
	}
}

func check(ctx context.Context, path string) error {
	db, err := sqlitedb.Open(ctx, sqlitedb.Options{
		Path: path, ReadOnly: true, Setup: func(*sqlitedb.Conn) error { return nil }, // what is there is the question
	})
	if err != nil {
		return err
	}
	return errors.Join(db.QuickCheck(ctx), db.Close())
}
