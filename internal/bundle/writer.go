package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// writeAhead is the size of a writer's buffer: small members leave together.
const writeAhead = 64 << 10

// ErrWriterClosed is returned when a member is added to a closed Writer.
var ErrWriterClosed = errors.New("package is closed")

// A Writer writes a package. It is for one goroutine. After an error the
// package is worthless and every further call gives that error again; only
// ErrPath and ErrDuplicate, which are found before anything is written, leave
// it as it was.
type Writer struct {
	w      *bufio.Writer
	level  int
	packer *packer // made when first needed
	paths  map[string]struct{}
	err    error
}

// NewWriter writes to w, compressing with level 0 (stored) to 9.
func NewWriter(w io.Writer, level int) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, writeAhead), level: level, paths: make(map[string]struct{})}
}

// Add compresses content into a member.
func (w *Writer) Add(path string, content io.Reader) error {
	return w.add(path, func() error {
		return w.pack(func(p *packer) error { return p.readFrom(context.Background(), content) })
	})
}

// AddPacked copies a compressed file into a member. It does not release it.
func (w *Writer) AddPacked(path string, p *Packed) error {
	return w.add(path, func() error {
		_, err := p.WriteTo(w.w)
		return err
	})
}

// Close writes the metadata member, which metadata produces, and ends the
// package. It does not close what it writes to.
func (w *Writer) Close(metadata func(io.Writer) error) error {
	err := w.add(MetadataName, func() error {
		return w.pack(func(p *packer) error { return metadata(p) })
	})
	if err != nil {
		return err
	}
	w.packer = nil
	w.err = ErrWriterClosed
	if err := w.w.Flush(); err != nil {
		w.err = fmt.Errorf("ending the package: %w", err)
		return w.err
	}
	return nil
}

// add writes a member, its compressed bytes by content.
func (w *Writer) add(path string, content func() error) error {
	if w.err != nil {
		return w.err
	}
	if err := CheckPath(path); err != nil {
		return err
	}
	if _, twice := w.paths[path]; twice {
		return fmt.Errorf("%w: %q", ErrDuplicate, path)
	}
	separator := fileSeparator
	if len(w.paths) == 0 {
		separator = ""
	}
	w.paths[path] = struct{}{}
	for _, s := range []string{separator, path, pathSeparator} {
		// bufio keeps the error and gives it with the content.
		_, _ = w.w.WriteString(s)
	}
	if err := content(); err != nil {
		w.err = fmt.Errorf("adding %q to the package: %w", path, err)
	}
	return w.err
}

// pack compresses what fill produces.
func (w *Writer) pack(fill func(*packer) error) error {
	if w.packer == nil {
		w.packer = newPacker(w.level)
	}
	w.packer.start(w.w, nil)
	if err := fill(w.packer); err != nil {
		return err
	}
	return w.packer.finish()
}
