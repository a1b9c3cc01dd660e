package integrity_test

import (
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/manifest"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// bubble runs a test in its own time, with a cluster to attack.
func bubble(t *testing.T, test func(t *testing.T, c *clustertest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t)
		defer c.Stop()
		test(t, c)
	})
}

// peer is a peer that knows the key and keeps to no rule.
type peer struct {
	*session.Session
	t    *testing.T
	home string
}

// establish makes a session of a connection; the caller runs it.
func establish(t *testing.T, conn net.Conn) (*session.Session, string) {
	t.Helper()
	key, err := wire.NewKey(clustertest.Key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return session.New(conn, session.Config{Key: key, Home: root, Log: slog.New(slog.DiscardHandler)}), dir
}

// hostileWorker connects to the cluster's master under a name. It ends with
// the function it gives back.
func hostileWorker(t *testing.T, c *clustertest.Cluster, name string, mux *session.Mux) (*peer, func()) {
	t.Helper()
	conn, err := c.Faults.Dialer(c.Network.Host("10.0.9.9").DialContext)(t.Context(), "tcp", "10.0.0.1:1516")
	if err != nil {
		t.Fatal(err)
	}
	s, dir := establish(t, conn)
	hello := session.Hello{Name: name, Cluster: "wazuh", Type: "worker", Version: "4.7.5"}
	s.Establish(hello, mux, slog.New(slog.DiscardHandler))
	var done sync.WaitGroup
	done.Go(func() { _ = s.Run(t.Context()) })
	if err := s.SayHello(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return &peer{s, t, dir}, func() {
		s.Close(nil)
		done.Wait()
	}
}

// ask is a request that the other end must take.
func (p *peer) ask(command, payload string) string {
	p.t.Helper()
	answer, err := p.Request(p.t.Context(), command, []byte(payload))
	if err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
	return string(answer)
}

// member is one part of a package.
type member struct {
	path    string
	content io.Reader
}

func text(path, content string) member { return member{path, strings.NewReader(content)} }

// bombBytes is the size of a bomb: far beyond the limit of those who get it. With
// -short it is smaller, as making one takes most of a test's time.
func bombBytes() int64 {
	if testing.Short() {
		return 24 << 20
	}
	return 128 << 20
}

// zeros is content that shrinks to next to nothing.
func zeros(path string, bytes int64) member {
	return member{path, io.LimitReader(nothing{}, bytes)}
}

type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// pack writes a package as the original does, without any check.
func pack(members ...member) func(io.Writer) error {
	return func(w io.Writer) error {
		for i, m := range members {
			if i > 0 {
				if _, err := io.WriteString(w, "|@@//@@|"); err != nil {
					return err
				}
			}
			if _, err := io.WriteString(w, m.path+"|//@@//|"); err != nil {
				return err
			}
			z := zlib.NewWriter(w)
			if _, err := io.Copy(z, m.content); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

// entry is the JSON of one entry of files_metadata.json.
func entry(path, key, content string) string {
	return fmt.Sprintf(`%q: {"mod_time": 1.5, "cluster_item_key": %q, "merged": false, "hash": "%s"}`,
		path, key, manifest.DigestOf([]byte(content)))
}

// metadata is a master's files_metadata.json.
func metadata(missing, extra, shared []string) member {
	object := func(entries []string) string { return "{" + strings.Join(entries, ", ") + "}" }
	return text("files_metadata.json", fmt.Sprintf(`{"missing": %s, "extra": %s, "shared": %s}`,
		object(missing), object(extra), object(shared)))
}

// attack is what a hostile master does instead of giving its verdict.
type attack func(ctx context.Context, s *session.Session) error

// sends is the attack by a package.
func sends(members ...member) attack {
	return func(ctx context.Context, s *session.Session) error {
		_, err := s.SendPackage(ctx, "syn_m_c", pack(members...))
		return err
	}
}

// hostileMaster takes every worker and answers each of its checks with the next
// attack. After the last it finds the worker in step.
type hostileMaster struct {
	t        *testing.T
	attacks  chan attack
	verdicts chan error // how each attack ended
	reports  chan string
	finished chan struct{} // one for each check after the last attack
}

func serveHostile(t *testing.T, c *clustertest.Cluster, attacks ...attack) *hostileMaster {
	t.Helper()
	h := &hostileMaster{
		t: t, attacks: make(chan attack, len(attacks)), verdicts: make(chan error, 100),
		reports: make(chan string, 100), finished: make(chan struct{}, 100),
	}
	for _, a := range attacks {
		h.attacks <- a
	}
	listener, err := c.Network.Listen("10.0.0.1:1516")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s, _ := establish(t, conn)
			done.Go(func() { h.serve(ctx, s) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		done.Wait()
	})
	return h
}

func (h *hostileMaster) serve(ctx context.Context, s *session.Session) {
	hello, err := s.AcceptHello(ctx)
	if err != nil {
		return
	}
	mux := session.NewMux()
	mux.HandleControl("echo-c", func(_ context.Context, _ *session.Session, p []byte) (session.Reply, error) {
		return session.Reply{Command: "ok-m", Payload: p}, nil
	})
	mux.Handle("syn_i_w_m_p", func(context.Context, *session.Session, []byte) (session.Reply, error) {
		return session.OK("True"), nil
	})
	mux.Handle("t_failed", func(_ context.Context, _ *session.Session, p []byte) (session.Reply, error) {
		h.reports <- string(p)
		return session.OK("Thanks"), nil
	})
	mux.HandleDelivery("syn_i_w_m", h.check)
	s.Establish(hello, mux, slog.New(slog.DiscardHandler))
	if s.Welcome(hello) == nil {
		_ = s.Run(ctx)
	}
}

func (h *hostileMaster) check(ctx context.Context, d *session.Delivery) {
	u, err := d.Wait(ctx, time.Minute)
	if err != nil {
		return
	}
	_ = u.Close()
	s := d.Session()
	select {
	case a := <-h.attacks:
		h.verdicts <- a(ctx, s)
	default:
		if _, err := s.Request(ctx, "syn_m_c_ok", nil); err == nil {
			h.finished <- struct{}{}
		}
	}
}

// wait waits until the worker has suffered all attacks and been asked once
// more.
func (h *hostileMaster) wait() {
	h.t.Helper()
	select {
	case <-h.finished:
	case <-time.After(10 * time.Minute):
		h.t.Fatal("the worker asks no more")
	}
}

// outside makes a directory beside the homes with one file in it, and fails the
// test at its end when it has changed.
func outside(t *testing.T, c *clustertest.Cluster) (dir string, check func()) {
	t.Helper()
	dir = filepath.Join(c.Dir, "outside")
	if err := os.MkdirAll(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o660); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s holds %v, %v", dir, entries, err)
		}
		if content, err := os.ReadFile(victim); string(content) != "safe" {
			t.Errorf("%s holds %q, %v", victim, content, err)
		}
	}
}
