// Package faultnet wraps connections, listeners and dialers of tests in faults:
// connections that are cut or reset at a byte, slow, corrupted at a byte, or
// half-open, by script or at the test's word. It works over any net.Conn and
// inside a testing/synctest bubble when what it wraps does.
//
//	faults := faultnet.New()
//	defer faults.Close()
//	faults.Script(func(n int) []faultnet.Fault {
//		return []faultnet.Fault{faultnet.Cut(faultnet.Write, 1000)}
//	})
//	listener = faults.Listener(listener)
package faultnet

import "time"

// Direction is the way of bytes, as seen from the end that is wrapped.
type Direction int

const (
	// Read is what the wrapped end receives.
	Read Direction = iota
	// Write is what the wrapped end sends.
	Write
)

// Fault is one thing that goes wrong once a number of bytes has passed in one
// direction, counted from when the fault was injected.
type Fault struct {
	direction Direction
	at        int64
	kind      kind
	mask      byte
	delay     time.Duration
}

type kind int

const (
	cut kind = iota
	reset
	halfOpen
	slow
	corrupt
)

// Cut ends the connection after so many bytes: the peer reads these and then
// the end of file, the wrapped end gets a reset.
func Cut(d Direction, after int64) Fault { return Fault{direction: d, at: after, kind: cut} }

// Reset ends the connection after so many bytes with a reset for both ends;
// what is on its way is lost.
func Reset(d Direction, after int64) Fault { return Fault{direction: d, at: after, kind: reset} }

// HalfOpen makes the connection dead after so many bytes without either end
// being told: what the wrapped end writes is swallowed, and it reads nothing
// more. The peer is not told either when the wrapped end closes.
func HalfOpen(d Direction, after int64) Fault { return Fault{direction: d, at: after, kind: halfOpen} }

// Delay makes each read or write after so many bytes take that much longer; 0
// ends an earlier delay. A deadline does not shorten it, a close does.
func Delay(d Direction, after int64, by time.Duration) Fault {
	return Fault{direction: d, at: after, kind: slow, delay: by}
}

// Corrupt changes the byte with that number, counted from 0: the bits of mask
// are turned over, all of them when mask is 0.
func Corrupt(d Direction, number int64, mask byte) Fault {
	if mask == 0 {
		mask = 0xff
	}
	return Fault{direction: d, at: number, kind: corrupt, mask: mask}
}
