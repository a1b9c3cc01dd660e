package faultnet

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
)

// DialFunc dials as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Control makes and rules faulty connections. It is safe for concurrent use.
type Control struct {
	mu      sync.Mutex
	script  func(n int) []Fault
	made    int
	conns   []*Conn // open ones, and half-open ones that were closed
	refuses bool
	silent  bool
}

// New makes a control without faults.
func New() *Control { return new(Control) }

// Script sets the faults with which connections begin from now on; n counts the
// connections of this control from 0. nil ends the script.
func (c *Control) Script(faults func(n int) []Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = faults
}

// Refuse makes dials fail as if nobody listened, and accepted connections end
// with a reset at once, until it is called with false.
func (c *Control) Refuse(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses = on
}

// Partition is a network that has gone: all connections become half-open and
// dials wait for the end of their context. Partition(false) lets new dials
// through; the connections stay dead.
func (c *Control) Partition(on bool) {
	c.mu.Lock()
	c.silent = on
	c.mu.Unlock()
	if on {
		c.Inject(HalfOpen(Write, 0))
	}
}

// Conns lists the connections that are open, in the order they were made.
func (c *Control) Conns() []*Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.conns), (*Conn).isClosed)
}

// Inject injects faults into all open connections.
func (c *Control) Inject(faults ...Fault) {
	for _, conn := range c.Conns() {
		conn.Inject(faults...)
	}
}

// Close ends all connections, also those below half-open ones that the wrapped
// end has closed already. A test calls it at its end.
func (c *Control) Close() {
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		// Errors say that a connection is closed already.
		_ = conn.Close()
		_ = conn.inner.Close()
	}
}

// Conn wraps one connection.
func (c *Control) Conn(inner net.Conn) *Conn {
	conn := newConn(c, inner)
	c.mu.Lock()
	n, script := c.made, c.script
	c.made++
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if script != nil {
		conn.Inject(script(n)...)
	}
	return conn
}

func (c *Control) forget(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = slices.DeleteFunc(c.conns, func(other *Conn) bool { return other == conn })
}

// Dialer wraps what dial connects.
func (c *Control) Dialer(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c.mu.Lock()
		refuses, silent := c.refuses, c.silent
		c.mu.Unlock()
		switch {
		case silent:
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		case refuses:
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		inner, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c.Conn(inner), nil
	}
}

// Listener wraps what l accepts.
func (c *Control) Listener(l net.Listener) net.Listener { return &listener{l, c} }

type listener struct {
	net.Listener
	control *Control
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.control.mu.Lock()
		refuses, silent := l.control.refuses, l.control.silent
		l.control.mu.Unlock()
		if refuses {
			abort(inner)
			continue
		}
		conn := l.control.Conn(inner)
		if silent {
			conn.Inject(HalfOpen(Write, 0))
		}
		return conn, nil
	}
}

// abort closes a connection with a reset where it knows how.
func abort(conn net.Conn) {
	if l, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0) // without it the close is only more polite
	}
	_ = conn.Close()
}
