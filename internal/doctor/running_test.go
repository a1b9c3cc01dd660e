package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/home"
	"testudo/internal/localsock"
	"testudo/internal/why"
)

// answers is a node that runs in the home.
func answers(config string, reports ...why.Report) localsock.Commands {
	return localsock.Commands{
		Config: func() ([]byte, error) { return []byte(config), nil },
		Nodes: func(context.Context, []byte) ([]byte, error) {
			return []byte(`{"items": [{"name": "m", "type": "master", "version": "4.7.5", "ip": "x"}, {"name": "w1", "type": "worker", "version": "4.7.4", "ip": "x"}], "totalItems": 2}`), nil
		},
		Why: func(context.Context, []byte) ([]byte, error) { return json.Marshal(map[string]any{"reports": reports}) },
	}
}

const asConfigured = `{"name": "wazuh", "node_name": "m", "node_type": "master"}`

func TestExamine_RunningNode(t *testing.T) {
	b := newHome(t, nil)
	b.listen("unix", b.path("queue/db/wdb"))
	b.listen("tcp", portOf(b))
	b.serve(answers(asConfigured, why.Report{ToldBy: "m", Summary: "m is the master and runs.", Findings: []why.Finding{
		{Severity: why.Note, Text: "A note."},
	}}))
	r := Examine(t.Context(), b.dir)
	wants(t, r, "process", Fine, "The node runs", "")
	wants(t, r, "sockets", Fine, "queue/db/wdb", "")
	wants(t, r, "sockets", Fine, "c-internal.sock", "")
	wants(t, r, "ports", Fine, "answers", "")
	wants(t, r, "versions", Warning, "w1 has version 4.7.4", "same version")
	wants(t, r, "node", Fine, "m is the master and runs.", "")
	if !r.Running || r.Worst != Warning {
		t.Errorf("%s", all(r))
	}
}

func TestExamine_RunningNodeThatIsIll(t *testing.T) {
	b := newHome(t, func(s *home.Spec) { s.Metrics = "127.0.0.1:1" })
	b.serve(answers(`{"name": "wazuh", "node_name": "old", "node_type": "master"}`, why.Report{ToldBy: "m", Findings: []why.Finding{
		{Severity: why.Critical, Text: "The disk is full.", Remedy: "Make room."}, {Severity: why.Warning, Text: "Something is odd."},
	}}))
	r := Examine(t.Context(), b.dir)
	wants(t, r, "process", Warning, "runs as master old of cluster wazuh, but etc/ossec.conf says master m", "again")
	wants(t, r, "sockets", Error, "does not answer at queue/db/wdb", "again")
	wants(t, r, "ports", Error, "does not answer on its cluster port", "again")
	wants(t, r, "ports", Warning, "does not answer on its metrics port", "again")
	wants(t, r, "node", Error, "m says: The disk is full.", "Make room.")
	wants(t, r, "node", Warning, "Something is odd.", "testudo ctl why m")
}

func TestExamine_NodeWithoutAnswers(t *testing.T) {
	b := newHome(t, nil)
	b.serve(localsock.Commands{
		Config: func() ([]byte, error) { return nil, fault.New(fault.Unspecified, "stuck") },
		Why:    func(context.Context, []byte) ([]byte, error) { return nil, fault.New(fault.RequestTimeout, nil) },
	})
	r := Examine(t.Context(), b.dir)
	wants(t, r, "process", Error, "does not answer as it should", "log")
	wants(t, r, "node", Error, "Error 3020", "overloaded")
}

