// Package chaos holds tests of whole nodes as real processes that have a hard
// time: killed at any instant, with a full disk, with files they cannot read.
// It holds nothing but tests; the processes are this test binary itself.
package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/atomicfile"
	"testudo/internal/cli"
	"testudo/internal/filetree"
	"testudo/internal/fleet"
	"testudo/internal/manifest"
	"testudo/internal/sqlitedb"
)

// TestMain is the node as well: called as "testudo" this binary is that
// program.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "testudo" {
		os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	goleak.VerifyTestMain(m)
}

// quick are intervals that make a failure heal while a test waits for it.
const quick = `{"intervals": {"worker": {"sync_integrity": 1, "connection_retry": 1}, "master": {"recalculate_integrity": 1}}}`

// cluster makes the homes of a master and workers and starts nothing.
func cluster(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	if o.ClusterJSON == "" {
		o.ClusterJSON = quick
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	f, err := fleet.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// started makes a cluster and waits until all of it is ready.
func started(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	f := cluster(t, o)
	if err := f.Start(within(t, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// tree is what a node's synchronised directories hold.
func tree(t *testing.T, n *fleet.Node) *manifest.Manifest {
	t.Helper()
	open, err := filetree.Open(n.Home, filetree.Options{Items: manifest.DefaultItems(), UID: -1, GID: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	scan, err := open.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return scan.Manifest
}

// eventually polls until nothing is wrong any more, or fails with what is.
func eventually(t *testing.T, limit time.Duration, wrong func() string) {
	t.Helper()
	ctx := within(t, limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		why := wrong()
		if why == "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v: %s", limit, why)
		}
	}
}

// pause waits; a kill at a random instant is an event of its own.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.FailNow()
	}
}

// waitEqual waits until each worker has all of the master's files.
func waitEqual(t *testing.T, f *fleet.Fleet, limit time.Duration) {
	t.Helper()
	eventually(t, limit, func() string { return differences(t, f) })
}

func differences(t *testing.T, f *fleet.Fleet) string {
	t.Helper()
	want := tree(t, f.Master())
	for _, w := range f.Workers() {
		if d := manifest.Compare(want, tree(t, w)); !d.Empty() {
			return fmt.Sprintf("%s lacks %d files, has %d too many and %d others; its log ends:\n%s",
				w.Name, len(d.Missing), len(d.Extra), len(d.Shared), tail(w, 12))
		}
	}
	return ""
}

// put saves a file of a node whole, below its home.
func put(t *testing.T, n *fleet.Node, path, content string) {
	t.Helper()
	if err := save(n.Home, path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

// save writes beside the synchronised directories and renames into them, so
// that a half-written file is never a master's will.
func save(home, path string, content []byte) error {
	full := filepath.Join(home, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o770); err != nil {
		return err
	}
	aside := filepath.Join(home, "var", "being-written")
	if err := os.WriteFile(aside, content, 0o660); err != nil {
		return err
	}
	return os.Rename(aside, full)
}

// logText is a node's cluster.log.
func logText(n *fleet.Node) string {
	text, err := os.ReadFile(filepath.Join(n.Home, "logs/cluster.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func tail(n *fleet.Node, lines int) string {
	all := strings.Split(strings.TrimSpace(logText(n)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// verify stops all nodes and checks what must hold in the end: equal trees,
// whole files, sound databases, nothing left behind.
func verify(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	for _, n := range f.Nodes() {
		if n.PID() == 0 {
			continue
		}
		if err := n.Stop(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
	}
	if why := differences(t, f); why != "" {
		t.Error(why)
	}
	for _, n := range f.Nodes() {
		sound(t, n)
		for _, path := range leftovers(t, n) {
			t.Errorf("%s: left behind: %s", n.Name, path)
		}
	}
}

// sound checks the structure of a node's database.
func sound(t *testing.T, n *fleet.Node) {
	t.Helper()
	path := filepath.Join(n.Home, "queue/db/cluster.db")
	head, err := os.ReadFile(path)
	if err != nil || len(head) < 100 {
		t.Errorf("%s: cluster.db: %d bytes, %v", n.Name, len(head), err)
		return
	}
	// The marks are those of the file itself: its structure is what counts here.
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{
		Path: path, ReadOnly: true, Migrations: make([]string, binary.BigEndian.Uint32(head[60:])),
		AppID: int32(binary.BigEndian.Uint32(head[68:])),
	})
	if err != nil {
		t.Errorf("%s: %v", n.Name, err)
		return
	}
	defer db.Close()
	err = db.Read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "PRAGMA integrity_check", func(s *sqlitedb.Stmt) error {
			if finding := s.ColumnText(0); finding != "ok" {
				t.Errorf("%s: cluster.db: %s", n.Name, finding)
			}
			return nil
		})
	})
	if err != nil {
		t.Errorf("%s: cluster.db: %v", n.Name, err)
	}
}

// leftovers lists files that a node that was ended properly must not leave.
func leftovers(t *testing.T, n *fleet.Node) (left []string) {
	t.Helper()
	err := filepath.WalkDir(n.Home, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(n.Home, path)
		if err != nil {
			return err
		}
		inQueue := strings.HasPrefix(rel, "queue/cluster/")
		stage := inQueue && strings.HasSuffix(rel, "dir")
		switch {
		case d.IsDir() && !stage:
		case inQueue, strings.HasSuffix(rel, ".tmp"), strings.HasSuffix(rel, ".pid"), atomicfile.IsTemporary(d.Name()):
			left = append(left, rel)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	slices.Sort(left)
	return left
}
