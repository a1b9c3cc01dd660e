package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"testudo/internal/manifest"
)

const (
	generations   = 4    // files that a full spool has, about
	entryCost     = 1024 // what an entry counts at least, for its place in memory
	copyBuffer    = 64 << 10
	spoolPrefix   = "packed-"
	spoolSuffix   = ".spool"
	spoolFileMode = 0o600 // keys of agents are in it
	spoolDirMode  = 0o770
)

var (
	// ErrChanged is returned when a file's content is not the one whose digest
	// was asked for.
	ErrChanged = errors.New("content has another digest")
	// ErrSpoolClosed is returned when a closed Spool is used.
	ErrSpoolClosed = errors.New("spool of compressed files is closed")
	// ErrReleased is returned when a released Packed is read.
	ErrReleased = errors.New("compressed file is released")
)

// A Spool keeps files compressed on disk, found by the digest of their content,
// so that a file is compressed once however many nodes it is sent to. It is
// safe for concurrent use.
//
// Compressed bytes are appended to a file, the current generation; when the
// spool is full its oldest generation goes as a whole, and when the disk is full
// all of them. What is being read from it stays readable until it is released.
type Spool struct {
	root    *os.Root
	dir     string
	max     int64
	packers sync.Pool // of *worker
	buffers sync.Pool // of *[copyBuffer]byte

	mu       sync.Mutex
	gens     []*generation // the last is the current one
	entries  map[manifest.Digest]*entry
	flights  map[manifest.Digest]*flight
	numbered int
	closed   bool
}

// generation is one file of the spool. Its fields but file are guarded by
// Spool.mu.
type generation struct {
	file    *os.File
	name    string
	size    int64 // bytes appended or about to be
	cost    int64 // size, or more for many small entries
	users   int   // entries being read or written
	dropped bool
	digests []manifest.Digest
}

// entry is one compressed file. It does not change.
type entry struct {
	gen           *generation
	extents       []extent
	packed, clear int64
}

type extent struct{ at, size int64 }

// flight is the packing of one file, for which others may wait.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// worker is what packing one file needs.
type worker struct {
	packer *packer
	hash   *manifest.Hasher
}

// OpenSpool opens an empty spool in dir, which is made if it is not there;
// what an earlier one left in it is removed. Its files have maxBytes together
// at most, apart from what is being packed or read: one entry may be larger,
// until the next. level is as for NewWriter.
func OpenSpool(root *os.Root, dir string, maxBytes int64, level int) (*Spool, error) {
	s := &Spool{
		root:    root,
		dir:     dir,
		max:     maxBytes,
		entries: make(map[manifest.Digest]*entry),
		flights: make(map[manifest.Digest]*flight),
	}
	s.packers.New = func() any { return &worker{newPacker(level), manifest.NewHasher()} }
	s.buffers.New = func() any { return new([copyBuffer]byte) }
	if err := root.MkdirAll(dir, spoolDirMode); err != nil {
		return nil, fmt.Errorf("making the spool: %w", err)
	}
	if err := s.clean(); err != nil {
		return nil, fmt.Errorf("emptying the spool: %w", err)
	}
	return s, nil
}

// clean removes the files of an earlier spool.
func (s *Spool) clean() error {
	d, err := s.root.Open(s.dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, spoolPrefix) && strings.HasSuffix(name, spoolSuffix) {
			err = errors.Join(err, s.root.Remove(path.Join(s.dir, name)))
		}
	}
	return err
}

// Close removes the spool's files. What has been given out stays readable.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var err error
	for len(s.gens) > 0 {
		err = errors.Join(err, s.dropOldestLocked())
	}
	return err
}

// Bytes is how many bytes the spool's files have together.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, g := range s.gens {
		n += g.size
	}
	return n
}

// Get gives the compressed form of the content with digest d, which must be
// released. If the spool does not have it, open gives the content, and it is
// compressed while its digest is checked; callers that want the same meanwhile
// wait for that. The error is ErrChanged when the content is another, else
// that of opening, reading or writing, or of ctx.
func (s *Spool) Get(ctx context.Context, d manifest.Digest, open func() (io.ReadCloser, error)) (*Packed, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrSpoolClosed
		}
		if e := s.entries[d]; e != nil {
			e.gen.users++
			s.mu.Unlock()
			return &Packed{spool: s, entry: e}, nil
		}
		f := s.flights[d]
		if f == nil {
			return s.leadLocked(ctx, d, open)
		}
		s.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// What became of the leader's own context is not our failure.
		if f.err != nil && !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return nil, f.err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// leadLocked packs the content on behalf of all who want it. It unlocks s.mu.
func (s *Spool) leadLocked(ctx context.Context, d manifest.Digest, open func() (io.ReadCloser, error)) (*Packed, error) {
	defer s.mu.Unlock()
	f := &flight{done: make(chan struct{})}
	s.flights[d] = f
	e, err := s.packLocked(ctx, d, open)
	if isFull(err) && len(s.gens) > 0 {
		s.forgetAllLocked()
		e, err = s.packLocked(ctx, d, open)
	}
	delete(s.flights, d)
	f.err = err
	close(f.done)
	if err != nil {
		return nil, err
	}
	s.insertLocked(d, e)
	return &Packed{spool: s, entry: e}, nil
}

// packLocked packs the content into the current generation, which is in use then
// on behalf of the entry. It unlocks s.mu meanwhile.
func (s *Spool) packLocked(ctx context.Context, d manifest.Digest, open func() (io.ReadCloser, error)) (*entry, error) {
	if s.closed {
		return nil, ErrSpoolClosed
	}
	g, err := s.currentLocked()
	if err != nil {
		return nil, &SpoolError{err}
	}
	g.users++
	s.mu.Unlock()
	e, err := s.pack(ctx, g, d, open)
	s.mu.Lock()
	if err != nil {
		s.releaseLocked(g)
	}
	return e, err
}

// pack compresses a content into generation g and checks its digest.
func (s *Spool) pack(ctx context.Context, g *generation, d manifest.Digest, open func() (io.ReadCloser, error)) (_ *entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	content, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()

	w := s.packers.Get().(*worker)
	defer s.packers.Put(w)
	w.hash.Reset()
	to := &appender{spool: s, gen: g}
	w.packer.start(to, w.hash)
	if err := w.packer.readFrom(ctx, content); err != nil {
		return nil, err
	}
	if err := w.packer.finish(); err != nil {
		return nil, err
	}
	if w.hash.Digest() != d {
		return nil, ErrChanged
	}
	return &entry{gen: g, extents: to.extents, packed: w.packer.packed, clear: w.packer.clear}, nil
}
