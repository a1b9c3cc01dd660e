package groups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
)

// Where things are, relative to the home.
const (
	sharedDir   = "etc/shared"
	multiDir    = "var/multigroups"
	mergedName  = "merged.mg"
	arConf      = "ar.conf"
	agentConf   = "agent.conf"
	template    = "agent-template.conf" // in etc/shared; what a new group begins with
	dirMode     = 0o770
	fileMode    = 0o660
	maxTemplate = 1 << 20
)

// emptyConf is the agent.conf of a new group where there is no template.
const emptyConf = "<agent_config>\n\n</agent_config>\n"

var (
	// ErrName is returned when a text cannot be the name of a group.
	ErrName = agent.ErrGroupName
	// ErrReserved is returned when a name is kept for something else: "all"
	// stands for all groups, names with a leading dot are passed over, and a file
	// of etc/shared may be in the way.
	ErrReserved = errors.New("the name is reserved")
	// ErrExists is returned when the group to be created is there.
	ErrExists = errors.New("the group exists already")
	// ErrNotFound is returned when there is no such group.
	ErrNotFound = errors.New("there is no such group")
	// ErrDefault is returned for an attempt to remove the group "default", which
	// agents without another one have.
	ErrDefault = errors.New("the group \"default\" cannot be removed")
)

// Owner is whom files and directories are given to; atomicfile.Keep (-1) leaves
// them ours.
type Owner struct{ UID, GID int }

// CheckName tells whether a group can have the name: ErrName or ErrReserved.
func CheckName(name string) error {
	if err := agent.CheckGroupName(name); err != nil {
		return err
	}
	if name == "all" || name[0] == '.' {
		return ErrReserved
	}
	return nil
}

// Create makes the directory of a group, with an agent.conf from
// etc/shared/agent-template.conf or else an empty one. Everything else about a
// group follows from its directory. It fails with ErrName, ErrReserved or
// ErrExists.
func Create(home *os.Root, name string, owner Owner) (err error) {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("create group %.64q: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("create group %s: %w", name, err)
		}
	}()
	shared, err := home.OpenRoot(sharedDir)
	if err != nil {
		return err
	}
	defer shared.Close()
	if info, err := shared.Lstat(name); err == nil {
		if info.IsDir() {
			return ErrExists
		}
		return fmt.Errorf("%w: %s/%s is in the way", ErrReserved, sharedDir, name)
	}
	content, err := newConf(shared)
	if err != nil {
		return err
	}
	if err := makeDir(shared, name, owner); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		return err
	}
	err = atomicfile.Write(shared, path.Join(name, agentConf), content,
		atomicfile.Options{Mode: fileMode, UID: owner.UID, GID: owner.GID, Sync: true})
	if err != nil {
		return errors.Join(err, shared.RemoveAll(name))
	}
	return nil
}

// newConf gives what a new group's agent.conf holds.
func newConf(shared *os.Root) ([]byte, error) {
	info, err := shared.Stat(template)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte(emptyConf), nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxTemplate {
		return nil, fmt.Errorf("%s/%s is no file of at most %d bytes", sharedDir, template, maxTemplate)
	}
	return shared.ReadFile(template)
}

// makeDir makes a directory that must not be there yet.
func makeDir(root *os.Root, name string, owner Owner) error {
	if err := root.Mkdir(name, 0o700); err != nil {
		return err
	}
	var err error
	if owner.UID >= 0 || owner.GID >= 0 {
		err = root.Chown(name, owner.UID, owner.GID)
	}
	if err == nil {
		err = root.Chmod(name, dirMode) // not by Mkdir: the umask is not ours
	}
	if err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return nil
}

// List gives the names of all groups, in byte order: the directories of
// etc/shared whose name a group can have. Links are no groups.
func List(home *os.Root) ([]string, error) {
	shared, err := home.OpenRoot(sharedDir)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	defer shared.Close()
	names, err := listShared(shared)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return names, nil
}

func listShared(shared *os.Root) (names []string, err error) {
	entries, err := readDir(shared, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// readDir gives the entries of a directory in byte order of their names.
func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	dir, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
