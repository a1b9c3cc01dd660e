package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/enrolment"
)

const (
	// syncLines is how many lines are made durable, one after the other.
	syncLines = 50
	// lineBytes is about what a line of client.keys has.
	lineBytes = 100
)

// limits measures what the machine can do by itself in this very run.
func (b *enrolBench) limits(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.o.Dir, "testudo-limits-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if b.report.Sync, err = syncedLines(filepath.Join(dir, "lines")); err != nil {
		return fmt.Errorf("measure how fast a line is durable: %w", err)
	}
	bare, err := startBare(ctx, dir)
	if err != nil {
		return fmt.Errorf("measure TLS alone: %w", err)
	}
	defer bare.stop()
	site := enrolSite{where: "TLS alone", agents: -1, server: bare.listener.Addr().String(), spent: func() (CPUCost, error) { return CPUCost{}, nil }}
	if err := warm(ctx, site); err != nil {
		return err
	}
	for _, clients := range b.o.Clients {
		r := EnrolRun{Where: site.where, Agents: site.agents, Clients: clients}
		b.o.Progress(fmt.Sprintf("%s, %d clients", r.Where, clients))
		if err := r.measure(ctx, site, b.o.Time); err != nil {
			return err
		}
		r.finish()
		b.report.Bare = append(b.report.Bare, r)
	}
	return nil
}

func syncedLines(path string) (Figure, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return Figure{}, err
	}
	defer file.Close()
	var took latencies
	line := []byte(strings.Repeat("x", lineBytes-1) + "\n")
	for range syncLines {
		began := time.Now()
		if _, err := file.Write(line); err != nil {
			return Figure{}, err
		}
		if err := file.Sync(); err != nil {
			return Figure{}, err
		}
		took.add(time.Since(began))
	}
	return took.figure(), nil
}

// bareServer answers every request with the same key, over TLS and with nothing
// else.
type bareServer struct {
	listener net.Listener
	tasks    sync.WaitGroup
}

func startBare(ctx context.Context, dir string) (*bareServer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if _, err := certificate.Make(root, certificate.Place{Certificate: "cert", Key: "key", UID: -1, GID: -1}, "127.0.0.1"); err != nil {
		return nil, err
	}
	pair, err := certificate.ReadPair(dir, "cert", "key")
	if err != nil {
		return nil, err
	}
	plain, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &bareServer{listener: tls.NewListener(plain, &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
	})}
	s.tasks.Go(s.accept)
	return s, nil
}

func (s *bareServer) stop() {
	_ = s.listener.Close()
	s.tasks.Wait()
}

// accept ends when the listener is closed. Clients are ours and end by themselves.
func (s *bareServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.tasks.Go(func() {
			defer conn.Close()
			line := make([]byte, enrolment.MaxLine)
			n, err := conn.Read(line)
			if err != nil {
				return
			}
			_, rest, _ := bytes.Cut(line[:n], []byte("'"))
			name, _, _ := bytes.Cut(rest, []byte("'"))
			_, _ = conn.Write(enrolment.Accepted("001", string(name), enrolment.AnyAddress, agent.NewSecret(herdKey(1)))) // the client tells
		})
	}
}
