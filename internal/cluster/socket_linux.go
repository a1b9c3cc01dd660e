package cluster

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive notices a peer that has gone without a word within a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 4}

// unackedLimit ends a connection whose peer acknowledges nothing of what we
// send, in milliseconds.
const unackedLimit = 60_000

func controlSocket(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, unackedLimit)
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
