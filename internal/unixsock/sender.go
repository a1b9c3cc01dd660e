package unixsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// joined is up to which length a message is copied behind its header, so that
// both go out in one piece of memory.
const joined = 4 << 10

// sender puts messages on a connection, one at a time. What the socket takes at
// once, which is nearly everything, needs no deadline.
type sender struct {
	conn    *net.UnixConn
	raw     syscall.RawConn
	framing Framing
	limit   time.Duration // for the other end to take a message

	buf     []byte
	data    []byte // what attempt sends
	sent    int
	failed  error
	attempt func(fd uintptr) bool
}

func newSender(conn *net.UnixConn, framing Framing, limit time.Duration) (*sender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("use a socket: %w", err)
	}
	s := &sender{conn: conn, raw: raw, framing: framing, limit: limit}
	s.attempt = func(fd uintptr) bool {
		s.sent, s.failed = writeSome(int(fd), s.data)
		return true // whoever has to wait does it with a deadline
	}
	return s, nil
}

// send sends one message in one go.
func (s *sender) send(message []byte) error {
	switch {
	case s.framing.Append == nil:
		return s.sendPiece(message)
	case len(message) <= joined:
		s.buf = append(s.framing.Append(s.buf[:0], len(message)), message...)
		return s.sendPiece(s.buf)
	}
	s.buf = s.framing.Append(s.buf[:0], len(message))
	return s.wait(net.Buffers{s.buf, message})
}

// sendPiece sends what lies in one piece.
func (s *sender) sendPiece(data []byte) error {
	rest, err := s.atOnce(data)
	if len(rest) == 0 || err != nil {
		return err
	}
	return s.wait(net.Buffers{rest})
}

// wait sends parts and waits for the other end as long as it may take.
func (s *sender) wait(parts net.Buffers) error {
	if err := s.conn.SetWriteDeadline(after(s.limit)); err != nil {
		return err
	}
	if _, err := parts.WriteTo(s.conn); err != nil {
		return err
	}
	return s.conn.SetWriteDeadline(time.Time{})
}

// atOnce sends as much as goes without waiting and returns the rest.
func (s *sender) atOnce(data []byte) (rest []byte, err error) {
	s.data = data
	if err := s.raw.Write(s.attempt); err != nil {
		return nil, err
	}
	s.data = nil
	if s.failed != nil && !errors.Is(s.failed, syscall.EAGAIN) {
		return nil, os.NewSyscallError("write", s.failed)
	}
	return data[s.sent:], nil
}

// writeSome writes until the socket takes no more.
func writeSome(fd int, data []byte) (sent int, err error) {
	for sent < len(data) {
		n, err := syscall.Write(fd, data[sent:])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return sent, err
		}
		sent += n
	}
	return sent, nil
}
