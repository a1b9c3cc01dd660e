package enrolport

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged tells how many bytes of what was sent on a connection the peer's
// system has not taken yet, or not taken before the connection ended. Our sending
// half is closed: its end counts as a byte for the system, but is none here.
func unacknowledged(c *net.TCPConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var left int
	var failed error
	if err := raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
		return 0, err
	}
	return max(left-1, 0), failed
}
