package faultnet

import (
	"cmp"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection with faults.
type Conn struct {
	control *Control
	inner   net.Conn
	writing chan struct{} // held by the one write that goes on
	closed  chan struct{} // closed by Close

	mu        sync.Mutex
	ways      [2]way // by Direction
	cut       bool   // the connection has been ended by a fault
	dead      bool   // it is half-open
	finished  bool   // Close was called
	deadlines [2]time.Time
	moved     chan struct{} // closed, and made anew, when a deadline or dead changes
}

// way is the state of one direction.
type way struct {
	passed int64   // bytes that have passed
	faults []Fault // to come, by byte; `at` counts from the start of the connection
	delay  time.Duration
}

func newConn(control *Control, inner net.Conn) *Conn {
	return &Conn{
		control: control, inner: inner,
		writing: make(chan struct{}, 1), closed: make(chan struct{}), moved: make(chan struct{}),
	}
}

// Inject adds faults; their bytes count from now.
func (c *Conn) Inject(faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range faults {
		w := &c.ways[f.direction]
		f.at += w.passed
		w.faults = append(w.faults, f)
		slices.SortStableFunc(w.faults, func(a, b Fault) int { return cmp.Compare(a.at, b.at) })
	}
	c.fireLocked(Read)
	c.fireLocked(Write)
}

// fireLocked lets the faults happen whose byte has come.
func (c *Conn) fireLocked(d Direction) {
	w := &c.ways[d]
	w.faults = slices.DeleteFunc(w.faults, func(f Fault) bool {
		due := f.kind != corrupt && f.at <= w.passed
		if due {
			c.happenLocked(f)
		}
		return due
	})
}

func (c *Conn) happenLocked(f Fault) {
	switch {
	case f.kind == slow:
		c.ways[f.direction].delay = f.delay
	case c.dead || c.cut:
		// The other end cannot be told any more.
	case f.kind == halfOpen:
		c.dead = true
		// Who waits in the connection below must come back to be told nothing.
		_ = c.inner.SetDeadline(time.Unix(1, 0))
		c.moveLocked()
	case f.kind == cut:
		c.cut = true
		_ = c.inner.Close()
	case f.kind == reset:
		c.cut = true
		abort(c.inner)
	}
}

func (c *Conn) moveLocked() {
	close(c.moved)
	c.moved = make(chan struct{})
}

// corruptLocked corrupts what is to be corrupted in p, which comes next.
func (c *Conn) corruptLocked(d Direction, p []byte) {
	w := &c.ways[d]
	for _, f := range w.faults {
		if i := f.at - w.passed; f.kind == corrupt && i >= 0 && i < int64(len(p)) {
			p[i] ^= f.mask
		}
	}
}

// passLocked counts n bytes as passed, and lets happen what then happens.
func (c *Conn) passLocked(d Direction, n int) {
	w := &c.ways[d]
	w.passed += int64(n)
	w.faults = slices.DeleteFunc(w.faults, func(f Fault) bool {
		return f.kind == corrupt && f.at < w.passed
	})
	c.fireLocked(d)
}

// state is what a read or write must know before it begins.
func (c *Conn) state(d Direction, size int) (limit int, delay time.Duration, dead bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.ways[d]
	switch {
	case c.finished:
		return 0, 0, false, net.ErrClosed
	case c.cut:
		return 0, 0, false, syscall.ECONNRESET
	}
	limit = size
	for _, f := range w.faults {
		if f.kind != corrupt {
			limit = int(min(int64(limit), f.at-w.passed))
			break
		}
	}
	return limit, w.delay, c.dead, nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		limit, delay, dead, err := c.state(Read, len(p))
		if err != nil {
			return 0, c.wrap("read", err)
		}
		if dead {
			return 0, c.wrap("read", c.silence(Read))
		}
		n, err := c.inner.Read(p[:limit])
		c.mu.Lock()
		if c.dead {
			c.mu.Unlock()
			continue
		}
		c.corruptLocked(Read, p[:n])
		c.passLocked(Read, n)
		wasCut := c.cut
		c.mu.Unlock()
		if n > 0 {
			c.pause(delay)
			return n, nil
		}
		if wasCut {
			err = c.wrap("read", syscall.ECONNRESET)
		}
		return n, err
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-c.closed:
		return 0, c.wrap("write", net.ErrClosed)
	}
	written := 0
	for {
		limit, delay, dead, err := c.state(Write, len(p)-written)
		if err != nil {
			return written, c.wrap("write", err)
		}
		if dead {
			return c.swallow(p)
		}
		c.pause(delay)
		n, err := c.writeSome(p[written : written+limit])
		written += n
		if err != nil && !c.isDead() {
			return written, err
		}
		if written == len(p) {
			return written, nil
		}
	}
}

// writeSome writes p, which reaches no further than the next fault, below.
func (c *Conn) writeSome(p []byte) (int, error) {
	sent := slices.Clone(p)
	c.mu.Lock()
	c.corruptLocked(Write, sent)
	c.mu.Unlock()
	n, err := c.inner.Write(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.cut {
		err = c.wrap("write", syscall.ECONNRESET)
	}
	c.passLocked(Write, n)
	return n, err
}

// swallow takes all of p and does nothing with it, unless the time is up.
func (c *Conn) swallow(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.deadlines[Write]; !at.IsZero() && !time.Now().Before(at) {
		return 0, c.wrap("write", os.ErrDeadlineExceeded)
	}
	return len(p), nil
}

// silence waits, on a half-open connection, for the deadline or the close.
func (c *Conn) silence(d Direction) error {
	for {
		c.mu.Lock()
		at, moved := c.deadlines[d], c.moved
		c.mu.Unlock()
		if err, over := c.silent(at, moved); over {
			return err
		}
	}
}

// silent waits until at (never, when zero) or the close, or until moved.
func (c *Conn) silent(at time.Time, moved <-chan struct{}) (err error, over bool) {
	var timeout <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
		return os.ErrDeadlineExceeded, true
	case <-c.closed:
		return net.ErrClosed, true
	case <-moved:
		return nil, false
	}
}

// pause waits for the delay, or the close.
func (c *Conn) pause(delay time.Duration) {
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closed:
	}
}

// Close implements net.Conn. Below a half-open connection nothing is closed
// until Control.Close, so that the peer goes on waiting.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.finished {
		c.mu.Unlock()
		return c.wrap("close", net.ErrClosed)
	}
	c.finished = true
	dead, wasCut := c.dead, c.cut
	close(c.closed)
	c.mu.Unlock()
	if dead {
		return nil
	}
	c.control.forget(c)
	if err := c.inner.Close(); err != nil && !wasCut {
		return err
	}
	return nil
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

func (c *Conn) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Passed tells how many bytes have passed in the direction.
func (c *Conn) Passed(d Direction) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ways[d].passed
}

// SetLinger is passed on to a connection that has it.
func (c *Conn) SetLinger(seconds int) error {
	if l, ok := c.inner.(interface{ SetLinger(seconds int) error }); ok {
		return l.SetLinger(seconds)
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(Read, t, c.inner.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(Write, t, c.inner.SetWriteDeadline)
}

func (c *Conn) setDeadline(d Direction, t time.Time, below func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return c.wrap("set", net.ErrClosed)
	}
	c.deadlines[d] = t
	c.moveLocked()
	if c.dead || c.cut {
		return nil
	}
	return below(t)
}

func (c *Conn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: "fault", Source: c.inner.LocalAddr(), Addr: c.inner.RemoteAddr(), Err: err}
}
