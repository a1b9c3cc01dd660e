package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

const (
	// bareRequest and bareAnswer are about what get_nodes sends, and gets from a
	// cluster of three.
	bareRequest = 160
	bareAnswer  = 512
)

// BareSocket answers each connection of a listener with the same few bytes, and
// nothing else: what a socket alone can carry. It returns when rest ends, with the
// clients gone.
func BareSocket(ln net.Listener, rest io.Reader) error {
	var tasks sync.WaitGroup
	tasks.Go(func() {
		_, _ = io.Copy(io.Discard, rest) // however it ends, we do
		_ = ln.Close()
	})
	defer tasks.Wait()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		tasks.Go(func() { answerBarely(conn) })
	}
}

func answerBarely(conn net.Conn) {
	defer conn.Close()
	var room [bareAnswer]byte
	for {
		if _, err := io.ReadFull(conn, room[:bareRequest]); err != nil {
			return
		}
		if _, err := conn.Write(room[:]); err != nil {
			return
		}
	}
}

// askBarely is one call of a client of BareSocket.
func askBarely(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	var room [bareAnswer]byte
	if _, err := conn.Write(room[:bareRequest]); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, room[:])
	return err
}

// bareProcess is BareSocket in a process of its own, as a node is.
type bareProcess struct {
	path string
	dir  string
	cmd  *exec.Cmd
	rest io.Closer
}

// startBareProcess starts this very program once more, with a hidden verb that
// runs BareSocket on the listener it inherits, until its standard input ends.
func startBareProcess(ctx context.Context, dir string) (p *bareProcess, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p = new(bareProcess)
	if p.dir, err = os.MkdirTemp(dir, "bare-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(p.dir)
		}
	}()
	p.path = filepath.Join(p.dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	ln.SetUnlinkOnClose(false)
	file, err := ln.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.cmd = exec.CommandContext(ctx, program, "bench", "bare-socket") //nolint:gosec // this very program
	p.cmd.Args[0] = "testudo"
	p.cmd.ExtraFiles = []*os.File{file}
	p.cmd.Stderr = os.Stderr
	if p.rest, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

func (p *bareProcess) stop() error {
	return errors.Join(p.rest.Close(), p.cmd.Wait(), os.RemoveAll(p.dir))
}

// bare measures the socket alone, by the same number of clients as the calls: what
// this machine leaves of a call that costs nothing.
func (b *dapiBench) bare(ctx context.Context) (err error) {
	p, err := startBareProcess(ctx, b.o.Dir)
	if err != nil {
		return fmt.Errorf("measure the socket alone: %w", err)
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, clients := range b.o.Clients {
		b.o.Progress(fmt.Sprintf("the socket alone, %d clients", clients))
		r, err := b.repeat(ctx, clients, func() error { return askBarely(ctx, p.path) })
		if err != nil {
			return fmt.Errorf("measure the socket alone: %w", err)
		}
		r.Where, r.Call = "alone", "a socket without a node"
		b.report.Calls = append(b.report.Calls, r)
	}
	return nil
}
