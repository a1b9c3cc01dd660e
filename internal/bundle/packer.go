package bundle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"

	"github.com/klauspost/compress/flate"
)

const (
	// segment is how many clear bytes are compressed, checked and written at a
	// time.
	segment = 128 << 10
	// maxSkip bounds how many segments are stored untried between two tries of
	// a content that does not shrink.
	maxSkip = 64

	maxStored = 65535 // bytes of a stored block
	worstSize = segment + segment/8 + 1024
)

// A packer makes zlib streams in which the file separator does not occur.
//
// Each segment of the content is compressed up to a sync flush, hence to whole
// bytes, and searched before it is written, together with the last bytes
// before it. If the separator is there, the segment is written instead as
// stored blocks, where content and output are the same bytes, with a block's
// end inside each separator. That leaves none, because no match can contain a
// stored block's header: it is preceded by whole bytes, its first byte is 0 or
// 1, and no separator has such a byte. Nor can one reach over the end of the
// stream, whose last block is an empty one (01 00 00 ff ff): behind ff there
// are only the four bytes of the checksum before the separator that follows,
// and one that is not the true one would need seven.
//
// Swapping the segment is invisible to the compressor, whose references count
// bytes of content, not of output.
//
// Content that does not shrink is stored without trying, which is several
// times faster; it is tried again now and then.
type packer struct {
	level   int
	deflate *flate.Writer // nil at level 0
	stale   bool          // deflate has not seen the bytes before, so must not refer to them

	w     io.Writer
	sum   hash.Hash32
	also  io.Writer // sees every clear byte, nil for none
	seg   []byte    // clear bytes that wait
	out   bytes.Buffer
	tail  []byte // last bytes written, fewer than a separator's
	skip  int    // segments still to be stored untried
	tries int    // of segments that did not shrink, in a row

	clear, packed int64
}

// newPacker makes a packer of level 0 (stored) to 9; other levels are 1.
func newPacker(level int) *packer {
	if level < flate.NoCompression || level > flate.BestCompression {
		level = flate.BestSpeed
	}
	p := &packer{
		level: level,
		sum:   adler32.New(),
		seg:   make([]byte, 0, segment),
		tail:  make([]byte, 0, separatorSize),
	}
	p.out.Grow(worstSize)
	if level != flate.NoCompression {
		// The error is for levels that do not exist.
		p.deflate, _ = flate.NewWriter(nil, level)
	}
	return p
}

// start begins a stream to w. also, if any, sees the clear bytes.
func (p *packer) start(w, also io.Writer) {
	p.w, p.also, p.stale = w, also, true
	p.seg, p.tail = p.seg[:0], p.tail[:0]
	p.skip, p.tries = 0, 0
	p.clear, p.packed = 0, 0
	p.sum.Reset()
	p.out.Reset()
	p.out.Write(p.header())
}

// header is the zlib header that names the level.
func (p *packer) header() []byte {
	switch {
	case p.level <= 1:
		return []byte{0x78, 0x01}
	case p.level <= 5:
		return []byte{0x78, 0x5e}
	case p.level == 6:
		return []byte{0x78, 0x9c}
	}
	return []byte{0x78, 0xda}
}

// Write adds clear bytes to the stream.
func (p *packer) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if len(p.seg) == segment {
			if err := p.flush(false); err != nil {
				return total - len(b), err
			}
		}
		n := copy(p.seg[len(p.seg):segment], b)
		p.seg = p.seg[:len(p.seg)+n]
		b = b[n:]
	}
	return total, nil
}

// readFrom adds all of r to the stream.
func (p *packer) readFrom(ctx context.Context, r io.Reader) error {
	for {
		if len(p.seg) == segment {
			if err := p.flush(false); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		n, err := r.Read(p.seg[len(p.seg):segment])
		p.seg = p.seg[:len(p.seg)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading content: %w", err)
		}
	}
}

// finish writes the rest of the stream and forgets where it went.
func (p *packer) finish() error {
	err := p.flush(true)
	p.w, p.also = nil, nil
	return err
}

// flush writes the waiting segment, and the end of the stream after the last.
func (p *packer) flush(last bool) error {
	_, _ = p.sum.Write(p.seg)
	if p.also != nil {
		if _, err := p.also.Write(p.seg); err != nil {
			return err
		}
	}
	p.clear += int64(len(p.seg))
	if err := p.encode(last); err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	p.seg = p.seg[:0]
	if last {
		p.out.Write(binary.BigEndian.AppendUint32(p.out.AvailableBuffer(), p.sum.Sum32()))
	}
	out := p.out.Bytes()
	p.packed += int64(len(out))
	p.tail = append(p.tail[:0], out[max(0, len(out)-separatorSize+1):]...)
	_, err := p.w.Write(out)
	p.out.Reset()
	return err
}

// encode appends the encoded segment to out, and the final block after the
// last.
func (p *packer) encode(last bool) error {
	before := p.out.Len() // the header at most
	if p.deflate == nil || p.skip > 0 {
		p.skip = max(0, p.skip-1)
		p.stale = true
		p.store(before, last)
		return nil
	}
	if p.stale {
		p.deflate.Reset(&p.out)
		p.stale = false
	}
	if _, err := p.deflate.Write(p.seg); err != nil {
		return err
	}
	end := p.deflate.Flush
	if last {
		end = p.deflate.Close
	}
	if err := end(); err != nil {
		return err
	}
	p.learn(p.out.Len() - before)
	if p.separated() {
		p.store(before, last)
	}
	return nil
}

// learn decides, by the size that the segment got, how many to store untried.
func (p *packer) learn(size int) {
	if size < len(p.seg)-len(p.seg)/32 {
		p.tries = 0
		return
	}
	p.skip = min(1<<p.tries, maxSkip)
	p.tries = min(p.tries+1, 16)
}

// separated tells whether the file separator occurs in out, or across the
// border between what has been written and out.
func (p *packer) separated() bool {
	out := p.out.Bytes()
	if bytes.Contains(out, []byte(fileSeparator)) {
		return true
	}
	var border [2 * separatorSize]byte
	n := copy(border[:], p.tail)
	n += copy(border[n:], out[:min(len(out), separatorSize-1)])
	return bytes.Contains(border[:n], []byte(fileSeparator))
}

// store puts the segment into out, from position at on, as stored blocks.
func (p *packer) store(at int, last bool) {
	p.out.Truncate(at)
	const half = separatorSize / 2
	for rest := p.seg; len(rest) > 0; {
		n := min(len(rest), maxStored)
		if i := bytes.Index(rest[:n], []byte(fileSeparator)); i >= 0 {
			n = i + half
		}
		p.block(n, false)
		p.out.Write(rest[:n])
		rest = rest[n:]
	}
	if last {
		p.block(0, true)
	}
}

// block puts the header of a stored block of n bytes into out.
func (p *packer) block(n int, final bool) {
	var h [5]byte
	if final {
		h[0] = 1
	}
	binary.LittleEndian.PutUint16(h[1:], uint16(n))
	binary.LittleEndian.PutUint16(h[3:], ^uint16(n))
	p.out.Write(h[:])
}
