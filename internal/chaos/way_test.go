package chaos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"testudo/internal/fleet"
)

// way is a worker's way to its master, which can be cut.
type way struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu     sync.Mutex
	target string
	closed bool // nobody gets through
	conns  map[net.Conn]bool
	held   chan struct{} // when set, what comes waits until it is closed
}

func newWay(t *testing.T) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	w := &way{listener: l, conns: map[net.Conn]bool{}}
	w.serving.Go(w.serve)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		w.hold(false)
		w.cut(true)
		w.serving.Wait()
	})
	return w
}

// lead makes a worker's home, and not yet its node, go this way to its master.
func (w *way) lead(n *fleet.Node) error {
	w.mu.Lock()
	w.target = fmt.Sprintf("127.0.0.1:%d", n.Port)
	w.mu.Unlock()
	path := filepath.Join(n.Home, "etc/ossec.conf")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	port := func(of int) string { return fmt.Sprintf("<port>%d</port>", of) }
	changed := strings.Replace(string(content), port(n.Port), port(w.listener.Addr().(*net.TCPAddr).Port), 1)
	if changed == string(content) {
		return fmt.Errorf("%s does not name the master's port", path)
	}
	return os.WriteFile(path, []byte(changed), 0o640)
}

func (w *way) serve() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		target := w.target
		w.mu.Unlock()
		master, err := net.Dial("tcp", target) //nolint:noctx // loopback
		if err != nil {
			conn.Close()
			continue
		}
		if !w.add(conn, master) {
			conn.Close()
			master.Close()
			continue
		}
		w.serving.Go(func() { w.carry(master, conn) })
		w.serving.Go(func() { w.carry(conn, master) })
	}
}

func (w *way) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	return !w.closed
}

// carry takes bytes from one side to the other until either ends.
func (w *way) carry(to, from net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		held := w.held
		w.mu.Unlock()
		if held != nil {
			<-held
		}
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil || err != nil {
			return
		}
	}
}

// cut ends all connections; closed, there are no new ones.
func (w *way) cut(closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = closed
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what is under way is lost
		}
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			continue // it was going anyway
		}
	}
	clear(w.conns)
}

// hold lets nothing through, without a word, or lets go of what waits.
func (w *way) hold(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		close(w.held)
		w.held = nil
	}
	if on {
		w.held = make(chan struct{})
	}
}
