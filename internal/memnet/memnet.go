// Package memnet is a network in memory for tests: listeners, dials and
// connections that behave like TCP's, with bounded buffers and deadlines, but
// without sockets. It waits only on conditions and channels, so it can be used
// inside a testing/synctest bubble, as long as the Network is made in it.
//
//	network := memnet.New()
//	listener, err := network.Host("10.0.0.1").Listen("tcp", ":1516")
//	conn, err := network.Host("10.0.0.2").DialContext(ctx, "tcp", "10.0.0.1:1516")
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

const (
	// BufferSize is how many bytes a connection holds in each direction before
	// a write waits.
	BufferSize = 256 << 10
	// backlog is how many connections may wait to be accepted before a dial waits.
	backlog = 128
	// firstPort is the first of the ports given to those who ask for none.
	firstPort = 32768
)

// ErrInUse is returned when an address is listened on already.
var ErrInUse = syscall.EADDRINUSE

// Network is a set of hosts that reach one another. Hosts need no
// registration: any name is one. It is safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	listeners map[Addr]*listener
	lastPort  int
}

// New makes a network without listeners.
func New() *Network {
	return &Network{listeners: make(map[Addr]*listener), lastPort: firstPort - 1}
}

// Host is one host of the network, from which one listens and dials.
type Host struct {
	network *Network
	name    string
}

// Host gives the host called name: an IP address without brackets, or a name.
func (n *Network) Host(name string) *Host { return &Host{n, name} }

// Listen is Host(HOST).Listen for an address HOST:PORT. The hosts "0.0.0.0" and
// "::" listen for every host that has no listener of its own on the port.
func (n *Network) Listen(address string) (net.Listener, error) {
	return n.Host("0.0.0.0").Listen("mem", address)
}

// Dial dials from a host called "client".
func (n *Network) Dial(ctx context.Context, address string) (net.Conn, error) {
	return n.Host("client").DialContext(ctx, "mem", address)
}

// Addr is the address of one end of a connection.
type Addr struct {
	Host string
	Port int
}

// Network implements net.Addr.
func (Addr) Network() string { return "mem" }

// String is HOST:PORT, with brackets around an IPv6 address.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

func parse(address string) (Addr, error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return Addr{}, err
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return Addr{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return Addr{host, int(port)}, nil
}

// Listen listens on HOST:PORT, where an empty HOST is this host and PORT 0 is a
// free port. The name of the network is not looked at.
func (h *Host) Listen(_, address string) (net.Listener, error) {
	addr, err := parse(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Err: err}
	}
	if addr.Host == "" {
		addr.Host = h.name
	}
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port == 0 {
		addr.Port = n.freePortLocked()
	}
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: addr, Err: os.NewSyscallError("bind", ErrInUse)}
	}
	l := &listener{network: n, addr: addr, waiting: make(chan *Conn, backlog), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// freePortLocked gives the next port; it comes round after some ten thousand.
func (n *Network) freePortLocked() int {
	if n.lastPort++; n.lastPort > 65535 {
		n.lastPort = firstPort
	}
	return n.lastPort
}

// DialContext connects to HOST:PORT. It is refused when nobody listens there,
// and waits, until ctx ends, when too many wait to be accepted. The name of the
// network is not looked at.
func (h *Host) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	addr, err := parse(address)
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: addr, Err: err}
	}
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	l, from := h.network.find(addr, h.name)
	if l == nil {
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	near, far := pair(from, addr)
	select {
	case l.waiting <- far:
	case <-l.done:
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	if l.closed() { // it may have been emptied before our connection was in it
		far.reset()
	}
	return near, nil
}

// find gives the listener at addr, or nil, and an address to dial it from.
func (n *Network) find(addr Addr, from string) (*listener, Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, host := range []string{addr.Host, "0.0.0.0", "::"} {
		if l := n.listeners[Addr{host, addr.Port}]; l != nil {
			return l, Addr{from, n.freePortLocked()}
		}
	}
	return nil, Addr{}
}

// Pipe gives the two ends of a connection, without a network.
func Pipe() (client, server *Conn) {
	return pair(Addr{"client", firstPort}, Addr{"server", 1})
}

type listener struct {
	network *Network
	addr    Addr
	waiting chan *Conn
	done    chan struct{} // closed by Close
	once    sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	if !l.closed() {
		select {
		case c := <-l.waiting:
			return c, nil
		case <-l.done:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.addr, Err: net.ErrClosed}
}

func (l *listener) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Close implements net.Listener: who waits to be accepted is cut off.
func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: "mem", Addr: l.addr, Err: net.ErrClosed})
	l.once.Do(func() {
		err = nil
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr)
		l.network.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.waiting:
				c.reset()
			default:
				return
			}
		}
	})
	return err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// IsRefused tells whether err is that of a dial to an address where nobody
// listens.
func IsRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// String says what the network is, for messages of tests.
func (n *Network) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("network in memory with %d listeners", len(n.listeners))
}
