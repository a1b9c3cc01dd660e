// Package opshttp serves what operators and their machines ask a running node
// over HTTP: /metrics for Prometheus, /healthz and /readyz for supervisors,
// /status for the command line. There is no authentication and nothing that
// changes anything, and so the server listens on loopback unless it is told
// otherwise.
package opshttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"testudo/internal/health"
)

// ErrNotLoopback is returned when the address is not one of this machine's
// loopback addresses and AllowRemote was not given.
var ErrNotLoopback = errors.New("the address is not a loopback address")

const (
	// maxConns bounds the connections open at a time; more wait to be accepted.
	maxConns = 64
	// grace is how long a stopping server waits for answers under way.
	grace = 2 * time.Second
)

// Deps are the parts of a node that the server shows. Each may be missing.
type Deps struct {
	Metrics http.Handler  // answers /metrics
	Health  *health.Board // the conditions in /healthz and /readyz
	Ready   func() bool   // whether the node is ready; nil for always
	Status  func() any    // what /status gives as JSON
	Log     *slog.Logger
}

// Option changes what a server does.
type Option func(*Server)

// AllowRemote lets the server listen on any address, and answer whatever name
// it is asked by.
func AllowRemote() Option { return func(s *Server) { s.remote = true } }

// Server is the HTTP server of one node.
type Server struct {
	address string
	deps    Deps
	remote  bool
}

// New makes a server for the address HOST:PORT, where HOST is a loopback IP
// address or "localhost".
func New(address string, deps Deps, options ...Option) (*Server, error) {
	s := &Server{address: address, deps: deps}
	for _, o := range options {
		o(s)
	}
	if s.deps.Log == nil {
		s.deps.Log = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address of the metrics server: %w", err)
	}
	if !s.remote && !isLoopback(host) {
		return nil, fmt.Errorf("address of the metrics server %q: %w", address, ErrNotLoopback)
	}
	return s, nil
}

// Run listens and serves until ctx ends, then lets answers under way finish for
// two seconds. An address that is taken is an error at once.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l)
}

// Listen opens the address, for those who must know its port, or whether it is
// taken, before they serve.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return l, nil
}

// Serve is Run on a listener that is open already; it closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug),
	}
	s.deps.Log.Info("Serving metrics.", slog.String("address", l.Addr().String()))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(newLimited(l, maxConns)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop serving metrics: %w", err)
	}
	return nil
}

// isLoopback tells whether host can only mean this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
