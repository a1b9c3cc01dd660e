package filetree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"testudo/internal/manifest"
)

// saveEvery bounds how long digests are kept in memory only.
const (
	saveEvery  = time.Minute
	saveDigest = 1000
)

// Scan is what the synchronised directories held.
type Scan struct {
	// Manifest holds every file that could be read. It is the same pointer as
	// after the scan before when nothing changed.
	Manifest *manifest.Manifest
	// Unreadable are files that belong to the tree and could not be read: no
	// permission, not a regular file, a link that leads nowhere, changing all
	// the time, a name that cannot travel.
	Unreadable []Problem
	// Directories are directories that could not be read, with all below.
	Directories []Problem
	// Hashed and HashedBytes count the contents that had to be read.
	Hashed      int
	HashedBytes int64
	// Steady says that a watch hears of whatever changes what was found: no file
	// is a link, on a file system that others may write to, unreadable, or so
	// new that a further change might not show.
	Steady bool
	Took   time.Duration
}

// Spare returns the difference without the extra files that this scan could not
// read: what a master cannot read at the moment must not be deleted at its
// workers.
func (s *Scan) Spare(d manifest.Difference) manifest.Difference {
	path := func(problems []Problem) []string {
		paths := make([]string, len(problems))
		for i, p := range problems {
			paths[i] = p.Path
		}
		return paths
	}
	return d.Spare(path(s.Unreadable), path(s.Directories))
}

// Scan finds out what the synchronised directories hold. Files whose state is
// that of the last scan are not read again. A scan waits for the one before. The
// error is that of the context; files and directories that cannot be read are in
// the result.
func (t *Tree) Scan(ctx context.Context) (*Scan, error) {
	t.scanning.Lock()
	defer t.scanning.Unlock()
	out := &Scan{}
	start := time.Now()
	pool := newHashPool(ctx, t)
	w := &walker{Tree: t, out: out, pool: pool, names: make([]byte, 32<<10)}
	var err error
	for i := range t.roots {
		w.item, w.nested = t.roots[i].item, t.roots[i].nested
		if err = w.walkRoot(t.roots[i].dir); err != nil {
			break
		}
	}
	pool.wait()
	if err = ctx.Err(); err != nil {
		return nil, fmt.Errorf("scanning the synchronised directories: %w", err)
	}
	w.settle()
	if t.dirty {
		if err := t.rebuild(); err != nil {
			return nil, err
		}
	}
	t.knownMu.Lock()
	t.known = nil
	t.knownMu.Unlock()
	t.maybeSave()
	out.Steady = len(out.Unreadable)+len(out.Directories) == 0
	for i := range t.roots {
		out.Steady = out.Steady && t.roots[i].dir.steady()
	}
	out.Manifest = t.last
	out.Took = time.Since(start)
	return out, nil
}

// settle takes over what the hashing found.
func (w *walker) settle() {
	for _, j := range w.pool.jobs {
		if j.reads > 0 {
			w.out.Hashed++
			w.out.HashedBytes += j.bytes
		}
		switch {
		case j.err == nil:
			w.unsaved++
			w.take(j.dir, j.file, j.result, j.key)
		case errors.Is(j.err, ErrChanging) && j.file.entry != nil:
			// What was known last is better than nothing; it is read again at
			// the next scan.
			j.file.settled = false
			w.out.Unreadable = append(w.out.Unreadable, Problem{Path: j.path(), Err: j.err})
		default:
			w.unreadable(j.dir, j.file, j.err)
		}
	}
}

// take makes a file's entry of its state and digest, if it has another yet.
func (t *Tree) take(d *directory, f *file, h hashed, key string) {
	f.stamp, f.settled = h.stamp, h.settled
	mod := h.stamp.modTime()
	if e := f.entry; e != nil && e.Digest == h.digest && e.ModTime == mod && e.Size == h.stamp.size {
		return
	}
	path := d.path + "/" + f.name
	if f.entry != nil {
		path = f.entry.Path
	}
	f.name = lastName(path) // shares the path's memory
	f.entry = &manifest.Entry{Path: path, ItemKey: key, ModTime: mod, Digest: h.digest, Size: h.stamp.size}
	t.dirty = true
}

// rebuild makes the manifest of the files' entries.
func (t *Tree) rebuild() error {
	var files []*file
	for i := range t.roots {
		t.roots[i].dir.eachFile(func(f *file) {
			if f.entry != nil {
				files = append(files, f)
			}
		})
	}
	slices.SortFunc(files, func(a, b *file) int { return strings.Compare(a.entry.Path, b.entry.Path) })
	entries := make([]manifest.Entry, len(files))
	for i, f := range files {
		entries[i] = *f.entry
		f.entry = &entries[i]
	}
	m, err := manifest.New(entries)
	if err != nil {
		return fmt.Errorf("scanning the synchronised directories: %w", err)
	}
	t.last, t.dirty = m, false
	return nil
}

// maybeSave writes the cache file when much or nothing recently was saved.
func (t *Tree) maybeSave() {
	if t.unsaved > 0 && (t.unsaved >= saveDigest || time.Since(t.saved) >= saveEvery) {
		t.saveCache()
	}
}
