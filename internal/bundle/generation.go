package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"testudo/internal/manifest"
)

// currentLocked gives the generation to append to.
func (s *Spool) currentLocked() (*generation, error) {
	if n := len(s.gens); n > 0 && s.gens[n-1].cost < s.max/generations {
		return s.gens[n-1], nil
	}
	s.numbered++
	name := path.Join(s.dir, fmt.Sprint(spoolPrefix, s.numbered, spoolSuffix))
	file, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, spoolFileMode)
	if err != nil {
		return nil, err
	}
	g := &generation{file: file, name: name}
	s.gens = append(s.gens, g)
	s.shrinkLocked()
	return g, nil
}

// insertLocked makes e findable, unless its generation has gone meanwhile.
func (s *Spool) insertLocked(d manifest.Digest, e *entry) {
	g := e.gen
	if g.dropped {
		return
	}
	s.entries[d] = e
	g.digests = append(g.digests, d)
	g.cost += max(0, entryCost-e.packed)
	s.shrinkLocked()
}

// shrinkLocked drops old generations, never the current one, while all are
// over the limit.
func (s *Spool) shrinkLocked() {
	for len(s.gens) > 1 && s.costLocked() > s.max {
		// A file that cannot be removed now is removed at the next opening.
		_ = s.dropOldestLocked()
	}
}

func (s *Spool) costLocked() (cost int64) {
	for _, g := range s.gens {
		cost += g.cost
	}
	return cost
}

// forgetAllLocked gives the disk back what the spool has of it: a file that is
// compressed anew costs less than one that cannot be sent.
func (s *Spool) forgetAllLocked() {
	for len(s.gens) > 0 {
		// A file that cannot be removed now is removed at the next opening.
		_ = s.dropOldestLocked()
	}
}

// isFull says whether an error is that of a full disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// dropOldestLocked forgets the oldest generation and removes its file.
func (s *Spool) dropOldestLocked() error {
	g := s.gens[0]
	s.gens = append(s.gens[:0:0], s.gens[1:]...)
	for _, d := range g.digests {
		delete(s.entries, d)
	}
	g.digests, g.dropped = nil, true
	err := s.root.Remove(g.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // who empties the directory may
	}
	g.users++
	s.releaseLocked(g)
	return err
}

// releaseLocked ends one use of g, and closes it after the last.
func (s *Spool) releaseLocked(g *generation) {
	g.users--
	if g.dropped && g.users == 0 {
		_ = g.file.Close() // nothing of it will be read
	}
}

// SpoolError is returned when a compressed file cannot be kept: the disk is at
// fault, not the file.
type SpoolError struct{ Err error }

func (e *SpoolError) Error() string {
	if p, ok := errors.AsType[*fs.PathError](e.Err); ok { // its name tells nobody anything
		return "writing to the spool: " + p.Err.Error()
	}
	return "writing to the spool: " + e.Err.Error()
}

// Unwrap gives the disk's error.
func (e *SpoolError) Unwrap() error { return e.Err }

// appender writes one entry to the end of a generation, beside others that do
// the same. Each write takes its place first, so that writing needs no lock.
type appender struct {
	spool   *Spool
	gen     *generation
	extents []extent
}

func (a *appender) Write(b []byte) (int, error) {
	size := int64(len(b))
	a.spool.mu.Lock()
	at := a.gen.size
	a.gen.size += size
	a.gen.cost += size
	a.spool.mu.Unlock()

	if n := len(a.extents); n > 0 && a.extents[n-1].at+a.extents[n-1].size == at {
		a.extents[n-1].size += size
	} else {
		a.extents = append(a.extents, extent{at, size})
	}
	n, err := a.gen.file.WriteAt(b, at)
	if err != nil {
		return n, &SpoolError{err}
	}
	return n, nil
}
