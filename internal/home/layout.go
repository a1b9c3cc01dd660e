package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Account is the user and the group that own a home and run its daemons.
const Account = "wazuh"

// Where things are, relative to the home.
const (
	RunDir   = "var/run"
	QueueDir = "queue/cluster"
	Socket   = "c-internal.sock" // in QueueDir
	LockPath = RunDir + "/testudo.lock"
	KeysPath = "etc/client.keys"
	stateDir = "queue/db"

	backupDir = "backup/db"
)

// directory is one of the directories of a home.
type directory struct {
	path string
	mode fs.FileMode
	own  bool // belongs to the account; otherwise to root, readable by the account's group
}

// layout lists what a home needs, parents first.
func layout() []directory {
	return []directory{
		{".", 0o750, false},
		{"backup", 0o750, true},
		{backupDir, 0o750, true},
		{"bin", 0o750, false},
		{"etc", 0o770, true},
		{"etc/decoders", 0o770, true},
		{"etc/lists", 0o770, true},
		{"etc/rules", 0o770, true},
		{"etc/shared", 0o770, true},
		{"etc/shared/default", 0o770, true},
		{"logs", 0o770, true},
		{"logs/cluster", 0o750, true},
		{"queue", 0o750, false},
		{QueueDir, 0o770, true},
		{stateDir, 0o770, true},
		{"queue/diff", 0o750, true},
		{"queue/rids", 0o770, true},
		{"queue/sockets", 0o770, true},
		{"ruleset", 0o750, false},
		{"ruleset/decoders", 0o750, false},
		{"ruleset/rules", 0o750, false},
		{"var", 0o750, false},
		{"var/multigroups", 0o770, true},
		{RunDir, 0o770, true},
	}
}

// Directory is one of the directories that a home needs.
type Directory struct {
	Path string // relative to the home
	Mode fs.FileMode
	Own  bool // belongs to the account; otherwise to root, readable by the account's group
}

// Directories lists what a home needs, parents first, without the home itself.
func Directories() []Directory {
	var list []Directory
	for _, d := range layout() {
		if d.path != "." {
			list = append(list, Directory{d.path, d.mode, d.own})
		}
	}
	return list
}

// Identity gives the ids of the account's user and group. ok is false when
// either does not exist; nodes then run as whoever starts them.
func Identity() (uid, gid int, ok bool) {
	u, err := user.Lookup(Account)
	if err != nil {
		return 0, 0, false
	}
	g, err := user.LookupGroup(Account)
	if err != nil {
		return 0, 0, false
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(g.Gid)
	return uid, gid, uidErr == nil && gidErr == nil
}

// owner gives new files and directories to whom they belong. Only root can, and
// only where the account exists; otherwise they stay ours.
type owner struct {
	uid, gid int
	active   bool
}

func currentOwner() owner {
	uid, gid, ok := Identity()
	return owner{uid, gid, ok && os.Geteuid() == 0}
}

// ids gives what to pass to chown: -1 leaves as it is.
func (o owner) ids(own bool) (uid, gid int) {
	switch {
	case !o.active:
		return -1, -1
	case own:
		return o.uid, o.gid
	}
	return 0, o.gid
}

// Prepare makes the directories that a node needs and that are missing, as in a
// home made by somebody else. It returns their paths, relative to the home,
// which itself must be there. What is there already is not changed.
func Prepare(dir string) (created []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open home: %w", err)
	}
	defer root.Close()
	return makeDirectories(root, layout())
}

// leadingTo picks the directories of the layout that path needs.
func leadingTo(path string) (needed []directory) {
	for _, d := range layout() {
		if strings.HasPrefix(path+"/", d.path+"/") {
			needed = append(needed, d)
		}
	}
	return needed
}

func makeDirectories(root *os.Root, wanted []directory) (created []string, err error) {
	own := currentOwner()
	for _, d := range wanted {
		if d.path == "." {
			continue
		}
		made, err := makeDirectory(root, d, own)
		if err != nil {
			return created, fmt.Errorf("make directory of home: %w", err)
		}
		if made {
			created = append(created, d.path)
		}
	}
	return created, nil
}

func makeDirectory(root *os.Root, d directory, own owner) (made bool, err error) {
	if err := root.Mkdir(d.path, 0o700); errors.Is(err, fs.ErrExist) {
		info, err := root.Stat(d.path)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "mkdir", Path: d.path, Err: errors.New("is there and is no directory")}
		}
		return false, err
	} else if err != nil {
		return false, err
	}
	// The mode comes after the owner, and not by Mkdir: the umask is not ours.
	if uid, gid := own.ids(d.own); gid >= 0 {
		if err := root.Chown(d.path, uid, gid); err != nil {
			return true, err
		}
	}
	return true, root.Chmod(d.path, d.mode)
}
