package wire

import (
	"fmt"
	"time"
)

// Limits bound what a peer can make a Decoder hold (docs/wire.md §11).
type Limits struct {
	FrameBytes      int           // longest payload of one frame as it travels; 0 or more than MaxFrame means MaxFrame
	DividedMessages int           // divided messages open at once; 0 refuses every divided message
	DividedBytes    int64         // bytes of all open divided messages together, as they travel
	DividedAge      time.Duration // from a message's first piece to its last; 0 means any
}

// DefaultLimits are those for a peer that has introduced itself.
func DefaultLimits() Limits {
	return Limits{FrameBytes: MaxFrame, DividedMessages: 10, DividedBytes: 256 << 20, DividedAge: time.Minute}
}

// The reasons of a RefusedError; they are few and fixed, fit to label metrics.
const (
	ReasonTooLarge     = "too_large"     // a frame longer than Limits.FrameBytes
	ReasonDividedCount = "divided_count" // more open messages than Limits.DividedMessages
	ReasonDividedBytes = "divided_bytes" // more bytes than Limits.DividedBytes
	ReasonDividedAge   = "divided_age"   // a message open for longer than Limits.DividedAge
	ReasonToken        = "token"         // a payload that is no token of the key
)

// A RefusedError says why a Decoder takes nothing more from its peer.
type RefusedError struct {
	Reason  string // one of the Reason constants
	Counter uint32
	Command string // as it came, any bytes
	Length  int64  // bytes: the frame's payload, or the divided message so far
	Err     error  // ErrToken, ErrSealed or ErrTokenPolicy when the payload is the reason, else nil
}

// Error has the command in it as it came: who shows it escapes it.
func (e *RefusedError) Error() string {
	s := fmt.Sprintf("frame '%s' of %d bytes refused: %s", e.Command, e.Length, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives ErrToken or ErrTokenPolicy when that is the reason.
func (e *RefusedError) Unwrap() error { return e.Err }
