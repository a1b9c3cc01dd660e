package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	// HeaderSize is the length of a frame's header in bytes.
	HeaderSize = 20
	// Chunk is the length in bytes of the longest clear payload that travels
	// in one frame, and of the longest frame of a divided message.
	Chunk = 5242880
	// MaxName is the length of the longest command name in bytes.
	MaxName = 11
	// MaxFrame is the length of the longest payload a frame can have: the
	// token of Chunk bytes.
	MaxFrame = 6990604

	piece      = Chunk - HeaderSize // payload of one piece of a divided message
	flagDivide = 'd'
	lengthAt   = 4
	nameAt     = 8
	flagAt     = HeaderSize - 1
)

// ErrCommandTooLong is returned when a command's name has more than MaxName
// bytes; nothing is sent then.
var ErrCommandTooLong = errors.New("command name longer than 11 bytes")

// A Frame is one whole message: what was divided is joined, what was sealed is
// clear.
type Frame struct {
	Counter uint32
	Command string // as it came, any bytes: quote it before it meets a log
	// Payload belongs to whoever holds the frame; see [Decoder.Next].
	Payload []byte
	// Sealed says that the frame came sealed (see Stream).
	Sealed bool
}

// AppendFrame appends f as it travels to dst: header and sealed payload, or
// the clear payload when k is nil. A message longer than Chunk becomes several
// frames, back to back. Send what is appended with one call: a receiver of the
// original kind is lost when a header arrives by itself.
//
// dst grows at most once; its free space must not overlap f.Payload. The error
// is ErrCommandTooLong.
func AppendFrame(dst []byte, k *Key, f Frame) ([]byte, error) {
	if k == nil {
		return appendFrame(dst, f, nil, len(f.Payload))
	}
	return appendFrame(dst, f, k.Seal, SealedSize(len(f.Payload)))
}

// AppendHeader appends the header of an undivided frame with a clear payload of
// length bytes, which whoever calls puts behind it: a long one is then copied
// once. f.Payload does not count. The error is ErrCommandTooLong.
func AppendHeader(dst []byte, f Frame, length int) ([]byte, error) {
	if len(f.Command) > MaxName {
		return dst, ErrCommandTooLong
	}
	at := len(dst)
	dst = slices.Grow(dst, HeaderSize)[:at+HeaderSize]
	putHeader(dst[at:], f, length, false)
	return dst, nil
}

// FrameSize is how many bytes AppendFrame appends for a payload of n clear
// bytes, sealed or not.
func FrameSize(n int, sealed bool) int {
	size := n
	if sealed {
		size = SealedSize(n)
	}
	return size + pieces(n, size)*HeaderSize
}

// pieces is the number of frames of a message of n clear bytes that takes size
// bytes on the wire.
func pieces(n, size int) int {
	if n <= Chunk {
		return 1
	}
	return (size + piece - 1) / piece
}

// appendFrame appends f with its payload sealed to size bytes by seal.
func appendFrame(dst []byte, f Frame, seal func(dst, clear []byte) []byte, size int) ([]byte, error) {
	if len(f.Command) > MaxName {
		return dst, ErrCommandTooLong
	}
	count := pieces(len(f.Payload), size)
	at := len(dst)
	dst = slices.Grow(dst, size+count*HeaderSize)
	// The payload goes in whole, behind room for all headers; the pieces then
	// move forward to theirs.
	body := dst[:at+count*HeaderSize]
	if seal == nil {
		body = append(body, f.Payload...)
	} else {
		body = seal(body, f.Payload)
	}
	rest := body[at+count*HeaderSize:]
	if count == 1 {
		putHeader(body[at:], f, len(rest), false)
		return body, nil
	}
	for len(rest) > 0 {
		n := min(len(rest), piece)
		putHeader(body[at:], f, n, n < len(rest))
		copy(body[at+HeaderSize:], rest[:n])
		at += HeaderSize + n
		rest = rest[n:]
	}
	return body, nil
}

// putHeader writes the header of f into the first HeaderSize bytes of b.
func putHeader(b []byte, f Frame, length int, more bool) {
	binary.BigEndian.PutUint32(b, f.Counter)
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(length))
	n := nameAt + copy(b[nameAt:flagAt], f.Command)
	b[n] = ' '
	for i := n + 1; i < HeaderSize; i++ {
		b[i] = '-'
	}
	if more {
		b[flagAt] = flagDivide
	}
}

// header is a parsed frame header.
type header struct {
	counter uint32
	length  uint32
	command string
	more    bool // flag 'd': further pieces of this message follow
	sealed  bool // flag 's': sealed, no token
}

// parseHeader reads the first HeaderSize bytes of b.
func parseHeader(b []byte) header {
	name := b[nameAt:flagAt]
	if end := bytes.IndexByte(name, ' '); end >= 0 {
		name = name[:end]
	}
	return header{
		counter: binary.BigEndian.Uint32(b),
		length:  binary.BigEndian.Uint32(b[lengthAt:]),
		command: string(name),
		more:    b[flagAt] == flagDivide,
		sealed:  b[flagAt] == flagSealed,
	}
}
