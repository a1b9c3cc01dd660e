package chaos

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"testudo/internal/fleet"
	"testudo/internal/keyhistory"
)

// needNginx skips a test where there is no nginx that takes TCP apart. load is the
// line that makes it do so, where it needs one.
func needNginx(t *testing.T) (program, load string) {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no nginx here")
	}
	built, err := exec.Command(program, "-V").CombinedOutput() //nolint:noctx // at once
	if err != nil {
		t.Skipf("no nginx here: %v", err)
	}
	modules := "/usr/lib/nginx/modules"
	for option := range strings.FieldsSeq(string(built)) {
		if option == "--with-stream" {
			return program, ""
		}
		if dir, ok := strings.CutPrefix(option, "--modules-path="); ok {
			modules = dir
		}
	}
	module := filepath.Join(modules, "ngx_stream_module.so")
	if _, err := os.Stat(module); err != nil {
		t.Skipf("this nginx has no stream module: %v", err)
	}
	return program, "load_module " + module + ";\n"
}

// balance runs nginx as a TCP load balancer before the ports at which agents
// enrol, and returns its address.
func balance(t *testing.T, nodes []*fleet.Node) string {
	t.Helper()
	program, load := needNginx(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var servers strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&servers, "    server %s max_fails=1 fail_timeout=2s;\n", enrolAddress(n))
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // else it wants a user of its own
	}
	config := filepath.Join(dir, "nginx.conf")
	err = os.WriteFile(config, []byte(load+user+fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 4096; }
stream {
  upstream nodes {
%[2]s  }
  server {
    listen %[3]s;
    proxy_pass nodes;
    proxy_connect_timeout 1s;
    proxy_timeout 60s;
  }
}
`, dir, servers.String(), address)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config) //nolint:noctx // ended below
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("nginx: %v: %s", err, output.String())
		}
	})
	eventually(t, 10*time.Second, func() string {
		conn, err := net.Dial("tcp", address) //nolint:noctx // loopback
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
	return address
}

// Agents enrol through nginx at three nodes, of which a worker is killed half-way.
// Whoever has an answer has a key that works everywhere, and all others get one
// when they try again.
func TestEnrolment_ThroughNginx(t *testing.T) {
	needNginx(t)
	t.Parallel()
	agents := 1000
	if testing.Short() {
		agents = 200
	}
	e := newEnrolling(t, 2, seedOf(t))
	address := balance(t, e.f.Nodes())
	ctx := within(t, 2*time.Minute)
	var next, again, waited atomic.Int64
	var half sync.Once
	var enrolling sync.WaitGroup
	victim := e.f.Workers()[0]
	for range 40 {
		enrolling.Go(func() {
			for i := next.Add(1); i <= int64(agents); i = next.Add(1) {
				if i == int64(agents/2) {
					half.Do(func() {
						over := e.h.Disturb(victim.Name)
						defer over()
						if err := victim.Kill(); err != nil {
							t.Error(err)
						}
					})
				}
				name := fmt.Sprintf("agent-%04d", i)
				for tries := 1; ; tries++ {
					r := e.h.Enrol(ctx, address, keyhistory.Registration{Agent: name, Name: name})
					if r.Outcome == keyhistory.Done {
						waited.Add(int64(r.Over.Sub(r.Began)))
						break
					}
					again.Add(1)
					if r.Outcome == keyhistory.Refused || !e.nap(ctx, time.Second) {
						t.Errorf("%s does not get a key: %q", name, r.Text)
						return
					}
				}
			}
		})
	}
	enrolling.Wait()
	if err := victim.Start(); err != nil {
		t.Fatal(errors.Join(err))
	}
	e.verdict()
	if c := e.h.Count(); c.Done != agents {
		t.Errorf("%d agents have a key, want %d", c.Done, agents)
	}
	t.Logf("%d agents have a key, %d attempts had no answer; an answer took %v", agents, again.Load(),
		(time.Duration(waited.Load()) / time.Duration(agents)).Round(time.Millisecond))
	verify(t, e.f)
}

// A key is known on the worker that answered, at once: nobody waits for the next
// look at the master's files.
func TestEnrolment_KnownAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnrolling(t, 1, 1)
	w, late := e.f.Workers()[0], 0
	for i := range 100 {
		name := fmt.Sprintf("agent-%03d", i)
		r := e.h.Enrol(within(t, 20*time.Second), enrolAddress(w), keyhistory.Registration{Agent: name, Node: w.Name, Name: name})
		if r.Outcome != keyhistory.Done {
			t.Fatalf("%s: %s", name, r.Text)
		}
		line := r.Entry.ID + " " + name + " any " + r.Entry.Key + "\n"
		looks := 0
		eventually(t, 10*time.Second, func() string {
			looks++
			keys, err := os.ReadFile(filepath.Join(w.Home, "etc/client.keys"))
			if err != nil || !strings.Contains(string(keys), line) {
				return fmt.Sprintf("the worker does not know %s, %v", name, err)
			}
			return ""
		})
		late += count(looks > 1)
	}
	// One may be missing for a moment when a file of before has just come in.
	if late > 10 {
		t.Errorf("%d of 100 keys were not known at once", late)
	}
	e.verdict()
	verify(t, e.f)
}
