package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testudo/internal/agentdb"
	"testudo/internal/inventory"
	"testudo/internal/wdb"
)

// keeping says who keeps the agent databases of the nodes of one maker, where it
// is not the usual.
type keeping string

const (
	// Ours is a client of a real database daemon.
	external keeping = "beside a real database"
	// Real cluster daemons are clients of our database.
	served keeping = "over our database"
	// Ours stands in an installation's home, with its own database.
	installed keeping = "in an installation"
)

// database is what runs beside a node for it to have an agent database.
type database struct {
	end func(t *testing.T)
}

// isExternal says whether a node of ours has a real database daemon.
func (n *node) isExternal() bool { return n.maker == ours && n.keeping == external }

// isServed says whether a real node has our database.
func (n *node) isServed() bool { return n.maker == theirs && n.keeping == served }

// isInstalled says whether a node of ours stands in an installation's home and
// has its own database.
func (n *node) isInstalled() bool { return n.maker == ours && n.keeping == installed }

// followsFiles says whether the node itself makes rows of what client.keys and
// etc/shared say. Where it does not, the installation's other daemons would, and
// the test does.
func (n *node) followsFiles() bool { return n.maker == ours && !n.isExternal() }

// startDatabase starts what the node needs beside it.
func (n *node) startDatabase() {
	n.cluster.t.Helper()
	switch {
	case n.database != nil:
	case n.isExternal():
		n.database = n.runRealDatabase()
	case n.isServed():
		n.database = n.serveOurDatabase()
	}
}

func (n *node) stopDatabase() {
	if d := n.database; d != nil {
		n.database = nil
		d.end(n.cluster.t)
	}
}

// runRealDatabase starts the database daemon that stands in a real home.
func (n *node) runRealDatabase() *database {
	t := n.cluster.t
	t.Helper()
	output, err := os.OpenFile(filepath.Join(n.home, realDatabaseOutput), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close() // the process has its own handle
	cmd := exec.Command(filepath.Join(n.home, "bin/wazuh-db"), "-f")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = n.home, output, output, attributes()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the database of %s: %v", n, err)
	}
	ended := make(chan struct{})
	go func() { // ended by end
		defer close(ended)
		_ = cmd.Wait()
	}()
	wait(t, patience, func() string {
		c, err := n.dialDatabase()
		if err != nil {
			return err.Error()
		}
		c.conn.Close()
		return ""
	})
	return &database{end: func(t *testing.T) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("the database of %s does not end", n)
			_ = cmd.Process.Kill()
			<-ended
		}
	}}
}

// realDatabaseOutput is the file for what a real database daemon writes to its
// outputs: its log lines among them.
const realDatabaseOutput = "logs/wazuh-db.out"

// serveOurDatabase serves the database of a home in this process.
func (n *node) serveOurDatabase() *database {
	t := n.cluster.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := agentdb.Open(ctx, agentdb.Options{Path: filepath.Join(n.home, "queue/db/global.db"), Master: n.role == master})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Open(inventory.Options{Dir: filepath.Join(n.home, "queue/db")})
	if err != nil {
		t.Fatal(err)
	}
	server := wdb.NewServer(store, inv, wdb.Options{Path: filepath.Join(n.home, socket), UID: -1, GID: -1})
	listener, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	served, endServing := context.WithCancel(ctx)
	var writing, serving sync.WaitGroup
	check := func(t *testing.T, err error) {
		if err != nil {
			t.Errorf("our database of %s: %v", n, err)
		}
	}
	writing.Go(func() { check(t, store.Run(ctx)) })
	serving.Go(func() { check(t, server.Serve(served, listener)) })
	return &database{end: func(t *testing.T) {
		endServing()
		serving.Wait()
		cancel()
		writing.Wait()
		check(t, inv.Close())
		check(t, store.Close())
	}}
}

// databaseComplaints gives the warnings and errors of the real database daemon of
// a home.
func (n *node) databaseComplaints(known []explanation) []string {
	content, err := os.ReadFile(filepath.Join(n.home, realDatabaseOutput))
	if err != nil {
		return nil // there is none
	}
	var bad []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if databaseTrouble.MatchString(line) && !n.isKnown(line, known) {
			bad = append(bad, "(database) "+line)
		}
	}
	return bad
}
