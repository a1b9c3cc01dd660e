package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
)

// readBuffer is how much of a package is read at a time, in bytes.
const readBuffer = 64 << 10

// Read reads a package from r and calls each for every member in its order.
// each need not read all of the content, which ends with io.EOF at its end and
// must not be kept; what it leaves is read over, since only a whole member is
// known to be sound. An error of each ends the reading and is returned,
// wrapped.
//
// Paths are clean and relative and differ from one another, but may be any
// otherwise: whether a member is wanted there is for each to decide, best
// before reading its content. Other errors: ErrMalformed, ErrPath,
// ErrDuplicate, *LimitError, the error of ctx, those of reading r.
func Read(ctx context.Context, r io.Reader, l Limits, each func(path string, content io.Reader) error) error {
	p := &parser{
		source: source{ctx: ctx, r: r},
		limits: l.orDefault(),
		paths:  make(map[string]struct{}),
	}
	p.r = bufio.NewReaderSize(&p.source, readBuffer)
	p.left = p.limits.TotalBytes
	for more := true; more; {
		path, err := p.path()
		if err != nil {
			return fmt.Errorf("reading the path of member %d: %w", len(p.paths)+1, err)
		}
		if err := p.member(path, each); err != nil {
			return fmt.Errorf("member %q: %w", path, err)
		}
		if more, err = p.next(); err != nil {
			return fmt.Errorf("reading behind member %q: %w", path, err)
		}
	}
	return nil
}

// source is the reader of a package; it keeps its own error apart from those
// of what is read.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

type parser struct {
	source source
	r      *bufio.Reader
	zlib   io.ReadCloser // of the last member, reset for the next
	limits Limits
	left   int64 // bytes that contents may still have
	paths  map[string]struct{}
	buf    []byte
}

// malformed is the error for bytes that should not be there or are missing,
// unless the source has failed.
func (p *parser) malformed(why error) error {
	if p.source.err != nil {
		return p.source.err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, why)
}

var (
	errEnd       = errors.New("it ends too early")
	errSeparator = errors.New("path is cut by a file separator")
)

// path reads up to the path separator.
func (p *parser) path() (string, error) {
	if len(p.paths) >= p.limits.Members {
		return "", &LimitError{limitMembers, int64(p.limits.Members)}
	}
	p.buf = p.buf[:0]
	for !bytes.HasSuffix(p.buf, []byte(pathSeparator)) {
		if len(p.buf) >= p.limits.PathBytes+separatorSize {
			return "", &LimitError{limitPath, int64(p.limits.PathBytes)}
		}
		b, err := p.r.ReadByte()
		if err != nil {
			return "", p.malformed(errEnd)
		}
		p.buf = append(p.buf, b)
		if bytes.HasSuffix(p.buf, []byte(fileSeparator)) {
			return "", p.malformed(errSeparator)
		}
	}
	path := string(p.buf[:len(p.buf)-separatorSize])
	if err := CheckPath(path); err != nil {
		return "", err
	}
	if _, twice := p.paths[path]; twice {
		return "", fmt.Errorf("%w: %q", ErrDuplicate, path)
	}
	p.paths[path] = struct{}{}
	return path, nil
}

// member hands one member's content to each and reads over the rest of it.
func (p *parser) member(path string, each func(string, io.Reader) error) error {
	c := &content{p: p, left: p.limits.MemberBytes}
	if err := p.inflate(); err != nil {
		return p.malformed(err)
	}
	err := each(path, c)
	if c.err == nil && err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	if c.err != nil && !errors.Is(c.err, io.EOF) && !errors.Is(err, c.err) {
		err = c.err // each has swallowed it, or replaced it with its own
	}
	if c.err == nil {
		c.err = errKept
	}
	return err
}

// inflate begins a zlib stream. It reads byte by byte from p.r, hence nothing
// behind the stream's end.
func (p *parser) inflate() (err error) {
	if p.zlib == nil {
		p.zlib, err = zlib.NewReader(p.r)
		return err
	}
	return p.zlib.(zlib.Resetter).Reset(p.r, nil)
}

// next reads over what is between a member's end and the next file separator,
// which is nothing as a rule. It tells whether there is another member.
func (p *parser) next() (bool, error) {
	matched := 0
	for matched < separatorSize {
		b, err := p.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case b == fileSeparator[matched]:
			matched++
		case b == fileSeparator[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	return true, nil
}

// errKept is what a content gives that is read after its turn.
var errKept = errors.New("content read after its turn")

// content is a member's content, within the limits.
type content struct {
	p    *parser
	left int64
	err  error
}

func (c *content) Read(b []byte) (int, error) {
	if c.err != nil || len(b) == 0 {
		return 0, c.err
	}
	if err := c.p.source.ctx.Err(); err != nil {
		c.err = err
		return 0, err
	}
	// One byte more than allowed tells an end from an excess.
	allowed := min(c.left, c.p.left)
	if int64(len(b)) > allowed {
		b = b[:allowed+1]
	}
	n, err := c.p.zlib.Read(b)
	if int64(n) > allowed {
		n = int(allowed)
		err = &LimitError{limitMember, c.p.limits.MemberBytes}
		if c.left > c.p.left {
			err = &LimitError{limitTotal, c.p.limits.TotalBytes}
		}
	} else if err != nil && !errors.Is(err, io.EOF) {
		err = c.p.malformed(err)
	}
	c.left -= int64(n)
	c.p.left -= int64(n)
	c.err = err
	return n, err
}
