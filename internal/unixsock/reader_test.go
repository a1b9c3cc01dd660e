package unixsock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReader_BufferFollowsWhatCame(t *testing.T) {
	// A header that announces 1 MiB, and little behind it.
	stream := append(binary.LittleEndian.AppendUint32(nil, 1<<20), make([]byte, 3000)...)
	r := &reader{src: bytes.NewReader(stream), framing: LengthPrefix(), limit: 1 << 20, keep: 8 << 10}
	if _, err := r.next(func() {}); !errors.Is(err, ErrCut) {
		t.Fatal(err)
	}
	if len(r.buf) > 8<<10 {
		t.Errorf("a buffer of %d bytes for 3004 that came", len(r.buf))
	}
}

func TestReader_GivesALargeBufferBack(t *testing.T) {
	stream := append(frame(string(make([]byte, 1<<20))), frame("small")...)
	r := &reader{src: bytes.NewReader(stream), framing: LengthPrefix(), limit: 1 << 20, keep: 8 << 10}
	for _, want := range []int{1 << 20, 5} {
		m, err := r.next(func() {})
		if err != nil || len(m) != want {
			t.Fatalf("%d bytes, %v; want %d", len(m), err, want)
		}
	}
	if len(r.buf) > 8<<10 {
		t.Errorf("a buffer of %d bytes is kept", len(r.buf))
	}
}

// Whatever comes and in whatever portions, the messages are those of a reader
// that sees all at once.
func FuzzReader(f *testing.F) {
	f.Add(append(frame("abc"), frame("")...), uint8(1))
	f.Add(append(frame("abc"), 9, 0), uint8(3))
	f.Add([]byte{255, 255, 255, 255}, uint8(0))
	f.Fuzz(func(t *testing.T, stream []byte, how uint8) {
		const limit = 5000
		var src io.Reader = bytes.NewReader(stream)
		switch how % 4 {
		case 1:
			src = iotest.OneByteReader(src)
		case 2:
			src = iotest.HalfReader(src)
		case 3:
			src = iotest.DataErrReader(src)
		}
		r := &reader{src: src, framing: LengthPrefix(), limit: limit, keep: 64}
		rest := stream
		for {
			got, err := r.next(func() {})
			if len(r.buf) > 2*limit+firstBuffer {
				t.Fatalf("a buffer of %d bytes", len(r.buf))
			}
			want, then, wantErr := plain(rest, limit)
			if !errors.Is(err, wantErr) || !bytes.Equal(got, want) {
				t.Fatalf("got %q, %v; want %q, %v", got, err, want, wantErr)
			}
			if err != nil {
				return
			}
			rest = then
		}
	})
}

// plain is the reader as one would write it without a stream.
func plain(b []byte, limit uint32) (message, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, io.EOF
	}
	if len(b) < 4 {
		return nil, nil, ErrCut
	}
	n := binary.LittleEndian.Uint32(b)
	if n > limit {
		return nil, nil, ErrTooLong
	}
	if uint64(len(b)-4) < uint64(n) {
		return nil, nil, ErrCut
	}
	return b[4 : 4+n], b[4+n:], nil
}
