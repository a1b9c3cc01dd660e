package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"sync/atomic"

	"testudo/internal/wire"
)

// Files and long strings travel sealed between two Testudo nodes, all else as
// tokens (docs/extensions.md).
const (
	cmdSealedUpdate = "t_file_upd"
	cmdSealedEnd    = "t_file_end"
	cmdSealedString = "t_str_upd"
	cmdStringUpdate = "str_upd" // the same as a token
)

// sealing is what a session has agreed on with its peer about sealed frames.
type sealing struct {
	seed   [wire.SeedSize]byte // ours; new for each session
	stream atomic.Pointer[wire.Stream]
	ready  atomic.Bool // stream may be used
}

func (s *sealing) init() { _, _ = rand.Read(s.seed[:]) } // never fails

// ours is what this node can do, for a peer that asks or is asked.
func (s *Session) ours() Capabilities {
	c := Capabilities{Features: []string{FeaturePush, FeatureDigest, FeatureLarge, FeatureAgents, FeatureCalls}}
	if s.mux != nil {
		c.Features = append(c.Features, s.mux.features...)
	}
	if s.cfg.Key != nil {
		c.Features = append(c.Features, FeatureSealed)
		c.Seed = hex.EncodeToString(s.sealing.seed[:])
	}
	return c
}

// agree takes the peer's part of the keys. Who has asked may seal at once, as
// the answer says that the other end is prepared. Who has answered does not
// know when the answer is read, and waits for the first sealed frame.
func (s *Session) agree(peer Capabilities, weAsked bool) error {
	if s.cfg.Key == nil || !peer.has(FeatureSealed) {
		return nil
	}
	text, err := hex.DecodeString(peer.Seed)
	if err != nil || len(text) != wire.SeedSize {
		return fmt.Errorf("seed of %d characters", len(peer.Seed))
	}
	worker, master := s.sealing.seed, [wire.SeedSize]byte(text)
	if !weAsked {
		worker, master = master, worker
	}
	seals, opens, err := s.cfg.Key.Streams(worker, master)
	if err != nil {
		return err
	}
	if !weAsked {
		seals, opens = opens, seals
	}
	s.dec.OpenSealed(opens)
	s.sealing.stream.Store(seals)
	s.sealing.ready.Store(weAsked)
	return nil
}

func handleSealedUpdate(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return updateFile(s, payload, true)
}

func handleSealedEnd(_ context.Context, s *Session, payload []byte) (Reply, error) {
	return endFile(s, payload, true)
}

// comes notes how a file's bytes come, which does not change. An empty file's
// end says it.
func (u *Upload) comes(sealed bool) error {
	switch {
	case sealed == u.sealed:
		return nil
	case u.sealed || u.size > 0:
		return errMixed
	}
	u.sealed, u.digest = true, newChecksum()
	return nil
}

// errMixed is returned when a file's bytes come partly sealed.
var errMixed = errors.New("some bytes of the file came sealed and some not")

// newChecksum is what a file that travels sealed ends with, in the place of a
// SHA-256: frames that cannot be altered or moved leave nothing but our own
// mistakes to be found.
func newChecksum() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }
