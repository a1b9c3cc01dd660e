package wdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/unixsock"
)

// Status is the first word of a reply (docs/agentdb.md §4).
type Status string

// The words of replies.
const (
	StatusOK      Status = "ok"
	StatusMore    Status = "due"
	StatusError   Status = "err"
	StatusIgnored Status = "ign"
)

// ErrRequestTooLong is returned when a request is longer than any server takes.
var ErrRequestTooLong = errors.New("request longer than the database takes")

// ClientOptions bounds a client. Zero values are replaced by those named.
type ClientOptions struct {
	Connections int           // open at a time; 4
	Timeout     time.Duration // for one request, where the context has none that is sooner; 30 s
}

// Client speaks to the database of a socket over a few connections, which it
// makes when they are needed and makes anew after they broke. It is safe for use
// by many goroutines.
type Client struct {
	path    string
	timeout time.Duration
	slots   chan *unixsock.Client // one a connection; nil is not connected
	limits  unixsock.Limits
	closed  chan struct{}
	closing sync.Once
}

// Dial makes a client of the socket at path. It connects with the first request,
// so the database may come later.
func Dial(path string, o ClientOptions) *Client {
	if o.Connections == 0 {
		o.Connections = 4
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	c := &Client{
		path: path, timeout: o.Timeout, slots: make(chan *unixsock.Client, o.Connections),
		limits: unixsock.Limits{Message: replyBytes, Reply: requestBytes},
		closed: make(chan struct{}),
	}
	for range o.Connections {
		c.slots <- nil
	}
	return c
}

// Close waits for the requests under way and ends all connections.
func (c *Client) Close() error {
	var errs []error
	c.closing.Do(func() {
		close(c.closed)
		for range cap(c.slots) {
			if conn := <-c.slots; conn != nil {
				errs = append(errs, conn.Close())
			}
		}
	})
	return errors.Join(errs...)
}

// Call sends a request and returns the first word of the reply and what is behind
// it. Errors are *fault.Error where they have a number (docs/errors.md): 2003 for
// the reply "err TEXT", whose TEXT is the extra message, 2005 without a database,
// 2007 when it broke off, 2009 when the reply was cut.
func (c *Client) Call(ctx context.Context, request string) (Status, []byte, error) {
	if len(request) > requestBytes {
		return "", nil, fmt.Errorf("%w: %d bytes, limit %d", ErrRequestTooLong, len(request), requestBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	text, err := c.exchange(ctx, request)
	if err != nil {
		return "", nil, err
	}
	if len(text) >= replyBytes {
		return "", nil, fault.New(fault.DatabaseTooLarge, nil)
	}
	if len(text) > 0 && text[0] == '{' {
		return StatusOK, text, nil // of a JSON command
	}
	word, payload, _ := bytes.Cut(text, []byte{' '})
	status := Status(word)
	switch status {
	case StatusError:
		return status, payload, fault.New(fault.DatabaseRefused, string(payload))
	case StatusOK, StatusMore, StatusIgnored:
		return status, payload, nil
	}
	return "", nil, fault.New(fault.DatabaseRead, fmt.Sprintf("not a reply: %.32q", text))
}

func (c *Client) exchange(ctx context.Context, request string) ([]byte, error) {
	var conn *unixsock.Client
	select {
	case <-c.closed:
		return nil, unixsock.ErrClosed
	default:
	}
	select {
	case conn = <-c.slots:
	case <-c.closed:
		return nil, unixsock.ErrClosed
	case <-ctx.Done():
		return nil, fault.Wrap(fault.DatabaseRead, "all connections are busy", context.Cause(ctx))
	}
	defer func() { c.slots <- conn }()
	for {
		kept := conn != nil && conn.Usable()
		if !kept {
			fresh, err := unixsock.Dial(ctx, c.path, unixsock.LengthPrefix(), c.limits)
			if err != nil {
				conn = nil
				return nil, fault.Wrap(fault.DatabaseUnreachable, c.path, err)
			}
			conn = fresh
		}
		text, err := conn.Call(ctx, []byte(request))
		if err == nil {
			return text, nil
		}
		conn.Close()
		conn = nil
		// A database that was started anew has closed the connections of before.
		if _, unsent := errors.AsType[*unixsock.UnsentError](err); unsent && kept {
			continue
		}
		return nil, fault.Wrap(fault.DatabaseRead, nil, err)
	}
}

// run is Call for requests whose reply says nothing.
func (c *Client) run(ctx context.Context, request string) error {
	_, _, err := c.Call(ctx, request)
	return err
}

// Refusal is the text with which a database refused a request.
func Refusal(err error) (text string, ok bool) {
	e, is := errors.AsType[*fault.Error](err)
	if !is || e.Code != fault.DatabaseRefused {
		return "", false
	}
	text, ok = e.Extra.(string)
	return text, ok
}
