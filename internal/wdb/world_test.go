package wdb

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/agentdb"
	"testudo/internal/config"
	"testudo/internal/inventory"
	"testudo/internal/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a home with a served database.
type world struct {
	t      testing.TB
	home   string
	socket string
	store  *agentdb.Store
	server *Server
	client *Client
}

// newWorld serves the database of an existing home, or of a new one.
func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	home := shortdir.New(t)
	return worldAt(t, home, o)
}

func worldAt(t testing.TB, home string, o Options) *world {
	t.Helper()
	w := &world{t: t, home: home, socket: filepath.Join(home, "queue/db/wdb")}
	for _, dir := range []string{"queue/db", "backup/db"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	var err error
	w.store, err = agentdb.Open(ctx, agentdb.Options{Path: filepath.Join(home, "queue/db/global.db"), Master: true, AllowWrites: true})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Open(inventory.Options{Dir: filepath.Join(home, "queue/db"), Writable: o.SQLWrites})
	if err != nil {
		t.Fatal(err)
	}
	o.Path, o.UID, o.GID = w.socket, -1, -1
	o.Backup = config.Backup{Enabled: true, Interval: 24 * time.Hour, MaxFiles: 3}
	o.Internal = config.DatabaseOptions{
		Workers: 8, CommitTimeMin: 10 * time.Second, CommitTimeMax: time.Minute, OpenFiles: 64, MaxFragmentation: 90,
		FragmentationLimit: 75, FragmentationDelta: 5, FragmentationEvery: 2 * time.Hour,
	}
	w.server = NewServer(w.store, inv, o)
	ln, err := w.server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() { check(w.store.Run(ctx)) })
	served, end := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Serve(served, ln) }()
	w.client = Dial(w.socket, ClientOptions{})
	t.Cleanup(func() {
		check(w.client.Close())
		end()
		check(<-stopped)
		cancel()
		running.Wait()
		check(inv.Close())
		check(w.store.Close())
	})
	return w
}

// asker sends requests over one connection and knows nothing of their meaning.
type asker struct {
	t    testing.TB
	conn net.Conn
	path string
}

func newAsker(t testing.TB, path string) *asker {
	a := &asker{t: t, path: path}
	t.Cleanup(func() {
		if a.conn != nil {
			a.conn.Close()
		}
	})
	return a
}

// ask returns the reply, "(closed)" when there is none.
func (a *asker) ask(request string) string {
	a.t.Helper()
	if a.conn == nil {
		conn, err := net.Dial("unix", a.path)
		if err != nil {
			a.t.Fatal(err)
		}
		a.conn = conn
	}
	reply, err := exchange(a.conn, request)
	if err != nil {
		a.conn.Close()
		a.conn = nil
		return "(closed)"
	}
	return reply
}

func exchange(conn net.Conn, request string) (string, error) {
	if _, err := conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return "", err
	}
	return receive(conn)
}

func receive(conn net.Conn) (string, error) {
	var head [4]byte
	if err := readFull(conn, head[:]); err != nil {
		return "", err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[:]))
	err := readFull(conn, body)
	return string(body), err
}

func readFull(conn net.Conn, into []byte) error {
	for len(into) > 0 {
		n, err := conn.Read(into)
		if err != nil {
			return err
		}
		into = into[n:]
	}
	return nil
}

// want asks and compares.
func (w *world) want(request, reply string) {
	w.t.Helper()
	if got := w.ask(request); got != reply {
		w.t.Errorf("%.200q\n got %.300q\nwant %.300q", request, got, reply)
	}
}

func (w *world) ask(request string) string {
	w.t.Helper()
	a := asker{t: w.t, path: w.socket}
	defer func() {
		if a.conn != nil {
			a.conn.Close()
		}
	}()
	return a.ask(request)
}
