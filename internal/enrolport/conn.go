package enrolport

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"testudo/internal/enrolment"
)

const (
	// writeTime is what an answer may take to leave.
	writeTime = 5 * time.Second
	// lingerTime is how long an agent may take to close the connection.
	lingerTime = 2 * time.Second
	// lostTime is what the registrar may take to undo a registration.
	lostTime = 10 * time.Second
	// lingerBytes is what a peer may go on to send after its request.
	lingerBytes = 256 << 10

	// recordHandshake is the first byte of TLS.
	recordHandshake = 0x16
)

// errCut is returned when the server itself has ended a connection.
var errCut = errors.New("the connection was closed for another or for the end")

// conn is one connection.
type conn struct {
	net   *net.TCPConn
	peer  netip.AddrPort
	place *list.Element // the room's

	answered time.Time // when the answer left; zero before

	mu   sync.Mutex
	gone bool
}

// cut ends whatever waits for the peer, now and later.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	_ = c.net.SetDeadline(time.Unix(1, 0)) // else it is closed already
}

// until bounds the reads and writes to come.
func (c *conn) until(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return errCut
	}
	return c.net.SetDeadline(t)
}

func (c *conn) wasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// begun is a connection whose first byte has been read. It counts what is sent.
type begun struct {
	*net.TCPConn
	first    []byte // what Read gives before all else
	sent     int
	answered int  // of sent, what ends with the answer
	ended    bool // the peer had ended its half of the connection before the answer
	reset    bool // the peer has reset the connection after it
}

// Write counts.
func (b *begun) Write(p []byte) (int, error) {
	n, err := b.TCPConn.Write(p)
	b.sent += n
	return n, err
}

// Read gives the first byte again, and then what follows it.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 && len(p) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.TCPConn.Read(p)
}

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, c *conn) {
	defer func() {
		if r := recover(); r != nil {
			s.report.brokeOff(r, debug.Stack())
		}
		s.room.leave(c)
		c.net.Close()
	}()
	accepted := time.Now()
	secured, err := s.handshake(c)
	if err != nil {
		s.noRequest(c, err)
		return
	}
	line, err := s.read(c, secured)
	if err != nil {
		s.noRequest(c, err)
		return
	}
	if !s.room.busy(c) {
		return
	}
	s.stats.requests.Add(1)
	result := s.answer(ctx, c, secured, line)
	if c.answered.IsZero() {
		c.answered = time.Now()
	}
	s.cfg.Metrics.EnrolRequest(result, c.answered.Sub(accepted).Seconds())
}

// handshake reads the first byte before it spends anything on the connection.
func (s *Server) handshake(c *conn) (*tls.Conn, error) {
	if err := c.until(time.Now().Add(s.cfg.HandshakeTime)); err != nil {
		return nil, err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.net, first); err != nil {
		return nil, errNothing
	}
	if first[0] != recordHandshake {
		return nil, errNoTLS
	}
	s.room.heard(c)
	secured := tls.Server(&begun{TCPConn: c.net, first: first}, s.shown.Load().tls)
	if err := secured.Handshake(); err != nil {
		return nil, err
	}
	if s.cfg.VerifyHost && s.cfg.ClientCA != "" {
		if err := checkPeer(secured.ConnectionState(), c.peer.Addr()); err != nil {
			return nil, err
		}
	}
	s.room.heard(c)
	return secured, nil
}

// read reads one request.
func (s *Server) read(c *conn, secured *tls.Conn) ([]byte, error) {
	return readRequest(secured, time.Now().Add(s.cfg.ReadTime), c.until, func() { s.room.heard(c) })
}

