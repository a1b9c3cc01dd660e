package wire

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

const (
	// ReasonTokenAge is a token whose time is too far from now.
	ReasonTokenAge = "token_age"
	// ReasonTokenAgain is a token that has been seen before.
	ReasonTokenAgain = "token_again"
)

// ErrTokenPolicy is returned when a genuine token is refused for its time, or
// because it has come before.
var ErrTokenPolicy = errors.New("token is too old, too new or a repetition")

// rememberedTokens bounds each of the two sets of a TokenPolicy.
const rememberedTokens = 1 << 17

// TokenPolicy refuses genuine tokens that come at the wrong time or twice
// (docs/wire.md §11, row 21). The wire has no protection against somebody who
// can read and alter the connection; this narrows what can be done with a
// recording to the age, and needs clocks that agree that well.
//
// One policy serves all connections of a node, since a recording may be played
// back on another one. It is safe for concurrent use.
type TokenPolicy struct {
	age time.Duration

	mu    sync.Mutex
	since time.Time // when fresh was begun
	fresh map[[aes.BlockSize]byte]struct{}
	stale map[[aes.BlockSize]byte]struct{}
}

// NewTokenPolicy refuses tokens whose time is further than age from now, and
// those seen before within that window. It remembers at least the last 131072
// tokens. An age of 0 or less gives nil, the policy that refuses nothing.
func NewTokenPolicy(age time.Duration) *TokenPolicy {
	if age <= 0 {
		return nil
	}
	return &TokenPolicy{age: age, since: time.Now(), fresh: make(map[[aes.BlockSize]byte]struct{})}
}

// SetTokenPolicy makes the decoder apply p to each token it opens; nil ends
// that. Call it before the first Next.
func (d *Decoder) SetTokenPolicy(p *TokenPolicy) { d.policy = p }

// openToken opens buf in its own place and applies the policy, of which reason
// is what it found wrong.
func (d *Decoder) openToken(buf []byte) (clear []byte, reason string, err error) {
	if d.policy == nil {
		clear, err = d.key.Open(buf[:0], buf)
		return clear, ReasonToken, err
	}
	stamp, ok := d.key.stampOf(buf)
	if !ok {
		return buf, ReasonToken, ErrToken
	}
	// The signature is checked first: what is not genuine fills no memory.
	if clear, err = d.key.Open(buf[:0], buf); err != nil {
		return clear, ReasonToken, err
	}
	if reason = d.policy.refuses(stamp, time.Now()); reason != "" {
		return clear, reason, ErrTokenPolicy
	}
	return clear, "", nil
}

// stamp is what tells a token from all others.
type stamp struct {
	at    time.Time
	start [aes.BlockSize]byte
}

// stampOf reads a token's time and start, not yet verified.
func (k *Key) stampOf(token []byte) (s stamp, ok bool) {
	var head [cipherAt + 2]byte
	const text = (cipherAt + 2) / 3 * tokenUnit
	if len(token) < minToken {
		return s, false
	}
	if _, err := k.text.Decode(head[:], token[:text]); err != nil {
		return s, false
	}
	s.at = time.Unix(int64(binary.BigEndian.Uint64(head[1:ivAt])), 0)
	copy(s.start[:], head[ivAt:cipherAt])
	return s, true
}

// refuses gives the reason to refuse a token, or none and remembers it.
func (p *TokenPolicy) refuses(s stamp, now time.Time) string {
	// A token's time is cut to whole seconds.
	if off := now.Truncate(time.Second).Sub(s.at); off > p.age || off < -p.age {
		return ReasonTokenAge
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, fresh := p.fresh[s.start]
	_, stale := p.stale[s.start]
	if fresh || stale {
		return ReasonTokenAgain
	}
	// A token can come again until its time is age ago; it may have come first
	// when its time was still age ahead.
	if now.Sub(p.since) > 2*p.age || len(p.fresh) >= rememberedTokens {
		p.stale, p.fresh, p.since = p.fresh, make(map[[aes.BlockSize]byte]struct{}), now
	}
	p.fresh[s.start] = struct{}{}
	return ""
}
