package unixsock

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
	"syscall"
	"time"

	"testudo/internal/logging"
)

// Handler answers one request of conn. The request is valid during the call
// only. A nil reply sends nothing. ctx ends when the server must be gone.
type Handler func(ctx context.Context, conn *Conn, request []byte) (reply []byte)

// Server answers the messages of many clients, those of each in their order. Each
// client has its own goroutine, which is all that a slow or silent one can hold.
type Server struct {
	framing Framing
	limits  Limits
	log     *slog.Logger
	stats   counters
	watch   func(open int)
	full    logging.Recurring

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// Stats counts what a server has met since it was made.
type Stats struct {
	Open     int64 // connections open now
	Accepted int64 // connections taken
	Refused  int64 // connections closed at once because too many were open
	Requests int64 // whole messages received
	TooLong  int64 // connections closed for a message longer than the limit
	Cut      int64 // connections that ended within a message
	Slow     int64 // connections closed because a message took too long to come or go
	Idle     int64 // connections closed because nothing came
	Evicted  int64 // connections closed, as the most silent ones, for new ones
}

type counters struct {
	open, accepted, refused, requests, tooLong, cut, slow, idle, evicted atomic.Int64
}

// NewServer makes a server; log may be nil.
func NewServer(framing Framing, limits Limits, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		framing: framing, limits: limits.withDefaults(), log: log,
		conns: make(map[*Conn]struct{}), watch: func(int) {},
	}
}

// Watch has f told how many connections are open whenever that changes. It must
// be called before Serve.
func (s *Server) Watch(f func(open int)) { s.watch = f }

// Stats returns the counts of this moment.
func (s *Server) Stats() Stats {
	return Stats{
		Open: s.stats.open.Load(), Accepted: s.stats.accepted.Load(), Refused: s.stats.refused.Load(),
		Requests: s.stats.requests.Load(), TooLong: s.stats.tooLong.Load(), Cut: s.stats.cut.Load(),
		Slow: s.stats.slow.Load(), Idle: s.stats.idle.Load(), Evicted: s.stats.evicted.Load(),
	}
}

// Serve takes connections from ln until ctx ends, and closes it. Requests under
// way then have Limits.Grace to end; Serve returns when all clients are gone. The
// error is that of ln when it fails by itself.
func (s *Server) Serve(ctx context.Context, ln *Listener, handler Handler) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var clients sync.WaitGroup
	err := s.accept(ctx, ln, func(conn *Conn) {
		clients.Go(func() { s.serve(inner, conn, handler) })
	})
	if ctx.Err() != nil {
		err = nil // the listener ended because it should
	}
	closed := ln.Close()
	s.each((*Conn).stop)
	// Whoever is not done in time is cut off.
	grace := time.AfterFunc(s.limits.Grace, func() {
		cancel()
		s.each(func(c *Conn) { c.net.Close() })
	})
	clients.Wait()
	grace.Stop()
	return errors.Join(err, closed)
}

func (s *Server) each(do func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		do(c)
	}
}

// accept hands on connections, as many as there may be, until ctx ends or ln
// fails.
func (s *Server) accept(ctx context.Context, ln *Listener, each func(*Conn)) error {
	var number uint64
	return ln.Each(ctx, s.log, func(nc *net.UnixConn) {
		if s.stats.open.Load() >= int64(s.limits.Connections) && !s.makeRoom(ln.Path()) {
			nc.Close()
			return
		}
		if s.stats.open.Load() < int64(s.limits.Connections)/2 { // not at each connection around the limit
			s.full.Recovered(s.log, "Connections are taken again.", slog.String("socket", ln.Path()))
		}
		number++
		s.stats.accepted.Add(1)
		s.watch(int(s.stats.open.Add(1)))
		c := newConn(nc, number)
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		each(c)
	})
}

// serve is the life of one client.
func (s *Server) serve(ctx context.Context, c *Conn, handler Handler) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.net.Close()
		s.watch(int(s.stats.open.Add(-1)))
		close(c.gone)
	}()
	ctx = context.WithValue(ctx, connKey{}, c)
	r := &reader{src: c.net, framing: s.framing, limit: s.limits.Message, keep: s.limits.Keep}
	out, err := newSender(c.net, s.framing, s.limits.Write)
	if err != nil {
		s.count(c, err)
		return
	}
	for !c.leaving {
		request, err := s.receive(c, r)
		if err != nil {
			s.count(c, err)
			return
		}
		s.stats.requests.Add(1)
		reply := handler(ctx, c, request)
		if reply == nil {
			continue
		}
		if err := s.send(out, reply); err != nil {
			s.count(c, err)
			return
		}
	}
}

// errIdle marks a time-out between two messages.
var errIdle = errors.New("nothing came for too long")

func (s *Server) receive(c *Conn, r *reader) ([]byte, error) {
	began := false
	c.setSilent(true)
	defer c.setSilent(false)
	if err := c.readWithin(s.limits.Idle); err != nil {
		return nil, err
	}
	request, err := r.next(func() {
		began = true
		c.setSilent(false)
		_ = c.readWithin(s.limits.Read) // the read that follows has the error
	})
	if err != nil && !began && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errIdle
	}
	return request, err
}

func (s *Server) send(out *sender, reply []byte) error {
	if len(reply) > s.limits.Reply {
		return fmt.Errorf("reply: %w: %d bytes, limit %d", ErrTooLong, len(reply), s.limits.Reply)
	}
	return out.send(reply)
}

// count books why a connection ended.
func (s *Server) count(c *Conn, err error) {
	c.mu.Lock()
	stopping := c.stopping
	c.mu.Unlock()
	if stopping {
		return
	}
	var what string
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrClosed), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return
	case errors.Is(err, errIdle):
		s.stats.idle.Add(1)
		return
	case errors.Is(err, ErrTooLong):
		s.stats.tooLong.Add(1)
		what = "Closed a local connection: message too long."
	case errors.Is(err, ErrCut):
		s.stats.cut.Add(1)
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.stats.slow.Add(1)
		what = "Closed a local connection: too slow."
	default:
		what = "A local connection failed."
	}
	s.log.Debug(what, "connection", c.number, "err", err)
}
