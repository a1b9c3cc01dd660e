package localsock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"testudo/internal/logging"
	"testudo/internal/runners"
	"testudo/internal/session"
	"testudo/internal/unixsock"
	"testudo/internal/wire"
)

// mostFree is how many goroutines wait for another client, or task of one.
const mostFree = 128

// idSpace is the number of client ids (docs/local.md §1).
const idSpace = 1 << 20

// Server answers local programs. Each client has its own goroutine, which is all
// that a slow or silent one can hold.
type Server struct {
	o        Options
	root     *slog.Logger // without a tag
	log      *slog.Logger
	limits   limits
	commands Commands
	routes   map[string]route
	refusals session.Refusals
	full     logging.Recurring
	ctx      context.Context // ends when Serve is to end; from Serve on

	requests atomic.Int64
	accepted atomic.Int64
	refusal  atomic.Int64
	evicted  atomic.Int64
	idle     atomic.Int64
	slow     atomic.Int64
	failed   atomic.Int64

	hands *runners.Runners // of clients and of their tasks; from Serve on

	mu    sync.Mutex
	conns map[uint32]*conn
}

// Stats counts what a server has met since it was made.
type Stats struct {
	Open     int   `json:"open"`     // connections open now
	Accepted int64 `json:"accepted"` // connections taken
	Requests int64 `json:"requests"` // requests received
	Refused  int64 `json:"refused"`  // connections closed at once because too many were open
	Evicted  int64 `json:"evicted"`  // connections closed, as the most silent ones, for new ones
	Idle     int64 `json:"idle"`     // connections closed because nothing came
	Slow     int64 `json:"slow"`     // connections closed because a frame took too long to come or go
	Failed   int64 `json:"failed"`   // connections closed for what they said, or that broke
}

// NewServer makes a server of the commands.
func NewServer(o Options, c Commands) *Server {
	o = o.withDefaults()
	s := &Server{
		o: o, root: o.Log, log: o.Log.With(logging.Tag("Local Server")), limits: o.limits(), commands: c,
		ctx: context.Background(), conns: make(map[uint32]*conn),
	}
	s.routes = s.table()
	return s
}

// Stats returns the counts of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Open: len(s.conns), Accepted: s.accepted.Load(), Refused: s.refusal.Load(),
		Evicted: s.evicted.Load(), Idle: s.idle.Load(), Requests: s.requests.Load(),
		Slow: s.slow.Load(), Failed: s.failed.Load(),
	}
}

// Listen makes the socket. A dead one is replaced; the error is
// unixsock.ErrInUse when another process serves it.
func (s *Server) Listen() (*unixsock.Listener, error) {
	ln, err := unixsock.Listen(s.o.Path, s.o.Mode, s.o.UID, s.o.GID)
	if err != nil {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	return ln, nil
}

// Serve answers clients until ctx ends, closes ln and waits for all clients. It
// is called once. The error is that of ln when it fails by itself.
func (s *Server) Serve(ctx context.Context, ln *unixsock.Listener) error {
	stop := s.start(ctx)
	defer context.AfterFunc(s.ctx, func() { ln.Close() })()
	s.log.Info("Serving on " + s.o.Path)
	err := ln.Each(s.ctx, s.log, func(nc *net.UnixConn) { s.meet(nc) })
	closed := ln.Close()
	stop()
	return errors.Join(err, closed)
}

// start makes the server ready for clients; stop ends them and waits for them.
func (s *Server) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx, s.hands = ctx, runners.New(ctx, mostFree)
	s.hands.Go(s.watch)
	return func() {
		cancel()
		s.each(func(c *conn) { c.conn.Close() })
		s.hands.Wait()
	}
}

// meet has somebody serve a client, if there is room for it.
func (s *Server) meet(nc net.Conn) {
	c := s.admit(nc)
	if c == nil {
		return
	}
	s.hands.Go(func() {
		c.serve()
		s.leave(c)
	})
}

// admit enters a client under a new id, or closes the connection.
func (s *Server) admit(nc net.Conn) *conn {
	c := &conn{link: link{conn: nc, limits: &s.limits}, server: s}
	c.heard.Store(time.Now().UnixNano())
	entered := s.enter(c) || s.makeRoom() && s.enter(c)
	if !entered {
		s.refusal.Add(1)
		s.o.Metrics.LocalClosed("too many")
		nc.Close()
		return nil
	}
	s.accepted.Add(1)
	if s.root.Enabled(s.ctx, slog.LevelDebug) {
		c.log().Debug("Connection received in local server.")
	}
	return c
}

func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.o.Connections {
		return false
	}
	for {
		c.id = rand.Uint32N(idSpace) //nolint:gosec // names are no secrets
		if s.conns[c.id] == nil {
			break
		}
	}
	s.conns[c.id] = c
	s.o.Metrics.LocalConnections(len(s.conns))
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.id] == c { // not when it has made room
		delete(s.conns, c.id)
	}
	s.o.Metrics.LocalConnections(len(s.conns))
}

func (s *Server) each(do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		do(c)
	}
}

// closed says whether an error is the other end's going away.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// count books why a client's connection has ended.
func (s *Server) count(c *conn, err error) {
	if closed(err) || s.ctx.Err() != nil {
		return
	}
	if refused, ok := errors.AsType[*wire.RefusedError](err); ok {
		s.o.Metrics.FrameRefused(refused.Reason)
	}
	what, reason, counter := "A local connection failed", "failed", &s.failed
	if errors.Is(err, os.ErrDeadlineExceeded) {
		what, reason, counter = "A local connection is too slow", "slow", &s.slow
	}
	counter.Add(1)
	s.o.Metrics.LocalClosed(reason)
	s.trouble(c, what, err)
}

// trouble logs what is wrong with clients, without letting them fill the log.
func (s *Server) trouble(c *conn, what string, err error) {
	s.refusals.Log(s.log, slog.LevelError, what+": "+logging.Quote(err.Error()), slog.String("client", c.name()))
}
