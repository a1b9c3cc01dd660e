package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"testudo/internal/wire"
)

// Hello is a worker's introduction (docs/wire.md §6).
type Hello struct {
	Name    string
	Cluster string
	Type    string
	Version string

	counter uint32
}

const cmdHello = "hello"

// FieldsError is returned when a hello has not exactly four fields.
type FieldsError int

func (e FieldsError) Error() string {
	if e > 4 {
		return "too many values to unpack (expected 4)"
	}
	return fmt.Sprintf("not enough values to unpack (expected 4, got %d)", int(e))
}

// AcceptHello reads the first frame of a connection, which must be a hello of
// at most Limits.HelloBytes within Limits.HelloTimeout. Anything else is
// ErrNoHello or the frame's own error, and the caller closes the connection. A
// FieldsError is a hello that can be refused with a reply.
func (s *Session) AcceptHello(ctx context.Context) (Hello, error) {
	stop := context.AfterFunc(ctx, func() { s.Close(context.Cause(ctx)) })
	defer stop()
	s.input.due = time.Now().Add(s.cfg.Limits.HelloTimeout)
	frame, err := s.dec.Next()
	if err != nil {
		if err = s.readError(err); errors.Is(err, ErrLate) {
			err = fmt.Errorf("%w within %v", ErrNoHello, s.cfg.Limits.HelloTimeout)
		}
		return Hello{}, err
	}
	s.heard()
	s.cfg.Metrics.FrameReceived()
	if frame.Command != cmdHello {
		s.cfg.Metrics.FrameRefused("no_hello")
		return Hello{}, fmt.Errorf("first command is '%s': %w", frame.Command, ErrNoHello)
	}
	s.calls.keepClear(frame.Counter)
	h := Hello{counter: frame.Counter}
	fields := strings.Split(string(frame.Payload), " ")
	if len(fields) != 4 {
		return h, FieldsError(len(fields))
	}
	h.Name, h.Cluster, h.Type, h.Version = fields[0], fields[1], fields[2], fields[3]
	return h, nil
}

// Refuse answers a hello with an error and closes the connection.
func (s *Session) Refuse(h Hello, why error) {
	reply := ErrorReply(why)
	if err := s.answerHello(h, reply); err == nil {
		s.linger()
	}
	s.Close(why)
}

// Welcome answers a hello. Establish has been called, Run follows.
func (s *Session) Welcome(h Hello) error {
	return s.answerHello(h, OK("Client "+h.Name+" added"))
}

func (s *Session) answerHello(h Hello, reply Reply) error {
	buf, err := wire.AppendFrame(takeBuffer(), s.cfg.Key, wire.Frame{Counter: h.counter, Command: reply.Command, Payload: reply.Payload})
	if err != nil {
		return err
	}
	defer giveBuffer(buf)
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.Limits.HelloTimeout))
	n, err := s.conn.Write(buf)
	s.cfg.Metrics.Sent(int64(n))
	return err
}

// lingerTime is how long a refused peer may take to close.
const lingerTime = 2 * time.Second

// linger lets the refused peer read its answer and close first, so that the
// answer is not lost to a reset.
func (s *Session) linger() {
	_ = s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	var rest [512]byte
	for range 16 {
		if _, err := s.conn.Read(rest[:]); err != nil {
			return
		}
	}
}

// SayHello sends a worker's hello. The session runs already, since the reply
// is read there. A refusal is a *RemoteError.
func (s *Session) SayHello(ctx context.Context, h Hello) error {
	text := strings.Join([]string{h.Name, h.Cluster, h.Type, h.Version}, " ")
	_, err := s.Request(ctx, cmdHello, []byte(text))
	return err
}

// IsHelloFields says whether an error is a hello with a wrong number of
// fields.
func IsHelloFields(err error) bool {
	var f FieldsError
	return errors.As(err, &f)
}
