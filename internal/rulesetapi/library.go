package rulesetapi

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
)

// libraryLimits bound what is read and kept.
type libraryLimits struct {
	kept int64 // text of all files whose items are kept
	file int64 // text of one file
}

// book is a file with its items. It does not change.
type book[T any] struct {
	file  file
	stamp stamp
	items []T
	err   error // why there are no items
}

// shelf keeps the items of files as long as these are the same. It holds what
// the last list of files named, and no more.
type shelf[T any] struct {
	limits libraryLimits
	parse  func(f file, text []byte) ([]T, error)
	order  func(items []T) // of the items of all files; nil leaves them in the order of the files

	mu     sync.Mutex
	books  map[string]*book[T]
	last   []*book[T] // of the last answer
	all    []T        // their items
	values *values    // these decoded
}

func newShelf[T any](l libraryLimits, parse func(file, []byte) ([]T, error), order func([]T)) *shelf[T] {
	return &shelf[T]{limits: l, parse: parse, order: order, books: map[string]*book[T]{}, values: newValues()}
}

// load gives the items of all files, and the files that could not be read. The
// items are shared: nobody may change them. The error is the context's; what was
// read until then is there for the next request.
func (s *shelf[T]) load(ctx context.Context, home disk, files []file) (items []T, broken []*book[T], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := folders{home: home, open: map[string]*os.Root{}}
	defer d.close()
	var kept int64
	books := make([]*book[T], len(files))
	for i, f := range files {
		if err := ctx.Err(); err != nil {
			for _, b := range books[:i] {
				s.books[b.file.path()] = b
			}
			return nil, nil, err
		}
		b := s.open(&d, f, s.limits.kept-kept)
		kept += b.stamp.size
		books[i] = b
		if b.err != nil {
			broken = append(broken, b)
		}
	}
	if s.all == nil || !slices.Equal(books, s.last) {
		s.put(books)
	}
	return s.all, broken, nil
}

// open gives the book of a file: the one that is there if the file is the same.
func (s *shelf[T]) open(d *folders, f file, room int64) *book[T] {
	now, err := d.stampOf(f)
	if err != nil {
		return &book[T]{file: f, err: err}
	}
	if old := s.books[f.path()]; old != nil && old.file == f && old.stamp.same(now) && now.size <= room {
		return old
	}
	text, now, err := d.home.readFile(f.path(), min(s.limits.file, max(room, 0)))
	if err != nil {
		return &book[T]{file: f, err: err}
	}
	items, err := s.parse(f, text)
	return &book[T]{file: f, stamp: now, items: items, err: err}
}

// put makes books what is kept.
func (s *shelf[T]) put(books []*book[T]) {
	clear(s.books)
	all := []T{}
	for _, b := range books {
		s.books[b.file.path()] = b
		all = append(all, b.items...)
	}
	if s.order != nil {
		s.order(all)
	}
	s.last, s.all, s.values = books, all, newValues()
}

// decoded gives items decoded as they were, or will be, for others.
func (s *shelf[T]) decoded() func(json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values.of
}

// folders keeps the folders open that files are looked at in, which spares the
// way to them for each file.
type folders struct {
	home disk
	open map[string]*os.Root // nil: none could be opened
}

func (d *folders) close() {
	for _, root := range d.open {
		if root != nil {
			root.Close()
		}
	}
}

// stampOf is stampOf for a file below the home. A link may lead out of its
// folder as long as it stays in the home.
func (d *folders) stampOf(f file) (stamp, error) {
	root, ok := d.open[f.dir]
	if !ok {
		root, _ = d.home.root.OpenRoot(f.dir)
		d.open[f.dir] = root
	}
	if root != nil {
		if s, err := (disk{root, d.home.now}).stampOf(f.name); err == nil {
			return s, nil
		}
	}
	return d.home.stampOf(f.path())
}
