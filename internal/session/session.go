package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/wire"
)

var (
	// ErrClosed is returned by every call on a session that has ended.
	ErrClosed = errors.New("session closed")
	// ErrNoHello is returned when the first frame of a connection is not a
	// hello, or none came in time.
	ErrNoHello = errors.New("no hello")
	// ErrSlowPeer is the cause of a session whose peer stopped taking data.
	ErrSlowPeer = errors.New("peer does not take data")
)

// Config is what a session needs from its owner.
type Config struct {
	Key            *wire.Key
	Limits         Limits
	RequestTimeout time.Duration // of one request; docs/wire.md §5
	Home           *os.Root      // the node's home; uploads go below queue/cluster
	Log            *slog.Logger
	Metrics        *metrics.Set
}

// Session is one connection to a peer. It is made by Dial's side with New and
// used after Establish; Run reads the connection until it ends.
type Session struct {
	cfg  Config
	conn net.Conn
	dec  *wire.Decoder

	hello Hello // the worker's, on both sides
	mux   *Mux
	log   *slog.Logger

	ctx    context.Context
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	calls    calls
	out      chan []byte // bulk frames, bounded by budget
	urgent   chan []byte // control frames
	budget   *semaphore.Weighted
	inbox    chan request
	strings  stringStore
	uploads  uploadStore
	inbound  deliveries
	sendings sendings
	refusals logging.Recurring

	opened    time.Time
	lastHeard atomic.Int64 // unix nanoseconds of the last whole frame
	peer      atomic.Pointer[Capabilities]
}

type request struct {
	frame wire.Frame
	route route
}

// New wraps a connection. Nothing is read before AcceptHello or Run.
func New(conn net.Conn, cfg Config) *Session {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{
		cfg:    cfg,
		conn:   conn,
		opened: time.Now(),
		log:    cfg.Log,
		out:    make(chan []byte, 256),
		urgent: make(chan []byte, 64),
		budget: semaphore.NewWeighted(cfg.Limits.QueueBytes),
		inbox:  make(chan request, cfg.Limits.Requests),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.dec = wire.NewDecoder(countingReader{conn, cfg.Metrics}, cfg.Key, cfg.Limits.hello())
	s.calls.init()
	s.strings.limits = cfg.Limits
	s.uploads.limits, s.uploads.home = cfg.Limits, cfg.Home
	s.heard()
	return s
}

// Establish gives the session its worker (its name is the same on both sides),
// its commands and its full limits. It is called once, before Run.
func (s *Session) Establish(h Hello, mux *Mux, log *slog.Logger) {
	s.hello, s.mux = h, mux
	if log != nil {
		s.log = log
	}
	s.uploads.dir = uploadDir(h.Name)
	s.addBuiltins(mux)
	s.dec.SetLimits(s.cfg.Limits.established())
}

// Name is the worker's name.
func (s *Session) Name() string { return s.hello.Name }

// Worker is how the worker introduced itself.
func (s *Session) Worker() Hello { return s.hello }

// Log is the session's logger: its lines carry the worker's tag.
func (s *Session) Log() *slog.Logger { return s.log }

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// LocalAddr is the host part of our end's address.
func (s *Session) LocalAddr() string {
	host, _, err := net.SplitHostPort(s.conn.LocalAddr().String())
	if err != nil {
		return s.conn.LocalAddr().String()
	}
	return host
}

// Opened is when the connection was made.
func (s *Session) Opened() time.Time { return s.opened }

// LastHeard is when the last whole frame of the peer was read.
func (s *Session) LastHeard() time.Time { return time.Unix(0, s.lastHeard.Load()) }

func (s *Session) heard() { s.lastHeard.Store(time.Now().UnixNano()) }

// Done is closed when the session has ended or is about to.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Cause is why the session ended; nil while it lives.
func (s *Session) Cause() error { return context.Cause(s.ctx) }

// Close ends the session with a cause. Run returns soon after.
func (s *Session) Close(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	s.cancel(cause)
	// An explicit shutdown reaches the peer even where a child process
	// inherited the socket (docs/wire.md §8).
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_ = s.conn.Close()
}

// Go runs a task that belongs to the session: its context ends with the
// session, and Run waits for it.
func (s *Session) Go(task func(ctx context.Context)) {
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		task(s.ctx)
	}()
}

// Run serves the connection until it ends, by either side, by a broken frame
// or because ctx ended, and returns the cause: io.EOF when the peer closed in
// an orderly way. When it returns, every task, upload and string of the
// session is gone.
func (s *Session) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.Close(context.Cause(ctx)) })
	defer stop()
	s.cfg.Metrics.SessionOpened()
	defer s.cfg.Metrics.SessionClosed()
	s.Go(s.write)
	s.Go(s.serve)
	s.Go(s.expire)
	err := s.read()
	s.Close(err)
	s.tasks.Wait()
	s.calls.close()
	s.uploads.close()
	return s.Cause()
}

// read takes frames off the connection until it breaks. A started frame has a
// deadline; the silence between frames has none, unless a divided message is
// waiting for its next piece.
func (s *Session) read() error {
	s.dec.OnProgress(
		func() { _ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.Limits.FrameTimeout)) },
		func() { _ = s.conn.SetReadDeadline(time.Time{}) },
	)
	_ = s.conn.SetReadDeadline(time.Time{})
	for {
		frame, err := s.next()
		if err != nil {
			return s.readError(err)
		}
		s.heard()
		s.cfg.Metrics.FrameReceived()
		if isReply(frame.Command) {
			s.calls.answer(frame)
			continue
		}
		if err := s.dispatch(frame); err != nil {
			return err
		}
	}
}

func (s *Session) next() (wire.Frame, error) {
	due := s.dec.DividedDeadline()
	if !due.IsZero() {
		_ = s.conn.SetReadDeadline(due)
		defer func() { _ = s.conn.SetReadDeadline(time.Time{}) }()
	}
	frame, err := s.dec.Next()
	if !due.IsZero() && errors.Is(err, os.ErrDeadlineExceeded) {
		return s.dec.Next() // which knows whether the message is too old
	}
	return frame, err
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
		return fmt.Errorf("frame not finished in time: %w", err)
	}
	return err
}

func (s *Session) dispatch(frame wire.Frame) error {
	r := s.mux.find(frame.Command)
	s.log.Debug("Command received: b'" + quoteCommand(frame.Command) + "'")
	if r.control {
		s.answer(frame, r)
		return nil
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
			s.answer(req.frame, req.route)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) answer(frame wire.Frame, r route) {
	reply, err := r.handle(s.ctx, s, frame.Payload)
	if err != nil {
		s.logRefusal(frame.Command, err)
		reply = errorReply(err)
	}
	counter := frame.Counter
	out := wire.Frame{Counter: counter, Command: reply.Command, Payload: reply.Payload}
	if err := s.send(s.ctx, out, r.control); err != nil && s.ctx.Err() == nil {
		s.Close(fmt.Errorf("answer %s: %w", quoteCommand(frame.Command), err))
	}
	s.dec.Recycle(frame.Payload)
}

type countingReader struct {
	io.Reader
	metrics *metrics.Set
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.metrics.Received(int64(n))
	return n, err
}
