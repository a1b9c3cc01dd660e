package unixsock

import "encoding/binary"

// Framing says where a message ends. The zero value is of no use.
type Framing struct {
	// Header is the number of bytes before the body of each message.
	Header int
	// Size gives the length of the body from the header.
	Size func(header []byte) uint64
	// Append adds to dst the header of a body of n bytes. Where it is nil, headers
	// hold more than a length and are the handler's matter: requests come with
	// their header, replies must begin with theirs.
	Append func(dst []byte, n int) []byte
}

// LengthPrefix is the framing of a 4-byte little-endian length
// (docs/agentdb.md §2).
func LengthPrefix() Framing {
	return Framing{
		Header: 4,
		Size:   func(header []byte) uint64 { return uint64(binary.LittleEndian.Uint32(header)) },
		Append: func(dst []byte, n int) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(n)) },
	}
}
