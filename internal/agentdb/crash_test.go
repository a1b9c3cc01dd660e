package agentdb

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// crashPath, set for a process started by TestCrash, is the database on which it
// writes until it is killed.
const crashPath = "AGENTDB_CRASH_PATH"

// burst writes for ever: each writer inserts agents of its own and changes them,
// and says what has been acknowledged.
func burst(t *testing.T, path string) {
	s := startAt(t, Options{Path: path})
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := fmt.Fprintf(os.Stdout, "ack "+format+"\n", args...); err != nil {
			t.Error(err)
		}
	}
	const writers = 4
	first := int(s.roster.blocks[len(s.roster.blocks)-1].last())/writers + 1
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := first; ; i++ {
				id := agent.ID(i*writers + w)
				steps := []func(context.Context) error{
					func(ctx context.Context) error {
						return s.InsertAgent(ctx, NewAgent{ID: id, Name: fmt.Sprint("agent-", int(id))})
					},
					func(ctx context.Context) error {
						return s.SetSyncInfo(ctx, fullReport(int(id), int(id), "w1", 1000, agent.Active))
					},
					func(ctx context.Context) error {
						return s.UpdateKeepalive(ctx, id, "active", "syncreq")
					},
					func(ctx context.Context) error {
						return s.UpdateConnectionStatus(ctx, id, "disconnected", "syncreq", 3)
					},
				}
				for step, fn := range steps {
					if err := fn(t.Context()); err != nil {
						t.Error(id, err)
						return
					}
					say("%d %d", id, step)
				}
				if w == 0 { // rows follow the journal all the time
					if err := s.writeLazily(t.Context(), func(t *tx) error { return t.followSome() }); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// TestCrash kills a process in the middle of writing, again and again: the file
// is sound, and everything that was acknowledged is in it.
func TestCrash(t *testing.T) {
	if path := os.Getenv(crashPath); path != "" {
		burst(t, path)
		return
	}
	bursts := 200
	if testing.Short() {
		bursts = 10
	}
	path := filepath.Join(t.TempDir(), "global.db")
	acked := make(map[agent.ID]int) // the last step
	for n := range bursts {
		killAfter(t, path, 1+n*7%40, acked)
		if n%20 == 19 || n == bursts-1 {
			checkAfterCrash(t, path, acked)
		}
	}
}

// killAfter runs a burst, kills it after some acknowledgements and notes all
// that it has given.
func killAfter(t *testing.T, path string, acks int, acked map[agent.ID]int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestCrash$")
	cmd.Env = append(os.Environ(), crashPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, seen := bufio.NewScanner(out), 0
	for lines.Scan() {
		var id agent.ID
		var step int
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &id, &step); err != nil {
			if !strings.HasPrefix(lines.Text(), "ack") {
				t.Log(lines.Text())
			}
			continue // the last line may be cut off
		}
		acked[id] = step
		if seen++; seen == acks {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if seen < acks {
		t.Fatalf("the writing process ended by itself after %d of %d", seen, acks)
	}
}

func checkAfterCrash(t *testing.T, path string, acked map[agent.ID]int) {
	t.Helper()
	s := startAt(t, Options{Path: path})
	found := ""
	err := s.read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.SelectOne(c, "PRAGMA integrity_check", func(st *sqlitedb.Stmt) error {
			found += st.ColumnText(0)
			return nil
		})
	})
	if err != nil || found != "ok" {
		t.Error(found, err)
	}
	for id, step := range acked {
		r, ok := s.roster.get(id)
		want := []agent.Status{agent.NeverConnected, agent.Active, agent.Active, agent.Disconnected}[step]
		// A later step may have been committed without having been acknowledged.
		if !ok || r.status != want && step == 3 || step >= 1 && r.status == agent.NeverConnected ||
			step >= 2 && (r.keepalive <= 1000 || !r.syncreq) {
			t.Fatalf("agent %d was acknowledged as %s: %v %+v", id, want, ok, r)
		}
	}
	sameRoster(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
