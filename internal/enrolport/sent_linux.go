package enrolport

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged tells how many bytes of what was sent on a connection whose
// sending half is closed the peer's system has not taken yet. The end of the
// sending half counts as a byte on the wire, but is none of the answer.
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
