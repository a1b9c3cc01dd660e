package memnet

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Conn is one end of a connection. It has the methods of a *net.TCPConn that
// are used of one.
type Conn struct {
	in, out       *stream
	local, remote Addr
	abrupt        atomic.Bool // Close resets
	closed        atomic.Bool
}

// pair makes the two ends of a connection.
func pair(client, server Addr) (near, far *Conn) {
	up, down := newStream(), newStream()
	return &Conn{in: down, out: up, local: client, remote: server},
		&Conn{in: up, out: down, local: server, remote: client}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write implements net.Conn. It returns once all of p is in the buffer that the
// other end reads from.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close implements net.Conn. The other end reads what was written before, then
// the end of file; after SetLinger(0) it gets an error instead.
func (c *Conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.wrap("close", net.ErrClosed)
	}
	if c.abrupt.Load() {
		c.reset()
	}
	c.out.change(func() {
		c.out.ended = true
		c.out.writeEnd.set(time.Time{}, nil)
	})
	c.in.change(func() {
		c.in.deaf = true
		c.in.buffer = ring{}
		c.in.readEnd.set(time.Time{}, nil)
	})
	return nil
}

// reset breaks the connection for both ends: what was not read is lost.
func (c *Conn) reset() {
	for _, s := range []*stream{c.in, c.out} {
		s.change(func() {
			s.broken = true
			s.buffer = ring{}
		})
	}
}

// SetLinger with 0 makes Close break the connection as a TCP reset does; any
// other value makes it end in good order.
func (c *Conn) SetLinger(seconds int) error {
	c.abrupt.Store(seconds == 0)
	return nil
}

// CloseWrite ends the writing direction only.
func (c *Conn) CloseWrite() error {
	if c.closed.Load() {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.change(func() { c.out.ended = true })
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.in, &c.in.readEnd, t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.out, &c.out.writeEnd, t)
}

func (c *Conn) setDeadline(s *stream, d *deadline, t time.Time) error {
	var err error
	s.change(func() {
		// Under the lock of the stream: Close takes it, too, and a timer set
		// behind its back would stay.
		if c.closed.Load() {
			err = c.wrap("set", net.ErrClosed)
			return
		}
		d.set(t, s.wake)
	})
	return err
}

// wrap gives errors the form of the net package. The end of file stays bare.
func (c *Conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}
