package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// UnsentError is a failure of which it is certain that the other end did not
// take the request whole: it may be sent again on another connection.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return "the request did not arrive: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *UnsentError) Unwrap() error { return e.Err }

// Client is one connection to a server. Calls wait for one another. After a call
// that failed the connection is of no use and closed.
type Client struct {
	conn   *net.UnixConn
	limits Limits

	turn    chan struct{} // holds a token while nobody calls
	r       *reader
	out     *sender
	limited bool // what is read next has a time

	closing sync.Once
	closed  chan struct{}
}

// Dial connects to the socket at path. Limits.Message bounds the replies, Reply
// the requests.
func Dial(ctx context.Context, path string, framing Framing, limits Limits) (*Client, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("connect to socket %s: %w: %d bytes, limit %d", path, ErrPathTooLong, len(path), maxPath)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to socket %s: %w", path, err)
	}
	limits = limits.withDefaults()
	c := &Client{
		conn: conn.(*net.UnixConn), limits: limits,
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	if c.out, err = newSender(c.conn, framing, limits.Write); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.r = &reader{src: c.conn, framing: framing, limit: limits.Message, keep: limits.Keep}
	c.turn <- struct{}{}
	return c, nil
}

// Call sends a request and returns the reply, which is the caller's. Time is
// bounded by ctx; from the first byte of the reply to the last by Limits.Read.
func (c *Client) Call(ctx context.Context, request []byte) ([]byte, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-c.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if len(request) > c.limits.Reply {
		return nil, fmt.Errorf("request: %w: %d bytes, limit %d", ErrTooLong, len(request), c.limits.Reply)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	reply, err := c.exchange(ctx, request)
	if err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return append(make([]byte, 0, len(reply)), reply...), nil
}

func (c *Client) exchange(ctx context.Context, request []byte) ([]byte, error) {
	select {
	case <-c.closed:
		return nil, ErrClosed
	default:
	}
	if c.limited {
		c.limited = false
		if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	// A call that is given up leaves a reply on the way, so the connection goes.
	unhook := context.AfterFunc(ctx, func() { c.Close() })
	defer unhook()
	if err := c.out.send(request); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		return nil, &UnsentError{Err: err}
	}
	reply, err := c.r.next(func() {
		c.limited = true
		_ = c.conn.SetReadDeadline(after(c.limits.Read)) // the read that follows has the error
	})
	switch {
	case err == nil:
		return reply, nil
	case errors.Is(err, syscall.ECONNRESET):
		// The other end closed with our request, or a part of it, unread.
		return nil, &UnsentError{Err: err}
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("wait for the reply: %w", io.ErrUnexpectedEOF)
	}
	return nil, fmt.Errorf("wait for the reply: %w", err)
}

// Usable tells whether the connection is still good for a call, as far as this
// end knows.
func (c *Client) Usable() bool {
	select {
	case <-c.closed:
		return false
	default:
		return true
	}
}

// Close ends the connection and a call that is under way.
func (c *Client) Close() error {
	var err error
	c.closing.Do(func() {
		close(c.closed)
		err = c.conn.Close()
	})
	return err
}
