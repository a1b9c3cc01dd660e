package cluster

import (
	"errors"
	"io"
	"log/slog"
	"sync"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/wire"
)

// handshakeText is the text of a connection's error as the original prints
// it: a bad token is error 3025.
func handshakeText(err error) string {
	var refused *wire.RefusedError
	switch {
	case errors.As(err, &refused) && refused.Reason == wire.ReasonToken:
		return fault.New(fault.Decrypt, nil).Error() + "."
	case errors.Is(err, io.EOF):
		return "the connection was closed before hello"
	}
	return logging.Quote(err.Error())
}

// repeated keeps strangers from filling the log: of each kind of line, one is
// written and then one each ten minutes with a count. The number of kinds is
// bounded; what comes after shares one.
type repeated struct {
	mu    sync.Mutex
	kinds map[string]*logging.Recurring
}

const mostKinds = 64

func (r *repeated) log(log *slog.Logger, level slog.Level, line string, attrs ...slog.Attr) {
	r.mu.Lock()
	if r.kinds == nil {
		r.kinds = make(map[string]*logging.Recurring)
	}
	kind := line
	if _, known := r.kinds[kind]; !known && len(r.kinds) >= mostKinds {
		kind = ""
	}
	rec := r.kinds[kind]
	if rec == nil {
		rec = new(logging.Recurring)
		r.kinds[kind] = rec
	}
	r.mu.Unlock()
	rec.Fail(log, level, line, attrs...)
}
