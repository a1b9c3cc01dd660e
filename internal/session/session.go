package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"testudo/internal/metrics"
	"testudo/internal/runners"
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
	// ErrLate is the cause of a session whose peer began a frame and did not
	// finish it in time.
	ErrLate = errors.New("frame not finished in time")
)

// Config is what a session needs from its owner.
type Config struct {
	Key            *wire.Key
	Tokens         *wire.TokenPolicy // shared by the connections of a node; nil makes one for each when Limits.TokenAge is set
	Limits         Limits
	RequestTimeout time.Duration // of one request; docs/wire.md §5
	Home           *os.Root      // the node's home; uploads go below queue/cluster. Without one no file is taken
	Log            *slog.Logger
	Metrics        *metrics.Set
}

// Session is one connection to a peer. It is made with New and used after
// Establish; Run reads the connection until it ends.
type Session struct {
	cfg   Config
	conn  net.Conn
	input *input
	dec   *wire.Decoder

	hello Hello // the worker's, on both sides
	mux   *Mux
	log   *slog.Logger

	ctx    context.Context
	cancel context.CancelCauseFunc
	tasks  tasks

	calls       calls
	out         chan []byte // bulk frames, bounded by budget
	urgent      chan []byte // control frames
	budget      *semaphore.Weighted
	unsent      gauge
	inbox       chan request // bounded by inboxBudget as well
	inboxBudget *semaphore.Weighted
	strings     *Strings
	uploads     uploadStore
	inbound     deliveries
	sendings    sendings
	refusals    Refusals
	sealing     sealing

	opened    time.Time
	lastHeard atomic.Int64 // unix nanoseconds of the last whole frame
	peer      atomic.Pointer[Capabilities]
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
	if cfg.Tokens == nil {
		cfg.Tokens = wire.NewTokenPolicy(cfg.Limits.TokenAge)
	}
	s := &Session{
		cfg:         cfg,
		conn:        conn,
		opened:      time.Now(),
		log:         cfg.Log,
		out:         make(chan []byte, 256),
		urgent:      make(chan []byte, 64),
		budget:      semaphore.NewWeighted(cfg.Limits.QueueBytes),
		inbox:       make(chan request, cfg.Limits.Requests),
		inboxBudget: semaphore.NewWeighted(cfg.Limits.QueueBytes),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.tasks.running = runners.New(s.ctx, mostIdle)
	s.input = &input{s: s}
	s.dec = wire.NewDecoder(s.input, cfg.Key, cfg.Limits.hello())
	s.dec.SetTokenPolicy(cfg.Tokens)
	s.calls.init()
	s.sealing.init()
	s.strings = NewStrings(cfg.Limits)
	s.uploads.limits, s.uploads.home = cfg.Limits, cfg.Home
	s.heard()
	return s
}

// Establish gives the session its worker (its name is the same on both sides),
// its commands and its full limits. It is called once, before Run; mux belongs
// to this session alone.
func (s *Session) Establish(h Hello, mux *Mux, log *slog.Logger) {
	s.hello, s.mux = h, mux
	if log != nil {
		s.log = log
	}
	s.uploads.dir = uploadDir(h.Name)
	s.unsent.open(s.cfg.Metrics, "unsent "+h.Name)
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

// Close ends the session with a cause. Run returns soon after. The first cause
// counts.
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
// session, and Run waits for it. It says whether the task was started, which
// it is not once Run is over.
func (s *Session) Go(task func(ctx context.Context)) bool {
	return s.tasks.begin(func() { task(s.ctx) })
}

// mostIdle is how many goroutines wait for another task of a session.
const mostIdle = 16

// tasks run on a session, until it is over.
type tasks struct {
	mu      sync.Mutex
	over    bool
	running *runners.Runners
}

func (t *tasks) begin(task func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.running.Go(task)
	}
	return !t.over
}

// wait lets no task begin any more and waits for those that have. The session's
// context has ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.running.Wait()
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
	if err := s.uploads.prepare(); err != nil {
		s.log.Error("Error preparing the directory of received files: " + err.Error())
	}
	s.Go(s.write)
	s.Go(s.serve)
	s.Go(s.expire)
	s.Close(s.read())
	s.tasks.wait()
	s.calls.close()
	s.uploads.close()
	s.unsent.close()
	return s.Cause()
}
