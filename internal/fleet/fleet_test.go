package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/config"
)

// TestMain is also the node of these tests: called as "testudo" it serves the
// page of a node and does what the file etc/behaviour of its home says.
func TestMain(m *testing.M) {
	if os.Args[0] == "testudo" {
		os.Exit(actAsNode(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func actAsNode(args []string) int {
	dir := args[slices.Index(args, "--home")+1]
	behaviour, _ := os.ReadFile(filepath.Join(dir, "etc/behaviour"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	cfg, problems := config.Load(config.LoadOptions{Home: dir})
	switch {
	case config.HasErrors(problems):
		fmt.Fprintln(os.Stderr, problems)
		return 1
	case string(behaviour) == "ends":
		fmt.Fprintln(os.Stderr, "the port is taken")
		return 3
	}
	page := http.NewServeMux()
	page.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if string(behaviour) == "never ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	page.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Environ(), args)
	})
	listener, err := net.Listen("tcp", cfg.Testudo.Metrics.Address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = http.Serve(listener, page) }()
	<-stop
	if string(behaviour) == "does not stop" {
		select {}
	}
	return 0
}

// made gives a fleet whose nodes all behave in one way.
func made(t *testing.T, o Options, behaviour string) *Fleet {
	t.Helper()
	prepare := o.Prepare
	o.Prepare = func(n *Node) error {
		if prepare != nil {
			if err := prepare(n); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(n.Home, "etc/behaviour"), []byte(behaviour), 0o600)
	}
	t.Setenv("TMPDIR", t.TempDir())
	f, err := New(t.Context(), o)
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

func TestFleet_StartsAndLeavesNothing(t *testing.T) {
	t.Setenv("TESTUDO_HOME", "/elsewhere")
	t.Setenv("NOTIFY_SOCKET", "/elsewhere")
	f := made(t, Options{Workers: 2, ClusterJSON: "{}", Flags: []string{"-d"}}, "")
	var ready []string
	if err := f.Start(t.Context(), func(n *Node) { ready = append(ready, n.Name) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ready)
	if want := []string{"master", "worker1", "worker2"}; !slices.Equal(ready, want) {
		t.Errorf("ready are %q, want %q", ready, want)
	}
	if _, err := os.Stat(filepath.Join(f.Master().Home, "etc/cluster.json")); err != nil {
		t.Error(err)
	}
	seen, err := f.Master().Get(t.Context(), "/environment")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(seen), "/elsewhere") {
		t.Errorf("a node sees what is meant for us: %s", seen)
	}
	if !strings.HasSuffix(string(seen), "-r -q -d]") {
		t.Errorf("flags are not passed on: %s", seen)
	}
	pid := f.Workers()[0].PID()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if _, err := os.Stat(f.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", f.Dir(), err)
	}
}

// Each node has a port of its own where agents enrol, on the loopback address.
func TestFleet_EnrolmentPorts(t *testing.T) {
	f := made(t, Options{Workers: 2}, "")
	seen := map[int]bool{f.Master().Port: true}
	for _, n := range f.Nodes() {
		c, problems := config.Load(config.LoadOptions{Home: n.Home})
		if config.HasErrors(problems) || !c.EnrolmentEmbedded() || c.Auth.Port != n.EnrolPort || c.Testudo.Enrolment.Address != "127.0.0.1" {
			t.Errorf("%s enrols at %q, %d, want %d; %v", n.Name, c.Testudo.Enrolment.Address, c.Auth.Port, n.EnrolPort, problems)
		}
		if seen[n.EnrolPort] {
			t.Errorf("port %d is that of two", n.EnrolPort)
		}
		seen[n.EnrolPort] = true
	}
}

func TestFleet_ProcessesEndWithTheContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	f, err := New(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(ctx, nil); err != nil {
		t.Fatal(err)
	}
	ended := f.Master().Ended()
	cancel()
	<-ended
	if err := f.Master().Start(); !errors.Is(err, context.Canceled) {
		t.Errorf("started after the end: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestFleet_GivenDirectory(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{true, false} {
		f := made(t, Options{Dir: dir, Keep: keep, Workers: 1}, "")
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(f.Master().Home)
		if keep != (err == nil) {
			t.Errorf("keep %v: %v", keep, err)
		}
		if keep {
			// Homes that are not ours are never removed.
			if _, err := New(t.Context(), Options{Dir: dir}); err == nil {
				t.Error("a home was made over another")
			}
			if _, err := os.Stat(f.Master().Home); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(f.Master().Home); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(f.Workers()[0].Home); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file of somebody else: %v", err)
	}
}

func TestNode_KillAndReturn(t *testing.T) {
	f := made(t, Options{}, "")
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	n := f.Master()
	if err := n.Start(); !errors.Is(err, ErrRunning) {
		t.Errorf("second start: %v", err)
	}
	first := n.PID()
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	<-n.Ended()
	if n.PID() != 0 {
		t.Errorf("killed, but process %d", n.PID())
	}
	for name, do := range map[string]func() error{
		"kill": n.Kill, "stop": func() error { return n.Stop(t.Context()) }, "reset": n.ResetPeak,
		"signal": func() error { return n.Signal(syscall.SIGHUP) },
	} {
		if err := do(); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s without a process: %v", name, err)
		}
	}
	if err := n.WaitReady(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("waiting for a killed node: %v", err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.PID() == first {
		t.Error("the same process as before")
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNode_EndsInsteadOfBecomingReady(t *testing.T) {
	f := made(t, Options{Workers: 1}, "ends")
	err := f.Start(t.Context(), nil)
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("got %v", err)
	}
}

func TestNode_NeverReady(t *testing.T) {
	f := made(t, Options{}, "never ready")
	if err := f.Master().Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := f.Master().WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNode_StopThatIsNotHeardEndsInAKill(t *testing.T) {
	f := made(t, Options{}, "does not stop")
	n := f.Master()
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n.PID() != 0 {
		t.Error("still there")
	}
}

func TestNode_GetOfAnotherStatus(t *testing.T) {
	f := made(t, Options{}, "")
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Master().Get(t.Context(), "/nothing"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(t.Context(), 50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 50 {
		t.Errorf("ports are given twice: %v", ports)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := freePorts(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
