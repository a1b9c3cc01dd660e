// Package sdnotify tells systemd how the service fares: ready, stopping, and
// one line of status. Where no systemd listens (NOTIFY_SOCKET is not set) all
// of it does nothing.
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// ErrAddress is returned when NOTIFY_SOCKET names no Unix socket.
var ErrAddress = errors.New("NOTIFY_SOCKET is neither an absolute path nor an abstract name")

// patience bounds the wait for a service manager that does not read.
const patience = time.Second

// maxStatus bounds the status line, in bytes.
const maxStatus = 512

// Ready says that the service has started.
func Ready() error { return send("READY=1") }

// Stopping says that the service has begun to stop.
func Stopping() error { return send("STOPPING=1") }

// Status sets the line that `systemctl status` shows. Line ends become spaces;
// what is longer than 512 bytes is cut.
func Status(text string) error {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxStatus)], ""))
	return send("STATUS=" + text)
}

func send(state string) (err error) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	if address[0] != '/' && address[0] != '@' {
		return fmt.Errorf("notify service manager: %w", ErrAddress)
	}
	conn, err := net.DialTimeout("unixgram", address, patience) //nolint:gosec // the service manager says where it listens
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}
