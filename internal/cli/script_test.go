package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"testudo/internal/cli"
	"testudo/internal/config"
	"testudo/internal/filestate"
	"testudo/internal/home"
	"testudo/internal/manifest"
)

// TestMain makes this test program testudo, wazuh-clusterd and cluster_control, too.
func TestMain(m *testing.M) {
	program := func() { os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr})) }
	testscript.Main(m, map[string]func(){"testudo": program, "wazuh-clusterd": program, "cluster_control": program})
}

// TestCommandLine runs the scripts of testdata. Beside the usual commands they
// have those of scriptCommands, and the condition [account]: we are root, and
// the account that owns homes exists.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands(),
		Condition: func(name string) (bool, error) {
			if name != "account" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			_, _, ok := home.Identity()
			return ok && os.Geteuid() == 0, nil
		},
		Setup: func(e *testscript.Env) error {
			// A directory that any user can reach.
			public, err := os.MkdirTemp("", "testudo-public-")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(public) })
			e.Setenv("PUBLIC", public)
			e.Setenv("TMPDIR", e.WorkDir)
			e.Setenv("TZ", "UTC")
			e.Setenv("KEY", strings.Repeat("k", 32))
			return os.Chmod(public, 0o755)
		},
	})
}

func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"code":    exitCode,
		"ports":   ports,
		"ready":   ready,
		"signal":  sendSignal,
		"gone":    gone,
		"arrives": arrives,
		"logged":  logged,
		"picture": picture,
		"owned":   owned,
		"agents":  herd,
		"watched": watched,
	}
}

// waitUntil looks until the condition holds.
func waitUntil(ts *testscript.TestScript, what string, holds func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	turn := time.NewTicker(5 * time.Millisecond)
	defer turn.Stop()
	for !holds() {
		select {
		case <-turn.C:
		case <-ctx.Done():
			ts.Fatalf("waited in vain: %s", what)
		}
	}
}

// exitCode: code N COMMAND ARG... runs a command that must end with that code.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ports: ports NAME... sets variables to free ports.
func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

// ready: ready HOME waits until the node of the home is.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	cfg, _ := config.Load(config.LoadOptions{Home: ts.MkAbs(args[0])})
	waitUntil(ts, args[0]+" is ready", func() bool {
		answer, err := http.Get("http://" + cfg.Testudo.Metrics.Address + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err == nil && answer.StatusCode == http.StatusOK
	})
}

// holder is the process that runs, or ran last, in a home.
func holder(ts *testscript.TestScript, dir string) int {
	number, _, _ := strings.Cut(strings.TrimSpace(ts.ReadFile(filepath.Join(dir, home.LockPath))), " ")
	pid, err := strconv.Atoi(number)
	ts.Check(err)
	return pid
}

// sendSignal: signal NAME HOME sends it to the node of a home.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	number, ok := signals[args[0]]
	if !ok {
		ts.Fatalf("no signal %s", args[0])
	}
	ts.Check(syscall.Kill(holder(ts, args[1]), number))
}

// gone: gone HOME waits until no process runs in a home.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	waitUntil(ts, args[0]+" is at rest", func() bool {
		lock, err := home.Lock(dir)
		if err != nil {
			return false
		}
		return lock.Release() == nil
	})
}

// arrives: arrives FILE FILE waits until the second is as the first.
func arrives(ts *testscript.TestScript, _ bool, args []string) {
	want := ts.ReadFile(args[0])
	waitUntil(ts, args[1]+" has arrived", func() bool {
		got, err := os.ReadFile(ts.MkAbs(args[1]))
		return err == nil && string(got) == want
	})
}

// logged: logged FILE TEXT waits until a file holds a text.
func logged(ts *testscript.TestScript, _ bool, args []string) {
	waitUntil(ts, args[1]+" is logged", func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && strings.Contains(string(text), args[1])
	})
}

// owned: owned FILE... wants files of the account.
func owned(ts *testscript.TestScript, _ bool, args []string) {
	uid, _, _ := home.Identity()
	for _, name := range args {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if status, ok := info.Sys().(*syscall.Stat_t); !ok || int(status.Uid) != uid {
			ts.Fatalf("%s does not belong to the account", name)
		}
	}
}

// picture: picture HOME ROLE [held] [killed] makes the database that a node of the
// role would have, at noon: with files held back, or of one that had no time to
// take down that it ended.
func picture(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	path := filepath.Join(ts.MkAbs(args[0]), "queue/db/cluster.db")
	store, err := filestate.Open(ctx, path, slog.New(slog.DiscardHandler))
	ts.Check(err)
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	digest := manifest.DigestOf([]byte("x"))
	row := func(file string, state filestate.State, reason string) filestate.Row {
		return filestate.Row{File: file, State: state, Reason: reason, Digest: digest, Since: noon}
	}
	pictures := map[string][]filestate.Row{
		"w1": {
			row("etc/rules/a.xml", filestate.Synchronized, ""), row("etc/rules/b.xml", filestate.Pending, ""),
			row("etc/rules/big.xml", filestate.Failed, "too large to be synced"), row("etc/rules/old.xml", filestate.ToBeDeleted, ""),
		},
	}
	if args[1] == "master" {
		pictures["m"] = []filestate.Row{row("etc/rules/a.xml", filestate.Synchronized, ""), row("etc/rules/b.xml", filestate.Synchronized, "")}
	}
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		n := filestate.NodeState{
			Node: name, Role: "master", Version: "4.7.5", Connected: true, ConnectedSince: noon, LastSync: noon,
			InStepSince: noon, Files: len(pictures[name]), ManifestSum: digest,
		}
		if name == "w1" {
			n.Role, n.Address, n.InStepSince, n.Lag = "worker", "127.0.0.1", time.Time{}, 1500*time.Millisecond
		}
		store.SetNode(n)
		store.Set(name, slices.Values(pictures[name]))
	}
	if slices.Contains(args, "held") {
		ts.Check(store.SetHeld(ctx, &filestate.Held{Since: noon, Detail: "7 of 9 synchronised files are gone"}))
	}
	ts.Check(store.Flush(ctx))
	end := func() {}
	if slices.Contains(args, "killed") {
		end = keepAsItIs(ts, path, path+"-wal")
	}
	ts.Check(store.Close())
	end()
}

// keepAsItIs reads files; what it returns puts back what they held.
func keepAsItIs(ts *testscript.TestScript, names ...string) (putBack func()) {
	held := make(map[string][]byte)
	for _, name := range names {
		content, err := os.ReadFile(name)
		ts.Check(err)
		held[name] = content
	}
	return func() {
		for name, content := range held {
			ts.Check(os.WriteFile(name, content, 0o640))
		}
	}
}
