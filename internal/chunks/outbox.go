package chunks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
)

var (
	// ErrNoResult is returned when the peer reports no result in time.
	ErrNoResult = errors.New("no result came in time")
	// ErrFewer is returned when the peer has not stored all chunks.
	ErrFewer = errors.New("not all chunks are stored")
)

// PeerError is the peer's report that nothing could be done.
type PeerError struct{ Text string }

func (e *PeerError) Error() string { return e.Text }

// maxUnanswered is how many strings without a result are remembered.
const maxUnanswered = 8

// Outbox sends strings of one kind on one session and finds out what became of
// them. A 4.7.5 node does not say which string a result is about: it is the
// oldest that has none.
type Outbox struct {
	Command string // that names a string

	mu   sync.Mutex
	sent []*Sent // without a result
}

// Sent is a string on its way.
type Sent struct {
	id    string
	began time.Time
	done  chan struct{} // closed when result and err are what they will be

	result Result // guarded by Outbox.mu until done is closed
	err    error
}

// Send sends a string and names it. The error is fault.ErrorResponse when the
// string was not taken, as the original puts it.
func (o *Outbox) Send(ctx context.Context, s *session.Session, text []byte) (*Sent, error) {
	return o.SendAs(ctx, s, o.Command, text)
}

// SendAs is Send with another command that names the string.
func (o *Outbox) SendAs(ctx context.Context, s *session.Session, command string, text []byte) (*Sent, error) {
	began := time.Now()
	id, err := s.SendString(ctx, text)
	if err != nil {
		if errors.Is(err, session.ErrClosed) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fault.Wrap(fault.ErrorResponse,
			"String with agents information could not be sent to the master node: b'"+logging.Quote(fault.From(err).Error())+"'", err)
	}
	sent := &Sent{id: id, began: began, done: make(chan struct{})}
	o.mu.Lock()
	o.sent = append(o.sent, sent) // before the peer can report it
	if len(o.sent) > maxUnanswered {
		o.sent[0].settle(Result{}, ErrNoResult)
		o.sent = slices.Delete(o.sent, 0, 1)
	}
	o.mu.Unlock()
	if _, err := s.Request(ctx, command, []byte(id)); err != nil {
		var remote *session.RemoteError
		if errors.As(err, &remote) {
			o.take(func(other *Sent) bool { return other == sent }) // no result will come
		}
		return nil, err
	}
	return sent, nil
}

// settle is called once, with Outbox.mu held.
func (t *Sent) settle(r Result, err error) {
	t.result, t.err = r, err
	close(t.done)
}

// Wait returns the result of a string.
func (t *Sent) Wait(ctx context.Context, limit time.Duration) (Result, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.done:
		return t.result, t.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	case <-timer.C:
		return Result{}, fmt.Errorf("%w (%v)", ErrNoResult, limit)
	}
}

// Forget gives up all strings without a result. Without it the late result of
// one, which a 4.7.5 node may still send or never does, would be taken for that
// of the next, and so on for as long as the session lives.
func (o *Outbox) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sent := range o.sent {
		sent.settle(Result{}, ErrNoResult)
	}
	o.sent = nil
}

// Began is when the string was begun to be sent.
func (t *Sent) Began() time.Time { return t.began }

// take removes the oldest string that fits and returns it, or nil.
func (o *Outbox) take(fits func(*Sent) bool) *Sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.sent, fits)
	if i < 0 {
		return nil
	}
	sent := o.sent[i]
	o.sent = slices.Delete(o.sent, i, i+1)
	return sent
}

// HandleDone answers the peer's report of a result.
func (o *Outbox) HandleDone(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
	r, err := ParseResult(payload)
	if err != nil {
		return session.Reply{}, err
	}
	o.settle(s, r, nil)
	return session.OK("Thanks"), nil
}

// HandleFailed answers the peer's report that nothing could be done.
func (o *Outbox) HandleFailed(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
	o.settle(s, Result{}, &PeerError{string(payload[:min(len(payload), maxErrorText)])})
	return session.OK("Thanks"), nil
}

func (o *Outbox) settle(s *session.Session, r Result, err error) {
	sent := o.take(func(t *Sent) bool { return r.String == "" || t.id == r.String })
	if sent == nil {
		s.Log().Debug("A result came for a string that waits for none.", "command", o.Command)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	sent.settle(r, err)
}
