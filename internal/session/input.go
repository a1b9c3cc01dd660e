package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"testudo/internal/wire"
)

// input is the connection as the decoder reads it. It sets the deadline of
// each read by what is being waited for: the rest of a frame, the next piece
// of a divided message, or just anything, which has no limit.
type input struct {
	s   *Session
	due time.Time // of the frame that has begun; zero between frames
	set time.Time // what the connection has been told
}

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	due := in.due
	if due.IsZero() {
		if due = in.s.dec.DividedDeadline(); !due.IsZero() {
			due = due.Add(time.Millisecond) // by then it is too old, not just old
		}
	}
	if !due.Equal(in.set) {
		_ = in.s.conn.SetReadDeadline(due) // a closed connection says so below
		in.set = due
	}
	n, err := in.s.conn.Read(p)
	in.s.cfg.Metrics.Received(int64(n))
	return n, err
}

// begun and ended enclose a frame that did not arrive at once.
func (in *input) begun() { in.due = time.Now().Add(in.s.cfg.Limits.FrameTimeout) }
func (in *input) ended() { in.due = time.Time{} }

// request is one that has been read and waits for its handler.
type request struct {
	frame wire.Frame
	route route
}

// read takes frames off the connection until it breaks.
func (s *Session) read() error {
	s.dec.OnProgress(s.input.begun, s.input.ended)
	s.input.ended()
	for {
		frame, err := s.dec.Next()
		if err != nil {
			return s.readError(err)
		}
		s.heard()
		s.cfg.Metrics.FrameReceived()
		if frame.Sealed {
			s.sealing.ready.Store(true) // the peer is prepared for them: it sends them
		}
		if IsReply(frame.Command) {
			s.calls.answer(frame)
			continue
		}
		if err := s.dispatch(frame); err != nil {
			return err
		}
	}
}

func (s *Session) readError(err error) error {
	var refused *wire.RefusedError
	if errors.As(err, &refused) {
		s.cfg.Metrics.FrameRefused(refused.Reason)
	}
	if cause := s.Cause(); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.cfg.Metrics.FrameRefused("late")
		return ErrLate
	}
	return err
}

func (s *Session) dispatch(frame wire.Frame) error {
	r := s.mux.find(frame.Command)
	if r.sealed && !frame.Sealed {
		r = unknownRoute(frame.Command)
	}
	if s.log.Enabled(s.ctx, slog.LevelDebug) {
		s.log.Debug("Command received: b'" + quoteCommand(frame.Command) + "'")
	}
	if r.control {
		s.answer(frame, r)
		return nil
	}
	if err := s.inboxBudget.Acquire(s.ctx, s.weight(frame.Payload)); err != nil {
		return s.Cause()
	}
	select {
	case s.inbox <- request{frame, r}:
		return nil
	case <-s.ctx.Done():
		return s.Cause()
	}
}

// serve runs the handlers, in the order in which their requests came.
func (s *Session) serve(ctx context.Context) {
	for {
		select {
		case req := <-s.inbox:
			weight := s.weight(req.frame.Payload)
			s.answer(req.frame, req.route)
			s.inboxBudget.Release(weight)
		case <-ctx.Done():
			return
		}
	}
}

// controlBytes is the longest payload that may overtake waiting bulk frames:
// what overtakes is outside the budget of unsent bytes.
const controlBytes = 16 << 10

func (s *Session) answer(frame wire.Frame, r route) {
	if r.late != nil {
		command, counter := frame.Command, frame.Counter
		r.late(s.ctx, s, frame.Payload, func(reply Reply, err error) { s.respond(command, counter, r, reply, err) })
	} else {
		reply, err := r.handle(s.ctx, s, frame.Payload)
		s.respond(frame.Command, frame.Counter, r, reply, err)
	}
	s.dec.Recycle(frame.Payload)
}

// respond sends a handler's reply to a request.
func (s *Session) respond(command string, counter uint32, r route, reply Reply, err error) {
	if err != nil {
		s.logRefusal(command, r, err)
		reply = ErrorReply(err)
	}
	out := wire.Frame{Counter: counter, Command: reply.Command, Payload: reply.Payload}
	control := r.control && len(reply.Payload) <= controlBytes
	if err := s.send(s.ctx, out, control); err != nil && s.ctx.Err() == nil {
		s.Close(fmt.Errorf("answer %s: %w", quoteCommand(command), err))
	}
}
