package groups

import (
	"crypto/md5" //nolint:gosec // agents know the file by it
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"testudo/internal/atomicfile"
)

// output is what is known of one merged.mg: what it was made of, and the file.
type output struct {
	key   uint64 // of what went in
	stamp stamp  // of the file
	sum   sum    // of the file
	known bool   // stamp and sum are valid
}

// sum is the MD5 of a merged.mg, by which agents know it.
type sum [md5.Size]byte

func newSum() hash.Hash { return md5.New() } //nolint:gosec // as above

// make brings the merged.mg at a path of the home up to date: it is written
// when its content differs from what it should be. key stands for everything
// that goes in.
func (s *scan) make(name string, key uint64, planned func() *plan) error {
	o := s.outputs[name]
	if o == nil {
		o = &output{}
		s.outputs[name] = o
	}
	present, err := s.lookAt(name, o)
	if err != nil {
		return err
	}
	if present && o.known && o.key == key {
		return nil
	}
	p := planned()
	want, err := s.sumOf(p)
	if err != nil {
		return err
	}
	if present && !o.known {
		if err := s.readSum(name, o); err != nil {
			return err
		}
	}
	if !present || o.sum != want {
		if err := s.write(name, p, o); err != nil {
			return err
		}
	}
	o.key = key
	return nil
}

// lookAt tells whether the file is there. What is known of it is forgotten when
// it is another one.
func (s *scan) lookAt(name string, o *output) (present bool, err error) {
	info, err := s.cfg.Home.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.known = false
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular(): // a link is replaced, a directory is an error later
		o.known = false
		return false, nil
	}
	if at := stampOf(info); !o.known || o.stamp != at {
		o.stamp, o.known = at, false
	}
	return true, nil
}

// sumOf reads everything that the file should consist of.
func (s *scan) sumOf(p *plan) (got sum, err error) {
	content := p.open(s.shared)
	defer content.Close()
	h := newSum()
	if _, err := io.Copy(h, content); err != nil {
		return got, err
	}
	h.Sum(got[:0])
	return got, nil
}

// readSum reads the file that is there. Should it change meanwhile, its stamp
// will have.
func (s *scan) readSum(name string, o *output) error {
	f, _, err := openFile(s.cfg.Home, name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := newSum()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	h.Sum(o.sum[:0])
	o.known = true
	return nil
}

// write puts a new file in the place of the old one.
func (s *scan) write(name string, p *plan, o *output) error {
	content := p.open(s.shared)
	defer content.Close()
	h := newSum()
	_, err := atomicfile.WriteFrom(s.cfg.Home, name, io.TeeReader(content, h),
		atomicfile.Options{Mode: fileMode, UID: s.cfg.Owner.UID, GID: s.cfg.Owner.GID})
	if err != nil {
		return err
	}
	s.result.Written++
	s.cfg.Metrics.MergedFileWritten()
	info, err := s.cfg.Home.Lstat(name)
	if err != nil {
		return fmt.Errorf("look at what was written: %w", err)
	}
	o.stamp, o.known = stampOf(info), true
	h.Sum(o.sum[:0])
	return nil
}
