package localsock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"testudo/internal/fault"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// ClientOptions bounds a client. Zero values are replaced by those named.
type ClientOptions struct {
	ReplyTime   time.Duration // for the first reply; 20 s
	ResultTime  time.Duration // for the result, in all; 200 s
	KeepAlive   time.Duration // period of echo-c while the result is waited for; 1 min
	FrameTime   time.Duration // from a frame's first byte to its last, either way; 20 s
	ResultBytes int64         // of a result; 1 GiB
}

func (o ClientOptions) withDefaults() ClientOptions {
	orDefault(&o.ReplyTime, 20*time.Second)
	orDefault(&o.ResultTime, 200*time.Second)
	orDefault(&o.KeepAlive, time.Minute)
	orDefault(&o.FrameTime, 20*time.Second)
	orDefault(&o.ResultBytes, 1<<30)
	return o
}

// Client is one connection to a node's socket, ours or the original's. Calls
// wait for one another. After a call that failed for another reason than the
// node's answer, the connection is closed.
type Client struct {
	link
	o      ClientOptions
	bounds limits
	turn   turn
	wait   wait        // of whose turn it is
	gone   atomic.Bool // closed
}

// Ask is Dial, Call and Close: one connection for each request, as the
// original's programs do it.
func Ask(ctx context.Context, path string, o ClientOptions, command string, payload []byte) ([]byte, error) {
	c, err := Dial(ctx, path, o)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(ctx, command, payload)
}

// Dial connects to the socket at path. The error is fault 3012 when nobody is
// there, 1119 when the system has run out of memory, 3009 otherwise.
func Dial(ctx context.Context, path string, o ClientOptions) (*Client, error) {
	conn, err := dial(ctx, path)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fault.Wrap(fault.NotRunning, nil, err)
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ENOBUFS):
		return nil, fault.Wrap(fault.TemporaryUnusable, nil, err)
	default:
		return nil, fault.Wrap(fault.DistributedAPI, nil, err)
	}
	return newClient(conn, o), nil
}

func newClient(conn net.Conn, o ClientOptions) *Client {
	o = o.withDefaults()
	c := &Client{o: o, bounds: limits{
		wire:    wire.Limits{FrameBytes: wire.Chunk, DividedMessages: 2, DividedBytes: o.ResultBytes, DividedAge: o.ResultTime},
		strings: session.Limits{Strings: 4, StringBytes: o.ResultBytes, StringAge: o.ResultTime},
		frame:   o.FrameTime, reply: o.ReplyTime,
	}}
	c.conn, c.limits = conn, &c.bounds
	c.in = takeInput(conn, c.limits)
	return c
}

// dial connects. While the node does not keep up with accepting, it tries again:
// the system refuses then instead of waiting.
func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	pause := time.Millisecond
	for {
		conn, err := net.DialUnix("unix", nil, addr)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			pause = min(2*pause, 50*time.Millisecond)
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("connect to socket %s: %w", path, context.Cause(ctx))
		}
	}
}

// Close ends the connection and a call that is under way.
func (c *Client) Close() error {
	if c.gone.Swap(true) {
		return nil
	}
	err := c.conn.Close()
	if c.turn.try() { // else the call under way does it
		c.rest()
	}
	return err
}

// rest ends a turn. The buffers of a connection that is closed serve another.
func (c *Client) rest() {
	if c.gone.Load() {
		c.give()
	}
	c.turn.end()
}

// Call sends a request and returns its result, however it comes
// (docs/local.md §4). An error of the node is a *session.RemoteError; fault 3020
// says that the result did not come in time, 3009 that the connection ended.
func (c *Client) Call(ctx context.Context, command string, payload []byte) ([]byte, error) {
	if !c.turn.begin(ctx) {
		return nil, ended(ctx, command)
	}
	defer c.rest()
	if c.gone.Load() {
		return nil, fault.Wrap(fault.DistributedAPI, nil, net.ErrClosed)
	}
	if ctx.Done() != nil { // a call that is given up leaves a reply on the way, so the connection goes
		defer context.AfterFunc(ctx, func() { c.Close() })()
	}
	c.wait = newWait(c, command)
	result, err := c.wait.run(payload)
	if err == nil {
		return result, nil
	}
	if _, ok := errors.AsType[*session.RemoteError](err); ok {
		return nil, err
	}
	c.Close()
	if ctx.Err() != nil {
		return nil, ended(ctx, command)
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return nil, err
	}
	return nil, fault.Wrap(fault.DistributedAPI, nil, err)
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context, command string) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", command, cause)
	}
	return fault.Wrap(fault.RequestTimeout, command, ctx.Err())
}

// turn lets one caller after the other have it. Waiting costs more than having
// it at once.
type turn struct {
	mu   sync.Mutex
	held bool
	next chan struct{} // closed when the turn ends; nil while nobody waits
}

func (t *turn) try() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.held
	t.held = true
	return !was
}

// begin waits for the turn; it says whether that came before the end of ctx.
func (t *turn) begin(ctx context.Context) bool {
	for !t.try() {
		t.mu.Lock()
		if t.next == nil {
			t.next = make(chan struct{})
		}
		next, held := t.next, t.held
		t.mu.Unlock()
		if !held {
			continue
		}
		select {
		case <-next:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	if t.next != nil {
		close(t.next)
		t.next = nil
	}
}
