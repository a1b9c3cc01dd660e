package registrar

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/logging"
	"testudo/internal/unixsock"
)

// SocketPath is the local socket, below the home (docs/enrolment.md §9).
const SocketPath = "queue/sockets/auth"

// socketMode lets the group of the home in.
const socketMode = 0o660

// SocketConfig is what the local socket's server needs. Zero values are replaced
// by those named.
type SocketConfig struct {
	Path        string // of the socket
	UID, GID    int    // its owner; below 0 as the process has it
	Answer      func(ctx context.Context, message []byte) []byte
	ReadTime    time.Duration // for a client to say what it wants; 1 s
	Connections int           // open at a time; 1024
	Log         *slog.Logger
}

// Socket is the server of the local socket.
type Socket struct {
	cfg SocketConfig
	ln  *unixsock.Listener
	*unixsock.Server
}

// Listen makes the socket. It is an error if somebody answers there.
func Listen(cfg SocketConfig) (*Socket, error) {
	cfg.ReadTime = cmp.Or(cfg.ReadTime, time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ln, err := unixsock.Listen(cfg.Path, socketMode, cfg.UID, cfg.GID)
	if err != nil {
		return nil, err
	}
	limits := unixsock.Limits{
		Message: enrolment.MaxMessage, Connections: cfg.Connections, Silent: cfg.ReadTime,
		Idle: cfg.ReadTime, Read: cfg.ReadTime,
	}
	return &Socket{
		cfg: cfg, ln: ln,
		Server: unixsock.NewServer(unixsock.LengthPrefix(), limits, cfg.Log.With(logging.Task("Enrolment"))),
	}, nil
}

// Close ends a socket that is not served.
func (s *Socket) Close() error { return s.ln.Close() }

// Serve answers one request of each connection until ctx ends, and removes the
// socket.
func (s *Socket) Serve(ctx context.Context) error {
	return s.Server.Serve(ctx, s.ln, func(ctx context.Context, conn *unixsock.Conn, request []byte) []byte {
		conn.Hangup()
		return s.cfg.Answer(ctx, request)
	})
}