// A node that takes connections, or has its system take them, and says nothing is
// not called well, and not asked again and again.
func TestExamine_StuckNode(t *testing.T) {
	b := newHome(t, nil)
	for _, name := range []string{"queue/cluster/c-internal.sock", "queue/db/wdb"} {
		ln, err := net.Listen("unix", b.path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
	const patience = 20 * time.Millisecond
	r := examine(t.Context(), b.dir, patience)
	wants(t, r, "process", Error, "has not answered in 20ms", "logs/cluster.log")
	for _, check := range []string{"sockets", "ports", "node"} {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == check }) {
			t.Errorf("%s says something in\n%s", check, all(r))
		}
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	pid := sleeper.Process.Pid
	b.write(fmt.Sprintf("var/run/wazuh-clusterd-%d.pid", pid), strconv.Itoa(pid))
	wants(t, examine(t.Context(), b.dir, patience), "process", Error, "has not answered", "")
	if err := sleeper.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var stopped syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &stopped, syscall.WUNTRACED, nil); err != nil || !stopped.Stopped() {
		t.Fatal(err, stopped)
	}
	wants(t, examine(t.Context(), b.dir, patience), "process", Error, "stopped as by SIGSTOP", fmt.Sprintf("kill -CONT %d", pid))
}

func TestExamine_FullNode(t *testing.T) {
	b := newHome(t, nil)
	b.listen("unix", b.path("queue/cluster/c-internal.sock"))
	r := Examine(t.Context(), b.dir)
	wants(t, r, "process", Error, "too many programs ask it", "local.connections")
	for _, f := range r.Findings {
		if (f.Severity == Fine) != (f.Remedy == "") {
			t.Errorf("%+v", f)
		}
	}
}

func TestExamine_ClockOfTheMaster(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		worst Severity
		text  string
	}{
		{0, Fine, "agrees with that of the master m"}, {-30 * time.Second, Warning, "differs from this one by"}, {10 * time.Minute, Error, "10m0s"},
	} {
		b := newHome(t, func(s *home.Spec) { s.Role, s.Name, s.Master = "worker", "w1", "127.0.0.1" })
		commands := answers(strings.ReplaceAll(asConfigured, "m", "w1"))
		commands.Why = func(context.Context, []byte) ([]byte, error) {
			return json.Marshal(map[string]any{"reports": []why.Report{{ToldBy: "w1", At: time.Now().Add(time.Hour)}, {ToldBy: "m", At: time.Now().Add(c.ahead)}}})
		}
		b.serve(commands)
		r := Examine(t.Context(), b.dir)
		wants(t, r, "clock", c.worst, c.text, map[bool]string{true: "", false: "NTP"}[c.worst == Fine])
	}
}

func TestSkew(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ other, asked, answered, want time.Duration }{
		{0, -1, 1, 0}, {5, 0, 2, 3}, {-5, 0, 2, -5},
	} {
		if got := skew(now.Add(c.other), now.Add(c.asked), now.Add(c.answered)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestJudge(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		free, total int64
		want        Severity
	}{
		{0, 0, Fine}, {500 * gib, 1000 * gib, Fine}, {9 * gib, 1000 * gib, Warning}, {gib / 2, 1000 * gib, Error}, {0, 1000 * gib, Error},
		{gib / 2, 2 * gib, Fine}, {gib / 10, 2 * gib, Warning}, {30 << 20, 2 * gib, Error}, {60 << 20, 100 << 20, Fine}, {1 << 20, 100 << 20, Error},
	} {
		if got := judge(c.free, c.total, roomWarning, roomError); got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.free, c.total, got, c.want)
		}
	}
}

func TestSpace(t *testing.T) {
	var x exam
	x.space(".", space{free: 1 << 20, total: 1 << 40, freeInodes: 3, totalInodes: 1 << 20})
	wants(t, x.Report, "", Error, "The file system of the home has 1.0 MiB of 1.0 TiB left.", "Make room")
	wants(t, x.Report, "", Error, "room for 3 more files", "Make room")
}

func TestParseLimits(t *testing.T) {
	head := "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \n"
	for text, want := range map[string]uint64{
		head + "Max open files            1024                 4096                 files     \n": 1024,
		head + "Max open files            unlimited            unlimited            files     \n": 1 << 62,
		head: 0, "Max open files": 0, "Max open files x y files": 0,
	} {
		if got := parseLimits([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:1516": "localhost:1516", ":1": "localhost:1", "[::]:1": "localhost:1", "192.0.2.1:1": "192.0.2.1:1", "x": "x"} {
		if got := reachable(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
