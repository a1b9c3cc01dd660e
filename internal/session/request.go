package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"testudo/internal/fault"
	"testudo/internal/wire"
)

// RemoteError is the peer's "err" reply to a request.
type RemoteError struct {
	Command string // the request
	Fault   *fault.Error
}

func (e *RemoteError) Error() string { return e.Fault.Error() }

// Unwrap returns the numbered error.
func (e *RemoteError) Unwrap() error { return e.Fault }

// Request sends a request and waits for its reply's payload. It returns a
// *RemoteError when the peer answered "err", fault.RequestTimeout when no
// reply came in time, and ErrClosed when the session ended.
func (s *Session) Request(ctx context.Context, command string, payload []byte) ([]byte, error) {
	c, err := s.start(ctx, command, payload, false)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx)
}

// RequestControl is Request ahead of all waiting bulk frames.
func (s *Session) RequestControl(ctx context.Context, command string, payload []byte) ([]byte, error) {
	c, err := s.start(ctx, command, payload, true)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx)
}

// call is a request under way.
type call struct {
	s       *Session
	counter uint32
	command string
	reply   chan answer
}

type answer struct {
	command string
	payload []byte
}

func (s *Session) start(ctx context.Context, command string, payload []byte, control bool) (*call, error) {
	return s.startFrame(ctx, wire.Frame{Command: command, Payload: payload}, control)
}

func (s *Session) startFrame(ctx context.Context, f wire.Frame, control bool) (*call, error) {
	c, err := s.calls.add(s, f.Command)
	if err != nil {
		return nil, s.endOr(err)
	}
	f.Counter = c.counter
	if err := s.send(ctx, f, control); err != nil {
		s.calls.drop(c.counter)
		return nil, fmt.Errorf("send %s: %w", f.Command, err)
	}
	return c, nil
}

// wait returns the reply. A reply that has come counts, whatever else has
// happened meanwhile: a peer may answer and close at once.
func (c *call) wait(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.s.cfg.RequestTimeout, fault.New(fault.RequestTimeout, c.command))
	defer cancel()
	select {
	case a := <-c.reply:
		return c.result(a)
	case <-c.s.ctx.Done():
	case <-ctx.Done():
		c.s.calls.drop(c.counter)
	}
	select {
	case a := <-c.reply:
		return c.result(a)
	default:
	}
	err := c.s.endOr(context.Cause(ctx))
	if isTimeout(err) {
		return nil, err // it names the command, in the original's words
	}
	return nil, fmt.Errorf("%s: %w", c.command, err)
}

func (c *call) result(a answer) ([]byte, error) {
	if a.command == replyErr {
		return nil, &RemoteError{c.command, fault.Parse(a.payload)}
	}
	return a.payload, nil
}

// calls is the table of requests that wait for their reply. A request that
// timed out leaves the table at once; its late reply finds nothing and is
// dropped (docs/wire.md §11, row 24).
type calls struct {
	mu     sync.Mutex
	next   uint32
	open   map[uint32]*call
	closed bool
}

func (t *calls) init() {
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails
	t.next = binary.BigEndian.Uint32(seed[:])
	t.open = make(map[uint32]*call)
}

// keepClear starts our counters half the number space away from the peer's:
// a 4.7.5 node takes a request whose counter it is itself waiting for as the
// reply (docs/wire.md §5).
func (t *calls) keepClear(peer uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = peer + 1<<31
}

func (t *calls) add(s *Session, command string) (*call, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	for t.next++; t.open[t.next] != nil; t.next++ { // after 2^32 requests
	}
	c := &call{s: s, counter: t.next, command: command, reply: make(chan answer, 1)}
	t.open[c.counter] = c
	return c, nil
}

func (t *calls) drop(counter uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, counter)
}

func (t *calls) answer(f wire.Frame) {
	t.mu.Lock()
	c, waiting := t.open[f.Counter]
	delete(t.open, f.Counter)
	t.mu.Unlock()
	if waiting {
		c.reply <- answer{f.Command, f.Payload}
	}
}

func (t *calls) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	clear(t.open)
}

// ErrorReply is the "err" frame for a handler's error.
func ErrorReply(err error) Reply {
	var plain PlainError
	if errors.As(err, &plain) {
		return Reply{replyErr, []byte(plain)}
	}
	return Reply{replyErr, fault.From(err).JSON()}
}
