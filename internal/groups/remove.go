package groups

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"testudo/internal/agent"
)

// ErrLeft is returned when a group is gone, but not all of what was in it could
// be deleted. CleanRemoved deletes it later.
var ErrLeft = errors.New("the group is removed, but its files are still there under another name")

const (
	// removedPrefix begins the name that a group's directory has while it is
	// deleted: hidden, so no group's, and random behind it.
	removedPrefix = ".testudo-removed-"
	randomSize    = 26 // of rand.Text
)

// removedDirs are where such a directory is put: beside etc/shared, where nothing
// is synchronised but client.keys, or else in it, if etc is on another file
// system or cannot be written to.
var removedDirs = [...]string{path.Dir(sharedDir), sharedDir}

// Remove deletes the directory of a group with all that is in it. Links in it
// are removed, not what they point to. The directory loses its name before its
// files go: whoever looks sees the whole group or none, also after a crash. It
// fails with ErrName, ErrDefault, ErrNotFound or ErrLeft. The group's agents are
// looked after where the group's row is deleted (docs/agentdb.md §7.5).
func Remove(home *os.Root, name string) error {
	return remover{home, home.Rename, home.RemoveAll}.remove(name)
}

// remover removes groups of a home by the means it is given.
type remover struct {
	home      *os.Root
	rename    func(from, to string) error
	removeAll func(dir string) error
}

func (r remover) remove(name string) (err error) {
	if err := agent.CheckGroupName(name); err != nil {
		return fmt.Errorf("remove group %.64q: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("remove group %s: %w", name, err)
		}
	}()
	if name == agent.DefaultGroup {
		return ErrDefault
	}
	at := path.Join(sharedDir, name)
	info, err := r.home.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case err != nil:
		return err
	case !info.IsDir() || CheckName(name) != nil:
		return ErrNotFound
	}
	aside, err := r.setAside(at)
	if err != nil {
		return err
	}
	if err := r.removeAll(aside); err != nil {
		return fmt.Errorf("%w: %w", ErrLeft, err)
	}
	return nil
}

// setAside gives a directory a name that is no group's.
func (r remover) setAside(dir string) (aside string, err error) {
	var failed []error
	for _, parent := range removedDirs {
		aside = path.Join(parent, removedPrefix+rand.Text())
		err := r.rename(dir, aside)
		if err == nil {
			return aside, nil
		}
		failed = append(failed, err)
	}
	if errors.Is(errors.Join(failed...), fs.ErrNotExist) { // somebody else was faster
		return "", ErrNotFound
	}
	return "", errors.Join(failed...)
}

// CleanRemoved deletes what a removal that failed, or was cut short by a crash,
// has left. It does no harm to one that runs.
func CleanRemoved(home *os.Root) error {
	var failed []error
	for _, parent := range removedDirs {
		entries, err := readDir(home, parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
		for _, e := range entries {
			if e.IsDir() && isRemoved(e.Name()) {
				failed = append(failed, home.RemoveAll(path.Join(parent, e.Name())))
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("clean up after removed groups: %w", err)
	}
	return nil
}

// isRemoved tells whether a directory's name is one that Remove gives.
func isRemoved(name string) bool {
	random, ok := strings.CutPrefix(name, removedPrefix)
	return ok && len(random) == randomSize && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
