package filetree

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/manifest"
)

// directory is what one synchronised directory held at the last scan.
type directory struct {
	path string // relative to the home
	// stamp is the directory's own state when its names were read. While it
	// stays the same, so do the names. Zero: the names have to be read.
	stamp stamp
	// absent says that it was not there.
	absent bool
	files  []file
	dirs   []*directory
	// unnameable are the names that cannot travel.
	unnameable []Problem
}

// file is one file of a directory that is synchronised by its name.
type file struct {
	name string
	// stamp is the state of the content (of a link's target) that was hashed.
	stamp stamp
	// settled says that the stamp tells every change since.
	settled bool
	// link says that the name is a link.
	link bool
	// entry is the file in the manifest; nil when it is not there.
	entry *manifest.Entry
}

// name returns the last part of the directory's path.
func (d *directory) name() string { return lastName(d.path) }

// eachFile calls f for each file of the directory and those below.
func (d *directory) eachFile(f func(*file)) {
	for i := range d.files {
		f(&d.files[i])
	}
	for _, sub := range d.dirs {
		sub.eachFile(f)
	}
}

// steady tells whether nothing below the directory may change unheard of.
func (d *directory) steady() bool {
	if d.absent {
		return true // the directory above it is watched
	}
	for i := range d.files {
		if f := &d.files[i]; f.link || f.entry == nil || !f.settled {
			return false
		}
	}
	return d.stamp != stamp{} && !slices.ContainsFunc(d.dirs, func(sub *directory) bool { return !sub.steady() })
}

// clear forgets everything and tells whether there were entries.
func (d *directory) clear() bool {
	had := false
	d.eachFile(func(f *file) { had = had || f.entry != nil })
	*d = directory{path: d.path}
	return had
}

// walker is one scan of one item.
type walker struct {
	*Tree
	item   manifest.Item
	nested bool
	out    *Scan
	pool   *hashPool
	names  []byte // for reading directories
	stat   unix.Stat_t
}

// walkRoot scans the item's own directory and those below.
func (w *walker) walkRoot(d *directory) error {
	fd, err := openat(int(w.dir.Fd()), d.path, openDirFlags&^unix.O_NOFOLLOW, 0)
	if err != nil {
		w.noDirectory(d, err)
		return nil
	}
	return w.walk(fd, d, 0)
}

// noDirectory takes note that a directory cannot be read. One that is not there
// is simply empty.
func (w *walker) noDirectory(d *directory, err error) {
	w.dirty = d.clear() || w.dirty
	d.absent = errors.Is(err, unix.ENOENT)
	if !d.absent {
		w.out.Directories = append(w.out.Directories, Problem{Path: d.path, Err: err})
	}
}

