package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"testudo/internal/metrics"
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

// send encrypts a frame and queues it; one that is to be sealed is so when its
// turn to leave has come. Control frames overtake waiting bulk
// frames; bulk frames wait for room within Limits.QueueBytes. It returns
// ErrClosed when the session ended.
func (s *Session) send(ctx context.Context, f wire.Frame, control bool) error {
	var buf []byte
	var err error
	if f.Sealed {
		buf, err = wire.AppendClear(takeBuffer(), f)
	} else {
		buf, err = wire.AppendFrame(takeBuffer(), s.cfg.Key, f)
	}
	if err != nil {
		return err
	}
	queue := s.urgent
	if !control {
		queue = s.out
		s.unsent.add(1)
		if err := s.room(ctx, s.weight(buf)); err != nil {
			s.unsent.add(-1)
			giveBuffer(buf)
			return s.endOr(err)
		}
	}
	select {
	case queue <- buf:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.ctx.Done():
	}
	s.sent(buf, control)
	return s.endOr(err)
}

// room waits for room in the budget of unsent bytes.
func (s *Session) room(ctx context.Context, weight int64) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	if s.budget.TryAcquire(weight) {
		return nil
	}
	// The caller's context may outlive the session, whose end frees nothing.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(ErrClosed) })()
	if err := s.budget.Acquire(ctx, weight); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// sent takes a frame, which has been written or given up, off the books.
func (s *Session) sent(buf []byte, control bool) {
	if !control {
		s.budget.Release(s.weight(buf))
		s.unsent.add(-1)
	}
	giveBuffer(buf)
}

// weight is what a frame counts against a budget of Limits.QueueBytes: a
// single one larger than all of it passes alone.
func (s *Session) weight(buf []byte) int64 {
	return min(int64(len(buf)), s.cfg.Limits.QueueBytes)
}

func (s *Session) endOr(err error) error {
	if cause := s.Cause(); cause != nil {
		if errors.Is(cause, ErrClosed) {
			return cause
		}
		return fmt.Errorf("%w: %w", ErrClosed, cause)
	}
	return err
}

// write empties the two queues, each frame with one system call so that a
// 4.7.5 node never reads a header alone (docs/wire.md §2.1). To a Testudo node
// small frames that wait leave together.
func (s *Session) write(ctx context.Context) {
	var b batch
	for {
		buf, control := s.nextFrame()
		if buf == nil {
			select {
			case buf = <-s.urgent:
				control = true
			case buf = <-s.out:
			case <-ctx.Done():
				return
			}
		}
		if !s.PeerIsTestudo() || !b.fits(buf) {
			s.writeFrames(s.sealedFrame(buf), 1)
			s.sent(buf, control)
			continue
		}
		for buf != nil && b.fits(buf) {
			b.add(s.sealedFrame(buf))
			s.sent(buf, control)
			buf, control = s.nextFrame()
		}
		s.writeFrames(b.take())
		if buf != nil {
			s.writeFrames(s.sealedFrame(buf), 1)
			s.sent(buf, control)
		}
	}
}

// nextFrame is the next one to leave, nil when none waits.
func (s *Session) nextFrame() (buf []byte, control bool) {
	select {
	case buf = <-s.urgent:
		return buf, true
	default:
	}
	select {
	case buf = <-s.out:
	default:
	}
	return buf, false
}

// batch is small frames that leave with one system call. It is a copy of them.
type batch struct {
	buf    []byte
	frames int
}

const (
	batchBytes = 16 << 10
	smallFrame = 4 << 10
)

func (b *batch) fits(frame []byte) bool {
	return len(frame) <= smallFrame && len(b.buf)+len(frame) <= batchBytes
}

func (b *batch) add(frame []byte) {
	b.buf = append(b.buf, frame...)
	b.frames++
}

// take gives what is in the batch, until something is added.
func (b *batch) take() (buf []byte, frames int) {
	buf, frames = b.buf, b.frames
	b.buf, b.frames = buf[:0], 0
	return buf, frames
}

// sealedFrame seals a frame that awaits it: when its turn to leave has come.
func (s *Session) sealedFrame(buf []byte) []byte {
	if wire.AwaitsSeal(buf) {
		s.sealing.stream.Load().Seal(buf)
	}
	return buf
}

func (s *Session) writeFrames(buf []byte, frames int) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.Limits.FrameTimeout))
	n, err := s.conn.Write(buf)
	s.cfg.Metrics.Sent(int64(n))
	switch {
	case err == nil:
		for range frames {
			s.cfg.Metrics.FrameSent()
		}
	case errors.Is(err, syscall.EPIPE):
		// The peer has closed. Who reads finds what it said before, and the end.
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.Close(fmt.Errorf("%w for %v", ErrSlowPeer, s.cfg.Limits.FrameTimeout))
	default:
		s.Close(fmt.Errorf("write frame: %w", err))
	}
}

// gauge publishes how many frames wait in a session's queue.
type gauge struct {
	mu      sync.Mutex // also orders what is published
	metrics *metrics.Set
	queue   string // empty while not published
	n       int
}

func (g *gauge) open(m *metrics.Set, queue string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.metrics, g.queue = m, queue
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	if g.queue != "" {
		g.metrics.QueueDepth(g.queue, g.n)
	}
}

// close publishes that nothing waits, for good.
func (g *gauge) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queue != "" {
		g.metrics.QueueDepth(g.queue, 0)
	}
	g.queue = ""
}
