package manifest

import (
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/crypto/blake2b"
)

// ErrDigest is returned when a text is not a digest: 128 lower-case
// hexadecimal characters.
var ErrDigest = errors.New("not a digest of 128 lower-case hexadecimal characters")

// DigestSize is the length of a digest in bytes.
const DigestSize = blake2b.Size

// Digest is the BLAKE2b-512 of a content, without key.
type Digest [DigestSize]byte

// ParseDigest reads the form that String writes. Anything else is ErrDigest.
func ParseDigest(s string) (Digest, error) { return parseDigest([]byte(s)) }

// String returns the digest as 128 lower-case hexadecimal characters.
func (d Digest) String() string { return string(d.appendHex(make([]byte, 0, 2*DigestSize))) }

// IsZero tells the digest that no content has: the one of a Digest never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// DigestOf returns the digest of a content that is in memory.
func DigestOf(content []byte) Digest { return blake2b.Sum512(content) }

// Hasher computes the digest of a content that comes in pieces. It is an
// io.Writer whose Write never fails. One goroutine at a time may use it.
type Hasher struct {
	hash    hash.Hash
	scratch [DigestSize]byte
}

// NewHasher returns a Hasher that has seen nothing.
func NewHasher() *Hasher {
	// The error is for keys of a wrong size; there is no key.
	h, _ := blake2b.New512(nil)
	return &Hasher{hash: h}
}

// Write adds a piece of the content.
func (h *Hasher) Write(p []byte) (int, error) { return h.hash.Write(p) }

// Digest returns the digest of what was written since New or Reset; more may
// be written afterwards.
func (h *Hasher) Digest() Digest { return Digest(h.hash.Sum(h.scratch[:0])) }

// Reset forgets what was written.
func (h *Hasher) Reset() { h.hash.Reset() }

// parseDigest decodes eight characters at a time. That they were lower-case
// hexadecimal shows when they come out again by encoding.
func parseDigest(s []byte) (Digest, error) {
	var d Digest
	if len(s) != 2*DigestSize {
		return Digest{}, ErrDigest
	}
	var wrong uint64
	for i := 0; i < DigestSize; i += 4 {
		chars := load8(s[2*i : 2*i+8])
		four := fromHex(chars)
		wrong |= toHex(four) ^ chars
		binary.LittleEndian.PutUint32(d[i:], four)
	}
	if wrong != 0 {
		return Digest{}, ErrDigest
	}
	return d, nil
}

// appendHex appends the text of the digest.
func (d *Digest) appendHex(b []byte) []byte {
	for i := 0; i < DigestSize; i += 4 {
		b = binary.LittleEndian.AppendUint64(b, toHex(binary.LittleEndian.Uint32(d[i:])))
	}
	return b
}
