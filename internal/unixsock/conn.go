package unixsock

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Conn is one client of a server. Its methods are for the handler of a request
// of this client, during that request.
type Conn struct {
	net     *net.UnixConn
	number  uint64
	leaving bool // set by the handler; read after it

	gone chan struct{} // closed when the server has forgotten it
	peer func() (Credentials, error)

	mu       sync.Mutex
	stopping bool      // no message is read any more
	limited  bool      // what is read next has a time
	silent   time.Time // since when nothing has come and nothing is under way; else zero
}

func newConn(nc *net.UnixConn, number uint64) *Conn {
	c := &Conn{net: nc, number: number, gone: make(chan struct{}), silent: time.Now()}
	c.peer = sync.OnceValues(c.askPeer) // it stays who has connected
	return c
}

// setSilent notes that a message is waited for from now on, or that one is here.
func (c *Conn) setSilent(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = time.Time{}
	if yes {
		c.silent = time.Now()
	}
}

// silentSince is the time since when nothing has come; ok is false while a
// message comes or is answered, and for a connection that ends.
func (c *Conn) silentSince() (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent, !c.silent.IsZero() && !c.stopping
}

type connKey struct{}

// ConnOf is the client whose request is answered in ctx; nil when none is.
func ConnOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// Number tells clients of one server apart. It starts at 1 and is never reused.
func (c *Conn) Number() uint64 { return c.number }

// Hangup ends the connection once the reply to the current request is out.
func (c *Conn) Hangup() { c.leaving = true }

// Credentials are the process at the other end, as the system vouches for it at
// the time of its connecting.
type Credentials struct {
	PID      int32 // 0 where the system does not say
	UID, GID uint32
}

// Peer returns who the client is.
func (c *Conn) Peer() (Credentials, error) { return c.peer() }

func (c *Conn) askPeer() (Credentials, error) {
	raw, err := c.net.SyscallConn()
	if err != nil {
		return Credentials{}, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	var who Credentials
	var asked error
	if err := raw.Control(func(fd uintptr) { who, asked = credentials(int(fd)) }); err != nil {
		return Credentials{}, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	if asked != nil {
		return Credentials{}, fmt.Errorf("ask for the peer's credentials: %w", asked)
	}
	return who, nil
}

// readWithin limits the time for what is read next; 0 takes the limit away.
func (c *Conn) readWithin(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return ErrClosed
	}
	if d == 0 && !c.limited {
		return nil
	}
	c.limited = d != 0
	return c.net.SetReadDeadline(after(d))
}

// stop ends reading at once. A reply under way still goes out.
func (c *Conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	_ = c.net.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
}

func after(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
