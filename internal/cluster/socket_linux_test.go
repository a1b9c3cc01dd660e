package cluster

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"testudo/internal/session"
)

// accepted is one connection by way of the master's own listener.
func accepted(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Skipf("no network here: %v", err)
	}
	defer listener.Close()
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: controlSocket}
	client, err := d.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return server.(*net.TCPConn), client.(*net.TCPConn)
}

// option reads a socket option.
func option(t *testing.T, conn *net.TCPConn, level, name int) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	var got error
	if err := raw.Control(func(fd uintptr) { value, got = unix.GetsockoptInt(int(fd), level, name) }); err != nil || got != nil {
		t.Fatal(err, got)
	}
	return value
}

// Both ends of a connection notice a peer that is gone without a word.
func TestNetwork_SocketOptions(t *testing.T) {
	near, far := accepted(t)
	for name, conn := range map[string]*net.TCPConn{"accepted": near, "connected": far} {
		if option(t, conn, unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
			t.Errorf("%s: no keep-alive", name)
		}
		if got := option(t, conn, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); got != 15 {
			t.Errorf("%s: idle %d s", name, got)
		}
		if got := option(t, conn, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != unackedLimit {
			t.Errorf("%s: user time-out %d ms", name, got)
		}
		if option(t, conn, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
			t.Errorf("%s: small frames are delayed", name)
		}
	}
}

func TestHostile_Row37_SocketsAreNotInherited(t *testing.T) {
	near, far := accepted(t)
	for name, conn := range map[string]*net.TCPConn{"accepted": near, "connected": far} {
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var flags int
		if err := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0) }); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %#x, %v", name, flags, err)
		}
	}
}

// Even when somebody else holds the socket, a close reaches the peer.
func TestHostile_Row37_CloseReachesThePeer(t *testing.T) {
	near, far := accepted(t)
	inherited, err := near.File() // as a child process would have it
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	session.New(near, session.Config{}).Close(nil)
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := far.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