// answer has the registrar decide and tells the agent. result is for the metrics.
func (s *Server) answer(ctx context.Context, c *conn, secured *tls.Conn, line []byte) (result string) {
	options := s.cfg.Line
	options.Password = s.shown.Load().password
	request, err := enrolment.ParseLine(line, c.peer.Addr(), options)
	var registration Registration
	if err == nil {
		s.report.requested(c.peer, request.Name)
		registration, err = s.register(ctx, c, request)
	}
	if err != nil {
		return s.refuse(c, secured, request.Name, err)
	}
	wire := secured.NetConn().(*begun)
	wire.ended = peerEnded(c.net)
	if err := s.write(c, secured, registration.Answer()); err != nil {
		s.stats.lost.Add(1)
		s.report.lost(c.peer, request.Name, err)
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), lostTime)
		defer cancel()
		registration.Lost(undo)
		return "lost"
	}
	if s.arrived(c, wire) {
		s.stats.keys.Add(1)
		registration.Delivered()
		return "key"
	}
	s.stats.unknown.Add(1)
	s.report.unknown(c.peer, request.Name)
	return "unknown"
}

func (s *Server) register(ctx context.Context, c *conn, r enrolment.Request) (Registration, error) {
	s.stats.registering.Add(1)
	defer s.stats.registering.Add(-1)
	return s.cfg.Registrar.Register(ctx, r, c.peer.Addr().String())
}

// refuse tells an agent that it gets no key, in two writes (docs/enrolment.md §4).
func (s *Server) refuse(c *conn, secured *tls.Conn, name string, err error) (result string) {
	refusal, isRefusal := errors.AsType[*enrolment.Refusal](err)
	if !isRefusal {
		s.report.failed(c.peer, name, err)
		refusal = enrolment.InternalError(name)
	} else {
		s.report.refused(c.peer, name, refusal)
	}
	s.stats.refused.Add(1)
	if err := s.write(c, secured, refusal.Line(), []byte(enrolment.TextUnable)); err == nil {
		_ = s.linger(c) // however it ends
	}
	if !isRefusal {
		return "error"
	}
	return "refused"
}

// write sends each text as a record of its own and ends our half of the
// connection. After an error the peer has nothing of the last text.
func (s *Server) write(c *conn, secured *tls.Conn, texts ...[]byte) error {
	if err := c.until(time.Now().Add(writeTime)); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := secured.Write(text); err != nil {
			return err
		}
	}
	wire := secured.NetConn().(*begun)
	wire.answered = wire.sent
	c.answered = time.Now()
	// An agent may have read its answer and be gone by now: that is no failure.
	err := errors.Join(secured.CloseWrite(), c.net.CloseWrite())
	wire.reset = err != nil && !isTimeout(err)
	return nil
}

// linger waits for the peer to close, so that the kernel does not throw the
// answer away for what the peer has still sent. The error is nil for its regular
// end.
func (s *Server) linger(c *conn) error {
	s.room.heard(c)
	if err := c.until(time.Now().Add(lingerTime)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, io.LimitReader(c.net, lingerBytes))
	return err
}

// arrived waits for the peer to close and tells whether its system has taken the
// answer. Agents close when they have read their key; what they have not read, the
// end of TLS, makes their system reset the connection without a word about what
// was read. So a reset, too, is the sign of a peer that was there, unless it
// had ended its half before.
func (s *Server) arrived(c *conn, wire *begun) bool {
	err := s.linger(c)
	reset := wire.reset || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	for pause := time.Millisecond; ; pause *= 2 {
		left, err := unacknowledged(c.net)
		switch {
		case err != nil:
			return false
		case left <= wire.sent-wire.answered:
			return true
		case reset:
			return !wire.ended
		case pause > lingerTime/2 || c.wasCut():
			return false
		}
		time.Sleep(pause) // an acknowledgement has no event to wait for
	}
}

// noRequest books a connection that came to nothing.
func (s *Server) noRequest(c *conn, err error) {
	switch {
	case c.wasCut():
	case errors.Is(err, errNothing), errors.Is(err, errCut), isTimeout(err), errors.Is(err, io.EOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s.stats.silent.Add(1)
		s.cfg.Metrics.EnrolRefused("silent")
	default: // also an agent that does not like our certificate, which TLS 1.3 tells late
		s.stats.noTLS.Add(1)
		s.cfg.Metrics.EnrolRefused("no tls")
		s.report.noTLS(c.peer, err)
	}
}
