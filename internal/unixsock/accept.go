package unixsock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// Each hands on connections until ctx ends, which is no error, or the listener
// fails. A shortage of descriptors or of memory is waited out. each runs on the
// goroutine that accepts.
func (l *Listener) Each(ctx context.Context, log *slog.Logger, each func(*net.UnixConn)) error {
	pause := time.Duration(0)
	for {
		nc, err := l.AcceptUnix()
		switch {
		case err == nil:
		case passing(err):
			// Some will come back.
			if pause == 0 {
				log.Warn("Could not accept a connection.", "socket", l.Path(), "err", err)
			}
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			if !wait(ctx, pause) {
				return nil
			}
			continue
		default:
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the listener ended because it should
			}
			return fmt.Errorf("accept connections on socket %s: %w", l.Path(), err)
		}
		pause = 0
		each(nc)
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

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
