package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/metrics"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// MasterConfig is what a master needs to admit workers.
type MasterConfig struct {
	NodeName string
	Cluster  string
	Version  string // presented and demanded
	Session  session.Config
	Limits   AdmissionLimits

	CheckEvery   time.Duration // period of the keep-alive check; 0 means a minute
	MaxSilence   time.Duration // a worker not heard of for longer is closed; 0 means two minutes
	ProbeTimeout time.Duration // for the old connection of a worker that comes back; 0 means 5 s

	Log     *slog.Logger
	Metrics *metrics.Set
}

// Master admits workers and keeps the registry of those connected.
type Master struct {
	cfg       MasterConfig
	exchanges []Exchange
	admission admission
	strangers session.Refusals
	members   registry
	memory    memory
}

// NewMaster returns a master that offers the exchanges to each worker.
func NewMaster(cfg MasterConfig, exchanges ...Exchange) *Master {
	cfg.CheckEvery = orDefault(cfg.CheckEvery, time.Minute)
	cfg.MaxSilence = orDefault(cfg.MaxSilence, 2*time.Minute)
	cfg.ProbeTimeout = orDefault(cfg.ProbeTimeout, 5*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	shareTokens(&cfg.Session)
	return &Master{
		cfg:       cfg,
		exchanges: exchanges,
		admission: admission{limits: cfg.Limits},
		members:   registry{byName: make(map[string]*member)},
		memory:    newMemory(),
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// shareTokens makes all connections of a node remember tokens together: one
// that was recorded on one of them may be played back on another.
func shareTokens(cfg *session.Config) {
	if cfg.Tokens == nil {
		cfg.Tokens = wire.NewTokenPolicy(cfg.Limits.TokenAge)
	}
}

// Members lists the connected workers in the order of their connection.
func (m *Master) Members() []Member { return m.members.list() }

// Serve accepts workers until ctx ends, then closes their sessions and waits
// for them. It returns nil when ctx ended.
func (m *Master) Serve(ctx context.Context, ln net.Listener) error {
	m.cfg.Log.Info("Serving on " + pairOf(ln.Addr()))
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	conns.Go(func() { m.checkKeepAlives(ctx) })

	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 5*time.Millisecond, time.Second
	pause.Reset()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept workers: %w", err)
		case err != nil: // such as too many open files: shed load and go on
			m.strangers.Log(m.cfg.Log, slog.LevelError, "Error accepting a connection: "+err.Error())
			wait(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		if visitor := m.admit(conn); visitor != nil {
			conns.Go(func() {
				defer visitor.leave()
				m.serveConn(ctx, conn, visitor)
			})
		}
	}
}

// admit counts a connection in, or closes it.
func (m *Master) admit(conn net.Conn) *visitor {
	v, full := m.admission.enter(conn.RemoteAddr())
	if v == nil {
		m.cfg.Metrics.ConnectionRefused(full)
		m.strangers.Log(m.cfg.Log, slog.LevelWarn, "Connection refused: limit of "+full+" reached", address(conn))
		_ = conn.Close()
	}
	return v
}

func address(conn net.Conn) slog.Attr { return slog.String("address", hostOf(conn.RemoteAddr())) }

// serveConn is the life of one connection.
func (m *Master) serveConn(ctx context.Context, conn net.Conn, v *visitor) {
	stranger := m.cfg.Log.With(logging.Tag("Worker"))
	s := session.New(conn, m.cfg.Session)
	defer s.Close(nil)
	defer context.AfterFunc(ctx, func() { s.Close(context.Cause(ctx)) })()
	h, err := s.AcceptHello(ctx)
	if errors.Is(err, io.EOF) {
		// So do load balancers and doctors, who only see whether somebody listens.
		stranger.Debug("A connection was closed before it said anything.", address(conn))
		return
	}
	if err != nil && !session.IsHelloFields(err) {
		m.cfg.Metrics.ConnectionRefused("handshake")
		if ctx.Err() == nil {
			m.memory.stranger(hostOf(conn.RemoteAddr()), err)
			m.strangers.Log(stranger, slog.LevelError, "Error during handshake with incoming connection: "+connectionText(err)+".",
				address(conn), slog.String("detail", logging.Cut(err.Error())))
		}
		return
	}
	stranger.Info("Connection from " + pairOf(conn.RemoteAddr()))
	if err == nil {
		err = m.check(h)
	}
	var w *member
	if err == nil {
		w, err = m.register(ctx, h, s)
	}
	if err != nil {
		m.cfg.Metrics.ConnectionRefused("hello")
		m.memory.refuse(h, hostOf(conn.RemoteAddr()), err)
		m.strangers.Log(stranger, slog.LevelError, "Internal error processing request 'b'hello'': "+logging.Quote(fault.From(err).Error()), address(conn))
		s.Refuse(h, err)
		return
	}
	v.known()
	m.memory.welcome(w)
	m.serveMember(ctx, w, h)
}

// serveMember is the life of an accepted worker's session.
func (m *Master) serveMember(ctx context.Context, w *member, h session.Hello) {
	s := w.session
	defer m.members.remove(w)
	mux := session.NewMux()
	mux.HandleControl("echo-c", w.keepAlive)
	work := offerAll(m.exchanges, s, mux)
	s.Establish(h, mux, m.memberLog(h.Name))
	if err := s.Welcome(h); err != nil {
		s.Close(err) // Run then only clears up
	}
	for _, task := range work {
		s.Go(task)
	}
	err := s.Run(ctx)
	m.memory.left(w, err, m.cfg.MaxSilence)
	if isOrderly(err) || ctx.Err() != nil {
		s.Log().Debug("Disconnected " + h.Name + ".")
	} else {
		s.Log().Error("Error during connection with '" + h.Name + "': " + connectionText(err) + ".")
	}
	s.Log().Info("Cancelling pending tasks.")
}

func (m *Master) memberLog(name string) *slog.Logger {
	return m.cfg.Log.With(logging.Tag("Worker " + name))
}

// register enters a worker under its name. When the name is in use the old
// connection is probed: one that answers keeps the name, one that does not
// within ProbeTimeout gives it up (docs/wire.md §8).
func (m *Master) register(ctx context.Context, h session.Hello, s *session.Session) (*member, error) {
	w := newMember(h, s)
	for {
		old := m.members.add(w)
		if old == nil {
			return w, nil
		}
		if old.alive(ctx, m.cfg.ProbeTimeout) {
			return nil, fault.New(fault.DuplicateName, h.Name)
		}
		m.memberLog(h.Name).Warn("The worker has connected again and its old connection does not answer. Disconnecting the old one.")
		old.session.Close(errReplaced)
		m.members.removeWait(ctx, old)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// checkKeepAlives closes the sessions of workers that have fallen silent.
func (m *Master) checkKeepAlives(ctx context.Context) {
	log := m.cfg.Log.With(logging.Task("Keep alive"))
	tick := time.NewTicker(m.cfg.CheckEvery)
	defer tick.Stop()
	for {
		log.Debug("Calculating.")
		for _, w := range m.members.all() {
			if silence := time.Since(w.lastHeard()); silence > m.cfg.MaxSilence {
				log.Error("No keep alives have been received from " + w.name + " in the last minute. Disconnecting")
				w.session.Close(errSilent)
			}
		}
		log.Debug("Calculated.")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// pairOf writes an address as the original's log does: ('127.0.0.1', 1516).
func pairOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "'" + addr.String() + "'"
	}
	return "('" + host + "', " + port + ")"
}

// Listen opens the master's port with the keep-alive settings of connections.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: controlSocket}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		var sys *os.SyscallError
		if errors.As(err, &sys) {
			return nil, fmt.Errorf("listen on %s: %w", address, sys.Err)
		}
		return nil, err
	}
	return ln, nil
}