// walk scans an open directory, which it closes, and those below. It returns an
// error only when the scan is to end.
func (w *walker) walk(fd int, d *directory, depth int) error {
	handle := newHandle(fd)
	defer handle.release()
	if depth > maxDepth {
		w.noDirectory(d, ErrTooDeep)
		return nil
	}
	if err := w.pool.ctx.Err(); err != nil {
		return err
	}
	if err := w.files(handle, d); err != nil {
		w.noDirectory(d, err)
		return nil
	}
	w.out.Unreadable = append(w.out.Unreadable, d.unnameable...)
	for _, sub := range d.dirs {
		subFD, err := openat(fd, sub.name(), openDirFlags, 0)
		if err != nil {
			// Gone or replaced: read the names anew at the next scan.
			if isKind(err, unix.ENOENT, unix.ENOTDIR, unix.ELOOP) {
				d.stamp, err = stamp{}, unix.ENOENT
			}
			w.noDirectory(sub, err)
			continue
		}
		if err := w.walk(subFD, sub, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// files looks at each file of the directory, after reading its names if they
// may have changed.
func (w *walker) files(dir *handle, d *directory) error {
	now := time.Now()
	if err := unix.Fstat(dir.fd, &w.stat); err != nil {
		return err
	}
	d.absent = false
	s := stampOf(&w.stat)
	if d.stamp != s {
		complete, err := w.list(dir, d)
		if err != nil {
			return err
		}
		d.stamp = stamp{}
		if complete && w.windows.settled(s, now, dir.fd) && !w.windows.coarse(s.dev, dir.fd) {
			d.stamp = s
		}
		return nil
	}
	for i := range d.files {
		f := &d.files[i]
		err := fstatat(dir.fd, f.name, &w.stat, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			d.stamp = stamp{}
			w.unreadable(d, f, err)
			continue
		}
		w.look(dir, d, f)
	}
	return nil
}

// list reads the names in the directory and looks at each that is new or known.
// complete is false when it could not look at one.
func (w *walker) list(dir *handle, d *directory) (complete bool, err error) {
	names, err := readNames(dir.fd, w.names)
	if err != nil {
		return false, err
	}
	old := newKnownNames(d)
	complete = true
	d.files, d.dirs, d.unnameable = make([]file, 0, len(names)), nil, nil
	for _, name := range names {
		accepted := w.opts.Items.Accepts(w.item, name)
		if !accepted && !w.item.Recursive {
			continue
		}
		if err := fstatat(dir.fd, name, &w.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			if !errors.Is(err, unix.ENOENT) {
				complete = false
				w.out.Unreadable = append(w.out.Unreadable, Problem{Path: printable(d.path + "/" + name), Err: err})
			}
			continue
		}
		isDir := w.stat.Mode&unix.S_IFMT == unix.S_IFDIR
		switch {
		case isDir && !w.item.Recursive, !isDir && !accepted:
			continue
		case w.cannotTravel(d, name):
			continue
		case isDir:
			d.dirs = append(d.dirs, old.directory(d, name))
		case !w.nested || w.ownsFile(d, name):
			d.files = append(d.files, old.file(name))
			w.look(dir, d, &d.files[len(d.files)-1])
		}
	}
	w.dirty = old.lost() || w.dirty
	return complete, nil
}

// cannotTravel takes note of a name that no path of the protocol can hold.
func (w *walker) cannotTravel(d *directory, name string) bool {
	err := manifest.CheckPath(d.path + "/" + name)
	if err != nil {
		d.unnameable = append(d.unnameable, Problem{Path: printable(d.path + "/" + name), Err: err})
	}
	return err != nil
}

// ownsFile tells whether a file below nested items belongs to this item.
func (w *walker) ownsFile(d *directory, name string) bool {
	owner, err := w.opts.Items.Match(d.path + "/" + name)
	return err == nil && owner.Key == w.item.Key
}

// look decides, by w.stat (of the name itself, not of a link's target), whether
// the file's entry still holds.
func (w *walker) look(dir *handle, d *directory, f *file) {
	link := w.stat.Mode&unix.S_IFMT == unix.S_IFLNK
	f.link = link
	if link {
		if err := fstatat(dir.fd, f.name, &w.stat, 0); err != nil {
			w.report(d, f, fmt.Errorf("following the link: %w", err))
			return
		}
	}
	switch w.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		w.forget(f) // links to directories are not followed
		return
	default:
		w.report(d, f, ErrNotRegular)
		return
	}
	s := stampOf(&w.stat)
	if f.entry != nil && f.settled && f.stamp == s {
		return
	}
	if digest, ok := w.recall(s); ok {
		w.take(d, f, hashed{stamp: s, settled: true, digest: digest}, w.item.Key)
		return
	}
	w.pool.add(dir, job{dir: d, file: f, link: link, key: w.item.Key})
}

// unreadable takes note that a file cannot be read, unless it is just gone.
func (w *walker) unreadable(d *directory, f *file, err error) {
	if errors.Is(err, unix.ENOENT) {
		w.forget(f)
		return
	}
	w.report(d, f, err)
}

// report takes the file out of the manifest and says why.
func (w *walker) report(d *directory, f *file, err error) {
	w.forget(f)
	w.out.Unreadable = append(w.out.Unreadable, Problem{Path: d.path + "/" + f.name, Err: err})
}

func (t *Tree) forget(f *file) {
	t.dirty = t.dirty || f.entry != nil
	f.entry, f.stamp, f.settled = nil, stamp{}, false
}

// knownNames are the files and directories that a directory had before its
// names were read anew. Mostly the names come in the same order again, so they
// are compared in turn, and looked up only when that fails.
type knownNames struct {
	files    []file
	dirs     []*directory
	nextFile int
	nextDir  int
	byName   map[string]int
	dirNames map[string]int
	entries  int // of files, not yet found again
}

func newKnownNames(d *directory) *knownNames {
	k := &knownNames{files: d.files, dirs: d.dirs}
	for i := range d.files {
		if d.files[i].entry != nil {
			k.entries++
		}
	}
	return k
}

// file returns what is known of a file of this name.
func (k *knownNames) file(name string) file {
	i := k.nextFile
	if i >= len(k.files) || k.files[i].name != name {
		if k.byName == nil {
			k.byName = make(map[string]int, len(k.files))
			for i := range k.files {
				k.byName[k.files[i].name] = i
			}
		}
		var ok bool
		if i, ok = k.byName[name]; !ok {
			return file{name: name}
		}
	}
	k.nextFile = i + 1
	if k.files[i].entry != nil {
		k.entries--
	}
	return k.files[i]
}

// directory returns what is known of a directory of this name.
func (k *knownNames) directory(parent *directory, name string) *directory {
	i := k.nextDir
	if i >= len(k.dirs) || k.dirs[i] == nil || k.dirs[i].name() != name {
		if k.dirNames == nil {
			k.dirNames = make(map[string]int, len(k.dirs))
			for i, d := range k.dirs {
				if d != nil {
					k.dirNames[d.name()] = i
				}
			}
		}
		var ok bool
		if i, ok = k.dirNames[name]; !ok {
			return &directory{path: parent.path + "/" + name}
		}
	}
	k.nextDir = i + 1
	found := k.dirs[i]
	k.dirs[i] = nil
	return found
}

// lost tells whether entries were not found again.
func (k *knownNames) lost() bool {
	lost := k.entries > 0
	for _, d := range k.dirs {
		if d != nil && d.clear() {
			lost = true
		}
	}
	return lost
}
