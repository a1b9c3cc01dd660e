package bundle

import (
	"fmt"
	"io"
	"sync/atomic"
)

// A Packed is one compressed file of a Spool: a zlib stream without a file
// separator. It is safe for concurrent use until it is released.
type Packed struct {
	spool    *Spool
	entry    *entry
	released atomic.Bool
}

// Size is the number of compressed bytes.
func (p *Packed) Size() int64 { return p.entry.packed }

// Clear is the number of bytes of the content.
func (p *Packed) Clear() int64 { return p.entry.clear }

// WriteTo writes the compressed bytes to w.
func (p *Packed) WriteTo(w io.Writer) (int64, error) {
	if p.released.Load() {
		return 0, ErrReleased
	}
	buf := p.spool.buffers.Get().(*[copyBuffer]byte)
	defer p.spool.buffers.Put(buf)
	var done int64
	for _, x := range p.entry.extents {
		for x.size > 0 {
			part := buf[:min(x.size, copyBuffer)]
			if _, err := p.entry.gen.file.ReadAt(part, x.at); err != nil {
				return done, fmt.Errorf("reading from the spool: %w", err)
			}
			n, err := w.Write(part)
			done += int64(n)
			if err != nil {
				return done, err
			}
			x.at += int64(n)
			x.size -= int64(n)
		}
	}
	return done, nil
}

// Release gives the compressed file up. Calling it again does nothing.
func (p *Packed) Release() {
	if p.released.Swap(true) {
		return
	}
	p.spool.mu.Lock()
	defer p.spool.mu.Unlock()
	p.spool.releaseLocked(p.entry.gen)
}
