package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/fleet"
)

// A node cleans what a crash left in queue/cluster, even when the cleaning
// itself is cut off again and again.
func TestLife_KilledWhileCleaning(t *testing.T) {
	f := cluster(t, fleet.Options{})
	boss := f.Master()
	queue := filepath.Join(boss.Home, "queue/cluster")
	for i := range 2_000 {
		dir := filepath.Join(queue, fmt.Sprintf("worker%d/old%ddir", i%20, i))
		if err := os.MkdirAll(dir, 0o770); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0"), []byte("left over"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"etc/rules/.local_rules.xml.tmp", "etc/shared/default/.agent.conf.tmp", "queue/cluster/c-internal.sock"} {
		if err := os.WriteFile(filepath.Join(boss.Home, path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chance := rand.New(rand.NewPCG(seedOf(t), 4))
	for range 20 {
		if err := boss.Start(); err != nil {
			t.Fatal(err)
		}
		pause(t, time.Duration(chance.Int64N(int64(60*time.Millisecond))))
		if err := boss.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Start(within(t, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(filepath.Join(queue, "c-internal.sock")); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the socket of local programs: %v, %v", info, err)
	}
	verify(t, f)
}

// run runs this program for a home and returns what it printed.
func run(ctx context.Context, args ...string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = "testudo"
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestLife_SecondInstanceIsRefused(t *testing.T) {
	f := started(t, fleet.Options{Workers: 1})
	boss := f.Master()
	left := filepath.Join(boss.Home, "queue/cluster/not-yours")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(within(t, time.Minute), "node", "--home", boss.Home, "-r")
	if err == nil || !strings.Contains(out, fmt.Sprintf("process %d", boss.PID())) {
		t.Errorf("a second node: %v, %s", err, out)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("the second node cleaned the first one's directory: %v", err)
	}
	if err := os.Remove(left); err != nil {
		t.Fatal(err)
	}
	put(t, boss, "etc/rules/after.xml", "<group/>")
	waitEqual(t, f, 15*time.Second)
	verify(t, f)
}

// SIGTERM in the middle of a synchronisation ends either end within seconds.
func TestLife_TerminatedDuringASync(t *testing.T) {
	f := started(t, fleet.Options{Workers: 1})
	boss, worker := f.Master(), f.Workers()[0]
	w := newWriter(boss.Home, seedOf(t))
	for round := range 4 {
		n := []*fleet.Node{boss, worker}[round%2]
		for i := range 4 {
			path := fmt.Sprintf("%s/%s-large%d", chaosDirs[2], magic, i)
			body := make([]byte, 4<<20)
			for k := range body {
				body[k] = byte(w.rand.Uint32())
			}
			put(t, boss, path, string(describe(path, body)))
		}
		eventually(t, 20*time.Second, func() string {
			if receiving, _ := inTheMiddle(worker); !receiving {
				return "no package is on its way"
			}
			return ""
		})
		began := time.Now()
		if err := n.Stop(within(t, 10*time.Second)); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v to end", n.Name, took)
		}
		for _, path := range leftovers(t, n) {
			t.Errorf("%s: left behind: %s", n.Name, path)
		}
		checkWhole(t, worker)
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		waitEqual(t, f, 30*time.Second)
	}
	verify(t, f)
}

func TestLife_LogIsReopenedOnHangup(t *testing.T) {
	f := started(t, fleet.Options{Workers: 1})
	boss := f.Master()
	log := filepath.Join(boss.Home, "logs/cluster.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := boss.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if !strings.Contains(logText(boss), "opened again") {
			return "the new log: " + logText(boss)
		}
		return ""
	})
	put(t, boss, "etc/rules/after.xml", "<group/>")
	waitEqual(t, f, 15*time.Second)
	verify(t, f)
}
