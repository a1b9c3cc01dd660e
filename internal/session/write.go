package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"testudo/internal/wire"
)

// frames are built in pooled buffers; one that grew beyond keepFrame is left
// to the collector.
const keepFrame = 1 << 20

var framePool = sync.Pool{New: func() any { return new([]byte) }}

func takeBuffer() []byte { return (*framePool.Get().(*[]byte))[:0] }

func giveBuffer(b []byte) {
	if cap(b) <= keepFrame {
		framePool.Put(&b)
	}
}

// send seals a frame and queues it. Control frames overtake waiting bulk
// frames; bulk frames wait for room within Limits.QueueBytes.
func (s *Session) send(ctx context.Context, f wire.Frame, control bool) error {
	buf, err := wire.AppendFrame(takeBuffer(), s.cfg.Key, f)
	if err != nil {
		return err
	}
	queue := s.out
	if control {
		queue = s.urgent
	} else if err := s.budget.Acquire(ctx, s.weight(buf)); err != nil {
		giveBuffer(buf)
		return s.endOr(err)
	}
	select {
	case queue <- buf:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.ctx.Done():
		err = s.Cause()
	}
	if !control {
		s.budget.Release(s.weight(buf))
	}
	giveBuffer(buf)
	return s.endOr(err)
}

// weight is what a frame counts against the budget: a single frame larger
// than the whole budget passes alone.
func (s *Session) weight(buf []byte) int64 {
	return min(int64(len(buf)), s.cfg.Limits.QueueBytes)
}

func (s *Session) endOr(err error) error {
	if cause := s.Cause(); cause != nil {
		return fmt.Errorf("%w: %w", ErrClosed, cause)
	}
	return err
}

// write empties the two queues, each frame with one system call so that a
// 4.7.5 node never reads a header alone (docs/wire.md §2.1).
func (s *Session) write(ctx context.Context) {
	for {
		select {
		case buf := <-s.urgent:
			s.writeFrame(buf, true)
			continue
		default:
		}
		select {
		case buf := <-s.urgent:
			s.writeFrame(buf, true)
		case buf := <-s.out:
			s.writeFrame(buf, false)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) writeFrame(buf []byte, control bool) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.Limits.FrameTimeout))
	n, err := s.conn.Write(buf)
	s.cfg.Metrics.Sent(int64(n))
	if !control {
		s.budget.Release(s.weight(buf))
	}
	giveBuffer(buf)
	switch {
	case err == nil:
		s.cfg.Metrics.FrameSent()
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.Close(fmt.Errorf("%w for %v", ErrSlowPeer, s.cfg.Limits.FrameTimeout))
	default:
		s.Close(fmt.Errorf("write frame: %w", err))
	}
}
