package manifest

import (
	"encoding/hex"
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
func ParseDigest(s string) (Digest, error) { return parseDigest(s) }

// String returns the digest as 128 lower-case hexadecimal characters.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

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

func parseDigest[T string | []byte](s T) (Digest, error) {
	var d Digest
	if len(s) != 2*DigestSize {
		return Digest{}, ErrDigest
	}
	for i := range d {
		high, low := nibble(s[2*i]), nibble(s[2*i+1])
		if (high|low)&0xf0 != 0 {
			return Digest{}, ErrDigest
		}
		d[i] = high<<4 | low
	}
	return d, nil
}

// nibble returns the value of a lower-case hexadecimal character, 0xff for any
// other.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
