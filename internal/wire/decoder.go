package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// readAhead is the size of a decoder's read buffer: several small frames come
// with one read, and large ones are read past it into their own place.
const readAhead = 16 << 10

// A Decoder reads whole messages from a connection. Its methods belong to one
// goroutine, except SetLimits, OpenSealed and Recycle, which any may call.
type Decoder struct {
	r       *bufio.Reader
	key     *Key
	policy  *TokenPolicy
	limits  atomic.Pointer[Limits]
	sealed  atomic.Pointer[Stream]
	buffers *Buffers
	busy    func()
	idle    func()
	head    [HeaderSize]byte
	begun   bool // busy was called for the frame being read
	open    divided
	err     error
}

// NewDecoder reads from r, in any segmentation. Payloads are opened with k, or
// taken as they are when k is nil.
func NewDecoder(r io.Reader, k *Key, l Limits) *Decoder {
	d := &Decoder{
		r:       bufio.NewReaderSize(r, readAhead),
		key:     k,
		buffers: new(Buffers),
		busy:    func() {},
		idle:    func() {},
	}
	d.SetLimits(l)
	return d
}

// SetLimits replaces the limits from the next header on: few bytes before a
// peer has said hello, more afterwards.
func (d *Decoder) SetLimits(l Limits) {
	if l.FrameBytes <= 0 || l.FrameBytes > MaxFrame {
		l.FrameBytes = MaxFrame
	}
	if now := d.limits.Load(); now == nil || *now != l {
		stored := l // l itself stays off the heap: most often nothing changes
		d.limits.Store(&stored)
	}
}

// UseBuffers makes the decoder take its payload buffers from b, which other
// decoders may share. Call it before the first Next.
func (d *Decoder) UseBuffers(b *Buffers) { d.buffers = b }

// Reset makes the decoder read r from its start, as a new one with the same key,
// limits and buffers does: for connections that come and go in great number.
// Nothing of the reader before is kept, and what OnProgress was told stays.
func (d *Decoder) Reset(r io.Reader) {
	d.r.Reset(r)
	d.sealed.Store(nil)
	d.begun, d.open, d.err = false, divided{}, nil
}

// OnProgress tells the owner when to limit the time of reads. busy is called
// when a frame has begun to arrive and the rest has to be waited for, at most
// once a frame; idle when that frame is whole. Both run inside Next; neither is
// called for a frame that arrived at once. Call it before the first Next.
func (d *Decoder) OnProgress(busy, idle func()) { d.busy, d.idle = busy, idle }

// DividedDeadline is when the oldest open divided message gets too old, for
// the deadline of reads while idle. It is the zero time when none is open or
// their age has no limit.
func (d *Decoder) DividedDeadline() time.Time {
	age := d.limits.Load().DividedAge
	if since, ok := d.open.oldest(); ok && age > 0 {
		return since.Add(age)
	}
	return time.Time{}
}

// Recycle gives back the payload of a frame that nobody uses any more, for the
// frames to come. It is optional; a payload not given back is garbage as any
// other. After it, no slice of that payload may be used.
func (d *Decoder) Recycle(payload []byte) { d.buffers.Put(payload) }

// Next reads the next whole message. Its payload belongs to the caller: the
// decoder never touches it again, and it may be handed to another goroutine
// and kept. Recycle takes it back.
//
// Errors: io.EOF when the connection ended between messages,
// io.ErrUnexpectedEOF inside of one, *RefusedError when the peer broke a rule
// or a limit, and whatever the connection's reading gave. All are final except
// a deadline that passed between frames: Next may be called again after that.
func (d *Decoder) Next() (Frame, error) {
	if d.err != nil {
		return Frame{}, d.err
	}
	for {
		// Here nothing of a frame has been read yet.
		if _, err := d.r.Peek(1); err != nil {
			return Frame{}, d.endBetween(err)
		}
		f, whole, err := d.frame()
		if d.begun {
			d.begun = false
			d.idle()
		}
		if err != nil {
			return Frame{}, d.end(err)
		}
		if whole {
			return f, nil
		}
	}
}

// Ready tells whether a whole frame has been read ahead: Next then waits for
// nothing.
func (d *Decoder) Ready() bool {
	ahead := d.r.Buffered()
	if ahead < HeaderSize {
		return false
	}
	head, err := d.r.Peek(HeaderSize)
	return err == nil && int64(ahead) >= HeaderSize+int64(parseHeader(head).length)
}

// endBetween turns an error of reading between two frames into that of Next.
func (d *Decoder) endBetween(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if err := d.open.tooOld(*d.limits.Load(), time.Now()); err != nil {
			return d.end(err)
		}
		return err // not final
	case errors.Is(err, io.EOF) && d.open.count() > 0:
		return d.end(io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		return d.end(io.EOF)
	}
	return d.end(fmt.Errorf("reading a frame: %w", err))
}

// end makes err final.
func (d *Decoder) end(err error) error {
	d.err = err
	d.open = divided{}
	return err
}

// frame reads one frame. It gives a message when that frame completes one.
func (d *Decoder) frame() (f Frame, whole bool, err error) {
	d.await(HeaderSize)
	if _, err := io.ReadFull(d.r, d.head[:]); err != nil {
		return f, false, inside("header", err)
	}
	h := parseHeader(d.head[:])
	limits := *d.limits.Load()
	if int64(h.length) > int64(limits.FrameBytes) {
		return f, false, h.refused(ReasonTooLarge, int64(h.length), nil)
	}
	buf, joining, err := d.open.take(h, limits, time.Now())
	if err != nil {
		return f, false, err
	}
	d.await(int(h.length))
	if buf, err = d.read(buf, int(h.length)); err != nil {
		return f, false, inside("payload", err)
	}
	if h.more {
		d.open.keep(h.counter, buf)
		return f, false, nil
	}
	if joining {
		d.open.drop(h.counter)
	}
	size, reason := int64(len(buf)), ReasonToken
	stream := d.sealed.Load()
	sealed := h.sealed && stream != nil // the flag means nothing to other peers
	switch {
	case sealed:
		buf, err = stream.open(d.head[:], buf)
	case d.key != nil:
		buf, reason, err = d.openToken(buf)
	}
	if err != nil {
		return f, false, h.refused(reason, size, err)
	}
	return Frame{Counter: h.counter, Command: h.command, Payload: buf, Sealed: sealed}, true, nil
}

// await tells the owner when the next n bytes are not all here yet.
func (d *Decoder) await(n int) {
	if !d.begun && d.r.Buffered() < n {
		d.begun = true
		d.busy()
	}
}

// read appends n bytes to buf, which grows as they come.
func (d *Decoder) read(buf []byte, n int) ([]byte, error) {
	for n > 0 {
		buf = d.buffers.grown(buf, n)
		room := min(n, cap(buf)-len(buf))
		got, err := d.r.Read(buf[len(buf) : len(buf)+room])
		buf = buf[:len(buf)+got]
		n -= got
		if err != nil && n > 0 {
			return buf, err
		}
	}
	return buf, nil
}

// inside is an error of reading inside a frame.
func inside(part string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading a frame's %s: %w", part, err)
}

// refused is the error of refusing a frame with this header.
func (h header) refused(reason string, length int64, err error) *RefusedError {
	return &RefusedError{Reason: reason, Counter: h.counter, Command: h.command, Length: length, Err: err}
}
