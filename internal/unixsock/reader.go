package unixsock

import (
	"fmt"
	"io"
)

// firstBuffer is the size of a connection's buffer at its first message.
const firstBuffer = 1 << 10

// reader takes messages off a stream. Its buffer grows with the bytes that have
// come, never with those that a header announces.
type reader struct {
	src     io.Reader
	framing Framing
	limit   int // of a body
	keep    int // bytes of buffer between messages

	buf        []byte
	start, end int // of the bytes not yet taken
}

// pending tells whether bytes of the next message have come already.
func (r *reader) pending() bool { return r.end > r.start }

// next returns the next message: its body, with the header before it when the
// framing leaves headers to others. It is valid until the next call. began is
// called when the first bytes of a message have come and more are needed. The
// error is io.EOF at an end between two messages, ErrCut at any other, ErrTooLong,
// or that of the stream.
func (r *reader) next(began func()) ([]byte, error) {
	r.shrink()
	told := false
	for {
		message, size, err := r.take()
		if message != nil || err != nil {
			return message, err
		}
		if r.pending() && !told {
			told = true
			began()
		}
		if err := r.fill(size); err != nil {
			return nil, err
		}
	}
}

// take cuts a whole message off the buffer. Without one it says how many bytes
// the message has, as far as is known.
func (r *reader) take() (message []byte, size int, err error) {
	have := r.buf[r.start:r.end]
	head := r.framing.Header
	if len(have) < head {
		return nil, head, nil
	}
	body := r.framing.Size(have[:head])
	if body > uint64(r.limit) {
		return nil, 0, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLong, body, r.limit)
	}
	size = head + int(body)
	if len(have) < size {
		return nil, size, nil
	}
	r.start += size
	if r.framing.Append == nil {
		return have[:size:size], size, nil
	}
	return have[head:size:size], size, nil
}

// fill reads what has come, towards a message of size bytes.
func (r *reader) fill(size int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.end == len(r.buf) {
		r.grow(size)
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	switch {
	case n > 0 || err == nil:
		return nil
	case err != io.EOF:
		return err
	case r.pending():
		return ErrCut
	}
	return io.EOF
}

// grow makes room behind the bytes that are there: by moving them, or in a
// buffer twice as large as these, but never more than the message needs.
func (r *reader) grow(size int) {
	have := r.buf[r.start:r.end]
	want := max(2*len(have), firstBuffer)
	if size > firstBuffer {
		want = min(want, size)
	}
	into := r.buf
	if want > len(r.buf) {
		into = make([]byte, want)
	}
	r.end = copy(into, have)
	r.start = 0
	r.buf = into
}

// shrink gives a buffer back that a large message made large.
func (r *reader) shrink() {
	if have := r.buf[r.start:r.end]; len(r.buf) > r.keep && len(have) <= r.keep/2 {
		r.buf = append(make([]byte, 0, max(firstBuffer, len(have))), have...)
		r.start, r.end = 0, len(have)
		r.buf = r.buf[:cap(r.buf)]
	}
}
