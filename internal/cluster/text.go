package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"testudo/internal/fault"
	"testudo/internal/logging"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// connectionText is the text of a connection's error, the original's where it
// has one: a bad token is error 3025. The text is the same each time the same
// thing happens: it has no port numbers in it and nothing a stranger chose.
func connectionText(err error) string {
	var refused *wire.RefusedError
	var system syscall.Errno
	switch {
	case errors.As(err, &refused) && refused.Reason == wire.ReasonToken:
		return fault.New(fault.Decrypt, nil).Error()
	case errors.As(err, &refused):
		return "frame refused: " + refused.Reason
	case errors.Is(err, session.ErrNoHello):
		return session.ErrNoHello.Error()
	case errors.Is(err, io.EOF):
		return "the connection was closed"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed in the middle of a frame"
	case errors.As(err, &system):
		return system.Error()
	}
	return logging.Quote(err.Error())
}

// dialLine is the line about a failed try to connect. That nobody listens needs
// no further word, as in the original.
func dialLine(err error, again time.Duration) string {
	why := ""
	if !errors.Is(err, syscall.ECONNREFUSED) {
		why = ": " + dialText(err)
	}
	return fmt.Sprintf("Could not connect to master%s. Trying again in %.0f seconds.", why, again.Seconds())
}

// dialText is the text of a failed try to connect, likewise the same each time.
func dialText(err error) string {
	var name *net.DNSError
	var network net.Error
	var system syscall.Errno
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "no such host: " + logging.Quote(name.Name)
	case errors.As(err, &name):
		return "the name service does not answer for " + logging.Quote(name.Name)
	case errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.As(err, &system):
		return system.Error()
	}
	return logging.Quote(err.Error())
}

// isClosed says whether the peer ended the connection, in good order or not.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
