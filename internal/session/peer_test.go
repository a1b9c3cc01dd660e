package session

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"testudo/internal/memnet"
	"testudo/internal/peertest"
)

// table is a session that runs and the hand-made peer it talks to.
type table struct {
	*Session
	p     *peertest.Peer
	t     *testing.T
	lines *peertest.Lines
	home  string
	ended chan error // what Run returned
}

var worker = Hello{Name: "w1", Cluster: "wazuh", Type: "worker", Version: "4.7.5"}

// newTable makes a session with a peer; it does not run yet.
func newTable(t *testing.T, cfg Config) *table {
	t.Helper()
	near, far := memnet.Pipe()
	return newTableOver(t, near, far, cfg)
}

func newTableOver(t *testing.T, ours, theirs net.Conn, cfg Config) *table {
	t.Helper()
	tab := &table{t: t, lines: peertest.NewLines(), home: t.TempDir(), ended: make(chan error, 1)}
	root, err := os.OpenRoot(tab.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	cfg.Key, cfg.Home = peertest.NewKey(t, peertest.Key), root
	if cfg.Log == nil {
		cfg.Log = tab.lines.Logger()
	}
	tab.Session = New(ours, cfg)
	tab.p = peertest.New(t, theirs)
	t.Cleanup(func() { tab.p.Close(); tab.Close(nil) })
	return tab
}

// run establishes the session with a mux and runs it until the test's end.
func (tab *table) run(register ...func(*Mux)) *table {
	mux := NewMux()
	for _, r := range register {
		r(mux)
	}
	tab.Establish(worker, mux, tab.lines.Logger())
	go func() { tab.ended <- tab.Run(context.Background()) }()
	tab.t.Cleanup(func() {
		tab.Close(nil)
		<-tab.ended
	})
	return tab
}

// end waits for the session's end and gives its cause.
func (tab *table) end() error {
	err := <-tab.ended
	tab.ended <- err // for the cleanup
	return err
}

// files lists what lies below the home, without directories.
func (tab *table) files() (names []string) {
	_ = filepath.WalkDir(tab.home, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(tab.home, name)
			names = append(names, rel)
		}
		return err
	})
	return names
}

// inBubble runs a test with its own time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// outcome is what a call of ours gave.
type outcome[T any] struct {
	value T
	err   error
}

// begin calls f on a goroutine.
func begin[T any](f func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		v, err := f()
		done <- outcome[T]{v, err}
	}()
	return done
}
