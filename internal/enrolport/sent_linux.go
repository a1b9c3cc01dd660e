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

// peerEnded tells whether the peer has ended its half of a connection, or all of
// it.
func peerEnded(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	ended := true
	_ = raw.Control(func(fd uintptr) { // without effect only on a closed connection
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		ended = err != nil || info.State != unix.BPF_TCP_ESTABLISHED
	})
	return ended
}
