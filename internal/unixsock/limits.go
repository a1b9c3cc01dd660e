package unixsock

import (
	"cmp"
	"errors"
	"time"
)

var (
	// ErrInUse is returned when somebody answers at the path already.
	ErrInUse = errors.New("another process answers at this socket")
	// ErrNotSocket is returned when the path is a file of another kind, which is
	// left alone.
	ErrNotSocket = errors.New("the path is taken by something that is no socket")
	// ErrForeign is returned when the socket there may not be used by this account,
	// so that nobody can say whether it is dead.
	ErrForeign = errors.New("there is a socket of another account")
	// ErrPathTooLong is returned when the path does not fit into a socket address.
	ErrPathTooLong = errors.New("the path is too long for a socket")
	// ErrTooLong is returned when a message is longer than the limit.
	ErrTooLong = errors.New("message longer than the limit")
	// ErrCut is returned when the connection ends within a message.
	ErrCut = errors.New("the connection ended within a message")
	// ErrClosed is returned when a client is used after Close or after a failure.
	ErrClosed = errors.New("connection closed")
)

// Limits bounds what one end can make the other hold. A zero value is replaced
// by that of DefaultLimits, except where it says otherwise.
type Limits struct {
	Message     int           // bytes of a received body
	Reply       int           // bytes of a sent body
	Connections int           // open at a time; more are closed at once, unless one is silent
	Silent      time.Duration // silence after which a connection makes room for a new one, when all are taken
	Keep        int           // bytes of buffer a connection may keep between messages
	Idle        time.Duration // silence between messages; 0 is no limit
	Read        time.Duration // from the first byte of a message to its last
	Write       time.Duration // for the other end to take a message
	Grace       time.Duration // for requests under way when the server stops
}

// DefaultLimits returns limits for messages of up to 64 KiB.
func DefaultLimits() Limits {
	return Limits{
		Message:     64 << 10,
		Reply:       64 << 10,
		Connections: 1024,
		Silent:      10 * time.Second,
		Keep:        8 << 10,
		Read:        10 * time.Second,
		Write:       10 * time.Second,
		Grace:       5 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.Message = cmp.Or(l.Message, d.Message)
	l.Reply = cmp.Or(l.Reply, d.Reply)
	l.Connections = cmp.Or(l.Connections, d.Connections)
	l.Silent = cmp.Or(l.Silent, d.Silent)
	l.Keep = cmp.Or(l.Keep, d.Keep)
	l.Read = cmp.Or(l.Read, d.Read)
	l.Write = cmp.Or(l.Write, d.Write)
	l.Grace = cmp.Or(l.Grace, d.Grace)
	return l
}
