package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Between two Testudo nodes the frames of a file travel sealed, not as tokens
// (docs/extensions.md): AES-128-GCM over the payload, with the header beside
// it, under a key of this connection and direction alone. A frame's nonce is
// its number among the sealed ones of its direction, so that none can be
// repeated, left out or moved. It costs a tenth of a token and is as long as
// its payload.
//
// Frames are numbered as they leave; whoever writes the connection seals.

const (
	// SeedSize is the length in bytes of what each end of a connection throws
	// in, by chance, for the keys of its sealed frames.
	SeedSize = 32

	flagSealed = 's'
	tagSize    = 16
	sealedKey  = 16 // bytes: AES-128, as for tokens
)

var (
	// ErrSealed is returned when a sealed frame is not the next one of its
	// connection.
	ErrSealed = errors.New("sealed frame is not the next of this connection")
	// ErrTooLong is returned when a payload is too long to be sealed.
	ErrTooLong = errors.New("payload too long for a sealed frame")
)

// A Stream seals or opens the sealed frames of one direction of a connection.
// It belongs to one goroutine.
type Stream struct {
	aead  cipher.AEAD
	next  uint64
	nonce [12]byte // room for the next one
}

// Streams makes the two directions of a connection from what both ends have
// thrown in. Neither end can make the keys of an earlier connection return,
// whatever the other does, as long as its own seed is new.
func (k *Key) Streams(worker, master [SeedSize]byte) (fromWorker, fromMaster *Stream, err error) {
	salt := slices.Concat(worker[:], master[:])
	if fromWorker, err = k.stream(salt, "testudo sealed frames from worker"); err != nil {
		return nil, nil, err
	}
	fromMaster, err = k.stream(salt, "testudo sealed frames from master")
	return fromWorker, fromMaster, err
}

func (k *Key) stream(salt []byte, direction string) (*Stream, error) {
	key, err := hkdf.Key(sha256.New, k.secret[:], salt, direction, sealedKey)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing a key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("preparing a key: %w", err)
	}
	return &Stream{aead: aead}, nil
}

// number puts the next frame's number into the nonce.
func (s *Stream) number() []byte {
	binary.BigEndian.PutUint64(s.nonce[len(s.nonce)-8:], s.next)
	s.next++
	return s.nonce[:]
}

// AppendClear appends a frame that is to be sealed to dst, with room for its
// seal and its payload still clear. Errors: ErrCommandTooLong, ErrTooLong.
func AppendClear(dst []byte, f Frame) ([]byte, error) {
	if len(f.Payload) > Chunk {
		return dst, ErrTooLong
	}
	if len(f.Command) > MaxName {
		return dst, ErrCommandTooLong
	}
	at := len(dst)
	dst = slices.Grow(dst, HeaderSize+len(f.Payload)+tagSize)[:at+HeaderSize]
	putHeader(dst[at:], f, len(f.Payload)+tagSize, false)
	dst[at+flagAt] = flagSealed
	dst = append(dst, f.Payload...)
	return dst[:len(dst)+tagSize], nil
}

// AwaitsSeal says whether a frame is one of AppendClear's.
func AwaitsSeal(frame []byte) bool { return frame[flagAt] == flagSealed }

// Seal seals, in its own place, a frame that AppendClear has made. Frames must
// leave in the order in which they are sealed.
func (s *Stream) Seal(frame []byte) {
	clear := frame[HeaderSize : len(frame)-tagSize]
	s.aead.Seal(clear[:0], s.number(), clear, frame[:HeaderSize])
}

// open opens a sealed payload in its own place.
func (s *Stream) open(head, payload []byte) ([]byte, error) {
	clear, err := s.aead.Open(payload[:0], s.number(), payload, head)
	if err != nil {
		return payload, ErrSealed
	}
	return clear, nil
}

// OpenSealed makes the decoder open sealed frames, from the next one on. Any
// goroutine may call it, once.
func (d *Decoder) OpenSealed(s *Stream) { d.sealed.Store(s) }
