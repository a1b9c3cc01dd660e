package localsock

import (
	"io/fs"
	"log/slog"
	"time"

	"testudo/internal/metrics"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// Options is what a server needs besides its commands. Zero values are replaced
// by those named.
type Options struct {
	Path     string      // the socket: HOME/queue/cluster/c-internal.sock
	Mode     fs.FileMode // 0660
	UID, GID int         // its owner; below 0 stays as it is

	Connections  int           // open at a time, at most a million; 1024
	Requests     int           // of one client that are under way at a time; 16
	MessageBytes int64         // of one request that comes in several frames, and of one client's long strings; 32 MiB
	MessageTime  time.Duration // from a frame's first byte to its last, either way; 10 s
	ReplyTime    time.Duration // for a client's reply to a request of ours; 20 s
	Idle         time.Duration // silence after which a client is closed that waits for nothing; 2 min
	Silent       time.Duration // silence after which it makes room for another when all connections are taken; 10 s

	Log     *slog.Logger
	Metrics *metrics.Set
}

func (o Options) withDefaults() Options {
	orDefault(&o.Mode, 0o660)
	orDefault(&o.Connections, 1024)
	orDefault(&o.Requests, 16)
	orDefault(&o.MessageBytes, 32<<20)
	orDefault(&o.MessageTime, 10*time.Second)
	orDefault(&o.ReplyTime, 20*time.Second)
	orDefault(&o.Idle, 2*time.Minute)
	orDefault(&o.Silent, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Connections = min(o.Connections, idSpace/2)
	return o
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// limits are those of a link of the server.
func (o Options) limits() limits {
	return limits{
		wire:    wire.Limits{FrameBytes: int(min(wire.Chunk, o.MessageBytes)), DividedMessages: 2, DividedBytes: o.MessageBytes, DividedAge: o.Idle},
		strings: session.Limits{Strings: 4, StringBytes: o.MessageBytes, StringAge: o.Idle},
		frame:   o.MessageTime, reply: o.ReplyTime,
	}
}
