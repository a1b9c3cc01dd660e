package filetree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"testudo/internal/atomicfile"
	"testudo/internal/manifest"
)

// removeExtra removes one extra file, unless that is done. An absent one is
// fine.
func (a *application) removeExtra(i int) {
	if a.handled[i] {
		return
	}
	a.handled[i] = true
	e := &a.extra[i]
	item, _ := a.opts.Items.Lookup(e.ItemKey)
	if item.RemoveEmpty {
		a.emptied[path.Dir(e.Path)] = item
	}
	parent, err := a.openParent(item, e.Path, false)
	if err == nil {
		err = unix.Unlinkat(parent, lastName(e.Path), 0)
	}
	switch {
	case err == nil:
		a.done.Removed++
	case errors.Is(err, fs.ErrNotExist), isKind(err, unix.ENOTDIR, unix.ELOOP, unix.EISDIR):
		// There is no such file.
	default:
		a.problem(ClassExtra, e.Path, err)
	}
}

// prune removes the directories that were emptied, deepest first, and those
// above them that are empty then.
func (a *application) prune() {
	a.closeParent()
	dirs := slices.SortedFunc(maps.Keys(a.emptied), func(x, y string) int {
		return cmp.Or(strings.Count(y, "/")-strings.Count(x, "/"), strings.Compare(x, y))
	})
	for _, dir := range dirs {
		item := a.emptied[dir]
		for !a.holdsItem(dir) && a.removeEmpty(item, dir) {
			dir = path.Dir(dir)
		}
	}
	a.closeParent()
}

// removeEmpty removes a directory that holds nothing, or excluded files only,
// and tells whether it is gone.
func (a *application) removeEmpty(item manifest.Item, dir string) bool {
	parent, err := a.openParent(item, dir, false)
	if err != nil {
		return false
	}
	name := lastName(dir)
	err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	if isKind(err, unix.ENOTEMPTY, unix.EEXIST) && a.onlyExcluded(parent, name) {
		err = a.hollow(parent, name, true, 0)
	}
	if err != nil && !isKind(err, unix.ENOTEMPTY, unix.EEXIST, unix.ENOENT, unix.ENOTDIR) {
		a.log.Warn("An emptied directory stays.", "directory", dir, "error", err)
	}
	return err == nil
}

// holdsItem tells whether a directory is an item's own, or one is below it.
func (a *application) holdsItem(dir string) bool {
	return slices.ContainsFunc(a.opts.Items.List, func(item manifest.Item) bool {
		return strings.HasPrefix(item.Dir()+"/", dir+"/")
	})
}

// onlyExcluded tells whether a directory holds nothing but excluded files.
func (a *application) onlyExcluded(parent int, name string) bool {
	fd, err := openat(parent, name, openDirFlags, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	names, err := readNames(fd, make([]byte, 8<<10))
	return err == nil && !slices.ContainsFunc(names, func(name string) bool {
		var st unix.Stat_t
		return !slices.Contains(a.opts.Items.ExcludedFiles, name) ||
			fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR
	})
}

// temporaryName is the name that a file has beside its place until it is
// complete.
func temporaryName(name string) string {
	if len(name)+len("..tmp") > manifest.MaxName {
		name = manifest.DigestOf([]byte(name)).String()[:32]
	}
	return "." + name + ".tmp"
}

// CleanTemporary removes the files that an interrupted Apply (of ours or of the
// original) left beside their places: .NAME.tmp, where NAME could be a
// synchronised file, and what an interrupted atomicfile.Write left there. Neither
// may be running. It returns how many it removed.
func (t *Tree) CleanTemporary(ctx context.Context) (int, error) {
	removed := 0
	var failed []error
	for _, item := range t.opts.Items.List {
		err := fs.WalkDir(t.root.FS(), item.Dir(), func(p string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				failed = append(failed, err)
				return nil
			case d.IsDir() && p != item.Dir() && !item.Recursive:
				return fs.SkipDir
			case d.Type().IsRegular() && t.isTemporary(item, d.Name()):
				if err := t.root.Remove(p); err != nil {
					failed = append(failed, err)
					return nil
				}
				removed++
			}
			return nil
		})
		if err != nil {
			return removed, fmt.Errorf("removing temporary files: %w", err)
		}
	}
	if len(failed) > 0 {
		return removed, fmt.Errorf("removing temporary files: %w", errors.Join(failed...))
	}
	return removed, nil
}

func (t *Tree) isTemporary(item manifest.Item, name string) bool {
	if atomicfile.IsTemporary(name) {
		return true
	}
	inner, dot := strings.CutPrefix(name, ".")
	inner, tmp := strings.CutSuffix(inner, ".tmp")
	return dot && tmp && inner != "" && t.opts.Items.Accepts(item, inner)
}
