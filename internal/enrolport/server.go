package enrolport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server serves the port.
type Server struct {
	cfg       Config
	shown     atomic.Pointer[shown]
	files     []*renewal
	looking   sync.Mutex // held during a look at the files
	listeners []*net.TCPListener
	rates     *rates
	room      *room
	report    *reporter
	stats     counters
}

// Stats is what a server has met since it was made.
type Stats struct {
	Addresses   []string `json:"addresses"`   // host:port of each place it listens at
	Certificate string   `json:"certificate"` // fingerprint
	Open        int64    `json:"open"`        // connections open now
	Registering int64    `json:"registering"` // of these, those whose request is with the registrar
	Accepted    int64    `json:"accepted"`    // connections taken
	TooOften    int64    `json:"too_often"`   // connections refused because their address came too often
	Evicted     int64    `json:"evicted"`     // connections closed, as the most silent, for new ones
	Silent      int64    `json:"silent"`      // connections that never said a thing, or no request
	NoTLS       int64    `json:"no_tls"`      // connections without a handshake, or with one that failed
	Requests    int64    `json:"requests"`    // requests read
	Refused     int64    `json:"refused"`     // requests refused
	Keys        int64    `json:"keys"`        // keys that agents have got
	Lost        int64    `json:"lost"`        // keys that could not be sent
	Unknown     int64    `json:"unknown"`     // keys sent of which nobody knows whether they arrived
}

type counters struct {
	registering, accepted, tooOften, evicted, silent, noTLS, requests, refused, keys, lost, unknown atomic.Int64
}

// Stats returns the counts of this moment.
func (s *Server) Stats() Stats {
	return Stats{
		Addresses: s.Addresses(), Certificate: s.shown.Load().info.Fingerprint, Open: int64(s.room.size()),
		Registering: s.stats.registering.Load(), Accepted: s.stats.accepted.Load(), TooOften: s.stats.tooOften.Load(),
		Evicted: s.stats.evicted.Load(), Silent: s.stats.silent.Load(), NoTLS: s.stats.noTLS.Load(),
		Requests: s.stats.requests.Load(), Refused: s.stats.refused.Load(), Keys: s.stats.keys.Load(),
		Lost: s.stats.lost.Load(), Unknown: s.stats.unknown.Load(),
	}
}

// Addresses gives host:port of each place the server listens at.
func (s *Server) Addresses() []string {
	list := make([]string, 0, len(s.listeners))
	for _, ln := range s.listeners {
		list = append(list, ln.Addr().String())
	}
	return list
}

// Listen opens the port. Nobody is answered before Serve, which must follow, or
// Close. The error says what is wrong with the certificate, the list of ciphers
// or the port.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, report: newReporter(cfg.Log)}
	s.files = s.renewals()
	first := &shown{password: cfg.Line.Password}
	var err error
	if first.tls, first.info, err = serverTLS(cfg, s.report); err != nil {
		return nil, fmt.Errorf("enrolment port: %w", err)
	}
	s.shown.Store(first)
	s.room = newRoom(cfg.Connections, func(open int) { cfg.Metrics.EnrolConnections(open) })
	s.rates = newRates(cfg.Rate, cfg.Burst)
	if err := s.listen(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// listen opens the port.
func (s *Server) listen(ctx context.Context) error {
	ends, err := s.cfg.endpoints()
	if err != nil {
		return err
	}
	for _, end := range ends {
		ln, err := new(net.ListenConfig).Listen(ctx, end.network, end.address)
		if err != nil {
			if Taken(err) {
				return fmt.Errorf("enrolment port: %s is in use by another program: %w", end.address, err)
			}
			return fmt.Errorf("enrolment port: %w", err)
		}
		s.listeners = append(s.listeners, ln.(*net.TCPListener))
	}
	return nil
}

// Free tells whether the port could be opened now; the error says why not.
func Free(ctx context.Context, cfg Config) error {
	s := &Server{cfg: cfg}
	defer s.Close()
	return s.listen(ctx)
}

// Taken tells whether an error of Listen or Free is that another program has the
// port.
func Taken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// Close closes the port of a server that is not served.
func (s *Server) Close() {
	for _, ln := range s.listeners {
		ln.Close()
	}
}

// Serve answers agents until ctx ends, which is no error, or the port fails; then
// it closes the port. Registrations under way have Config.Grace to end. It returns
// when all connections are gone.
func (s *Server) Serve(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	accepting, stopAccepting := context.WithCancel(ctx)
	defer stopAccepting()
	unhook := context.AfterFunc(accepting, s.Close)
	defer unhook()
	s.report.opened(s.Addresses(), s.cfg.Line.WantPassword)

	var connections, acceptors, renewing sync.WaitGroup
	renewing.Go(func() { s.renew(accepting) })
	failures := make(chan error, len(s.listeners))
	for _, ln := range s.listeners {
		acceptors.Go(func() {
			if err := s.accept(accepting, ln, func(c *conn) { connections.Go(func() { s.serve(inner, c) }) }); err != nil {
				failures <- err
				stopAccepting()
			}
		})
	}
	acceptors.Wait()
	stopAccepting()
	renewing.Wait()
	s.room.stop()
	grace := time.AfterFunc(s.cfg.Grace, func() {
		cancel()
		s.room.cut()
	})
	connections.Wait()
	grace.Stop()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

// accept hands on the connections of one listener until ctx ends or ln fails. A
// shortage of descriptors or of memory is waited out.
func (s *Server) accept(ctx context.Context, ln *net.TCPListener, each func(*conn)) error {
	pause := time.Duration(0)
	for {
		nc, err := ln.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			if c := s.admit(nc); c != nil {
				each(c)
			}
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the listener ended because it should
		case passing(err):
			s.report.cannotAccept(err)
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		default:
			return fmt.Errorf("accept agents that enrol: %w", err)
		}
	}
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit takes a connection in, or closes it and returns nil.
func (s *Server) admit(nc *net.TCPConn) *conn {
	peer := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	peer = netip.AddrPortFrom(peer.Addr().Unmap().WithZone(""), peer.Port())
	if !s.rates.allow(peer.Addr(), time.Now()) {
		s.stats.tooOften.Add(1)
		s.cfg.Metrics.EnrolRefused("too often")
		s.report.tooOften(peer)
		s.drop(nc)
		return nil
	}
	c := &conn{net: nc, peer: peer}
	evicted, ok := s.room.enter(c)
	if evicted {
		s.stats.evicted.Add(1)
		s.cfg.Metrics.EnrolRefused("evicted")
		s.report.full(s.cfg.Connections)
	}
	if !ok {
		s.stats.evicted.Add(1)
		s.cfg.Metrics.EnrolRefused("too many")
		s.report.full(s.cfg.Connections)
		s.drop(nc)
		return nil
	}
	s.stats.accepted.Add(1)
	s.report.connected(peer)
	return c
}

// drop closes a connection so that nothing of it stays in the kernel.
func (*Server) drop(nc *net.TCPConn) {
	_ = nc.SetLinger(0) // at worst it stays for a minute
	nc.Close()
}

// isTimeout tells whether a read or a write took too long.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
