package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/asm/base64"
)

const (
	// KeySize is the length of a cluster's key in bytes.
	KeySize = 32

	version   = 0x80
	ivAt      = 9                    // after version and time
	cipherAt  = ivAt + aes.BlockSize // where the encrypted bytes begin
	overhead  = cipherAt + sha256.Size
	minToken  = 100 // the token of an empty payload
	tokenUnit = 4   // text is canonical: whole groups of four, padded

	// Tokens are worked on in steps that stay in the processor's first cache.
	// A step is a multiple of 3 (a group of base64) and of 16 (a block); so is
	// firstStep less the bytes before the encrypted part. Hence neither groups
	// nor blocks ever straddle two steps.
	step      = 48 * 256
	firstStep = 9 + 48*255
)

var (
	// ErrKey is returned when a key has not exactly KeySize bytes.
	ErrKey = errors.New("the key must have exactly 32 bytes")
	// ErrToken is returned when a payload is not a token made with this key:
	// not canonical text, too short, another version, or a wrong signature.
	ErrToken = errors.New("payload is not a token of this key")
)

// A Key seals and opens payloads. It is safe for concurrent use; make one for
// a node and share it among its connections. It never prints its bytes.
type Key struct {
	text   *base64.Encoding
	secret [KeySize]byte // what other keys are derived from
	states sync.Pool     // of *state
}

// state is what one sealing or opening needs; it is costly to make.
type state struct {
	mac hash.Hash
	enc cipher.BlockMode
	dec cipher.BlockMode
	iv  [aes.BlockSize]byte
	end [aes.BlockSize]byte // the last, padded block
	tag [sha256.Size]byte
	sum [sha256.Size]byte
	raw [step]byte
}

// NewKey makes the key of a configured text, whose bytes are used as they are:
// the first half signs, the second encrypts. The error is ErrKey.
func NewKey(text string) (*Key, error) {
	if len(text) != KeySize {
		return nil, ErrKey
	}
	signing, secret := []byte(text[:KeySize/2]), []byte(text[KeySize/2:])
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("preparing the key: %w", err)
	}
	k := &Key{text: base64.URLEncoding.Strict(), secret: [KeySize]byte([]byte(text))}
	k.states.New = func() any {
		s := &state{mac: hmac.New(sha256.New, signing)}
		s.enc = cipher.NewCBCEncrypter(block, s.iv[:])
		s.dec = cipher.NewCBCDecrypter(block, s.iv[:])
		return s
	}
	return k, nil
}

// Format prints three stars whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// LogValue hides the key from logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue("***") }

// SealedSize is the length of the token of n clear bytes.
func SealedSize(n int) int {
	raw := overhead + aes.BlockSize*(n/aes.BlockSize+1)
	return (raw + 2) / 3 * tokenUnit
}

// Seal appends the token of clear, made now with a random start, to dst, which
// grows at most once. dst's free space and clear must not overlap.
func (k *Key) Seal(dst, clear []byte) []byte {
	s := k.take()
	defer k.states.Put(s)
	// crypto/rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(s.iv[:])
	return k.seal(s, dst, clear, time.Now())
}

// SealAt is Seal with a given time, counted in whole seconds, and start.
func (k *Key) SealAt(dst, clear []byte, t time.Time, iv [aes.BlockSize]byte) []byte {
	s := k.take()
	defer k.states.Put(s)
	s.iv = iv
	return k.seal(s, dst, clear, t)
}

// seal seals with the start in s.iv.
func (k *Key) seal(s *state, dst, clear []byte, t time.Time) []byte {
	dst = slices.Grow(dst, SealedSize(len(clear)))
	s.enc.(ivSetter).SetIV(s.iv[:])

	raw := s.raw[:cipherAt]
	raw[0] = version
	binary.BigEndian.PutUint64(raw[1:ivAt], uint64(t.Unix()))
	copy(raw[ivAt:], s.iv[:])
	s.mac.Write(raw)

	for room := firstStep - cipherAt; len(clear) >= room; room = step {
		at := len(raw)
		raw = raw[:at+room]
		s.enc.CryptBlocks(raw[at:], clear[:room])
		s.mac.Write(raw[at:])
		dst = k.appendText(dst, raw)
		clear, raw = clear[room:], s.raw[:0]
	}
	return k.sealEnd(dst, clear, raw, s)
}

// sealEnd seals the last, partly filled step: the rest of the clear bytes,
// their padding and the signature.
func (k *Key) sealEnd(dst, clear, raw []byte, s *state) []byte {
	at := len(raw)
	whole := len(clear) / aes.BlockSize * aes.BlockSize
	raw = raw[:at+whole]
	s.enc.CryptBlocks(raw[at:], clear[:whole])

	n := copy(s.end[:], clear[whole:])
	for i := n; i < len(s.end); i++ {
		s.end[i] = byte(len(s.end) - n)
	}
	s.enc.CryptBlocks(s.end[:], s.end[:])
	s.mac.Write(raw[at:])
	s.mac.Write(s.end[:])

	// The tail is copied beside the step because a nearly full one has no
	// room for it; a step is a whole number of groups less what is here.
	var tail [2 + aes.BlockSize + sha256.Size]byte
	cut := len(raw) / 3 * 3
	end := append(tail[:0], raw[cut:]...)
	end = append(end, s.end[:]...)
	end = append(end, s.mac.Sum(s.sum[:0])...)
	return k.appendText(k.appendText(dst, raw[:cut]), end)
}

// appendText appends the base64 text of raw to dst, which has room for it.
func (k *Key) appendText(dst, raw []byte) []byte {
	n := len(dst)
	dst = dst[:n+k.text.EncodedLen(len(raw))]
	k.text.Encode(dst[n:], raw)
	return dst
}

type ivSetter interface{ SetIV(iv []byte) }

// take gets a state with its signature begun afresh.
func (k *Key) take() *state {
	s := k.states.Get().(*state)
	s.mac.Reset()
	return s
}
