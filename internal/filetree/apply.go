package filetree

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// The classes of a difference, as they stand in Problem.Class.
const (
	ClassMissing = "missing"
	ClassExtra   = "extra"
	ClassShared  = "shared"
)

// fewFiles is up to how many files are made durable one by one. More are by one
// sync of the file system, which may have to write what others left unwritten.
const fewFiles = 4

// Applied says what Apply did.
type Applied struct {
	Created, Updated, Removed int
	// Problems are the files of the difference that are not as they should be.
	Problems []Problem
}

// Apply makes the synchronised directories equal to what the difference says,
// from the staged contents, in the order missing, extra, shared
// (docs/integrity.md §6).
//
// First each entry is checked against Options.Items and each content against its
// entry's digest; then all contents are made durable at once; then each file is
// renamed into its place. Whenever it is interrupted, each file is wholly the old
// one or wholly the new one. A file that fails is a Problem and the rest goes on;
// an error is returned when nothing more could be done: the sync failed, or ctx
// ended.
//
// What stands in the way of a file or directory is removed when it is extra
// itself, a link or something else that is never synchronised, or a directory
// that is empty without its extra files. Directories emptied by a removal go too
// where the item says so, upwards to the item's own directory, which stays. A
// directory that holds excluded file names only counts as empty.
func (s *Stage) Apply(ctx context.Context, d manifest.Difference) (Applied, error) {
	a := &application{
		Tree: s.tree, stage: s, ctx: ctx, extra: d.Extra, handled: make([]bool, len(d.Extra)),
		roots: map[string]*itemDir{}, parent: -1, emptied: map[string]manifest.Item{},
	}
	defer a.close()
	defer s.tree.hear() // the watch tells of it only later
	if err := a.run(d); err != nil {
		return a.done, fmt.Errorf("applying a difference: %w", err)
	}
	return a.done, nil
}

// application is one run of Apply.
type application struct {
	*Tree
	stage *Stage
	ctx   context.Context
	done  Applied

	extra   []manifest.Entry
	handled []bool         // extra entries that are dealt with
	extraAt map[string]int // index by path, made when first needed

	roots      map[string]*itemDir // by item key
	parent     int                 // the directory used last, -1 = none
	parentPath string
	emptied    map[string]manifest.Item // directories that files were removed from
}

// itemDir is an item's own directory, or why it cannot be opened.
type itemDir struct {
	file *os.File
	err  error
}

// placing is one file that is to get its staged content.
type placing struct {
	entry  *manifest.Entry
	class  string
	item   manifest.Item
	member *member
}

func (a *application) run(d manifest.Difference) error {
	missing := a.verify(ClassMissing, d.Missing)
	shared := a.verify(ClassShared, d.Shared)
	a.verifyExtra()
	if err := a.syncStage(missing, shared); err != nil {
		return fmt.Errorf("making it durable: %w", err)
	}
	if err := a.place(missing); err != nil {
		return err
	}
	for i := range a.extra {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		a.removeExtra(i)
	}
	if err := a.place(shared); err != nil {
		return err
	}
	a.prune()
	return nil
}

func (a *application) problem(class, path string, err error) {
	a.done.Problems = append(a.done.Problems, Problem{Path: path, Class: class, Err: err})
}

// verify returns the entries that may be written and whose content is there.
func (a *application) verify(class string, entries []manifest.Entry) []placing {
	list := make([]placing, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if err := a.opts.Items.Check(*e); err != nil {
			a.problem(class, printable(e.Path), err)
			continue
		}
		item, _ := a.opts.Items.Lookup(e.ItemKey)
		m := a.stage.members[e.Path]
		switch {
		case m == nil:
			a.problem(class, e.Path, ErrNotStaged)
		case m.digest != e.Digest:
			a.problem(class, e.Path, ErrDigest)
		case m.claimed:
			a.problem(class, e.Path, manifest.ErrDuplicatePath)
		default:
			m.claimed = true
			list = append(list, placing{entry: e, class: class, item: item, member: m})
		}
	}
	return list
}

// verifyExtra takes out the extra entries that must not be removed.
func (a *application) verifyExtra() {
	for i := range a.extra {
		e := &a.extra[i]
		err := a.opts.Items.Check(*e)
		if m := a.stage.members[e.Path]; err == nil && m != nil && m.claimed {
			err = manifest.ErrDuplicatePath
		}
		if err != nil {
			a.handled[i] = true
			a.problem(ClassExtra, printable(e.Path), err)
		}
	}
}

// syncStage makes the contents durable, so that no rename can come to disk
// before the content it shows.
func (a *application) syncStage(missing, shared []placing) error {
	count := len(missing) + len(shared)
	if count == 0 {
		return nil
	}
	dir := int(a.stage.dir.Fd())
	if count > fewFiles {
		return syncFileSystem(dir)
	}
	for _, list := range [][]placing{missing, shared} {
		for _, p := range list {
			fd, err := openat(dir, p.member.name, openFileFlags|unix.O_NOFOLLOW, 0)
			if err != nil {
				return err
			}
			err = retry(func() error { return unix.Fsync(fd) })
			if err := cmp.Or(err, unix.Close(fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// place puts each file into its place. The error is one that ends all.
func (a *application) place(list []placing) error {
	var across []placing
	for _, p := range list {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		err := a.install(p, int(a.stage.dir.Fd()), p.member.name, p.member.stamp)
		switch {
		case isKind(err, unix.EXDEV):
			across = append(across, p)
		case err != nil:
			a.problem(p.class, p.entry.Path, err)
		}
	}
	return a.placeAcross(across)
}

// install renames a durable file into its place. was is its state before.
func (a *application) install(p placing, dirfd int, name string, was stamp) error {
	parent, err := a.openParent(p.item, p.entry.Path, true)
	if err != nil {
		return err
	}
	base := lastName(p.entry.Path)
	err = unix.Renameat(dirfd, name, parent, base)
	if isKind(err, unix.EISDIR, unix.ENOTEMPTY, unix.EEXIST) {
		if err := a.clearDirectory(parent, p.entry.Path); err != nil {
			return err
		}
		if parent, err = a.openParent(p.item, p.entry.Path, true); err == nil {
			err = unix.Renameat(dirfd, name, parent, base)
		}
	}
	if err != nil {
		return err
	}
	if p.class == ClassMissing {
		a.done.Created++
	} else {
		a.done.Updated++
	}
	// Renaming changes the ctime only: if nothing else changed, the content is
	// the one that was hashed, and the next scan need not read it.
	var st unix.Stat_t
	if fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		is := stampOf(&st)
		was.ctime = is.ctime
		if is == was {
			a.remember(is, p.entry.Digest)
		}
	}
	return nil
}

func (a *application) close() {
	a.closeParent()
	for _, root := range a.roots {
		if root.file != nil {
			root.file.Close()
		}
	}
}
