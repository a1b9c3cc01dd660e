package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// limit is what this machine needs, without any protocol, to read the files of
// a tree, send them over one loopback TCP connection and write them as files
// at the other end, made durable with one sync of the file system.
func limit(ctx context.Context, t Tree, from, to string) (time.Duration, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		return sendTree(conn, t, from)
	})
	g.Go(func() error {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		return receiveTree(conn, t, to)
	})
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("measure the machine's limit: %w", err)
	}
	return time.Since(began), nil
}

func sendTree(conn net.Conn, t Tree, from string) error {
	var size [8]byte
	for i := range t.Files {
		content, err := os.ReadFile(filepath.Join(from, t.Path(i)))
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint64(size[:], uint64(len(content)))
		bufs := net.Buffers{size[:], content}
		if _, err := bufs.WriteTo(conn); err != nil {
			return err
		}
	}
	return nil
}

func receiveTree(conn net.Conn, t Tree, to string) error {
	var size [8]byte
	buf := make([]byte, t.Size)
	for i := range t.Files {
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return err
		}
		content := buf[:binary.BigEndian.Uint64(size[:])]
		if _, err := io.ReadFull(conn, content); err != nil {
			return err
		}
		path := filepath.Join(to, t.Path(i))
		if i%perDirectory == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path+".tmp", content, 0o660); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
	}
	dir, err := os.Open(to)
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncFileSystem(dir)
}
