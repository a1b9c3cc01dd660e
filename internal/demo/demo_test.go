package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"testudo/internal/cli"
	"testudo/internal/demo"
	"testudo/internal/screen"
)

// TestMain is also the program whose nodes the demonstration runs.
func TestMain(m *testing.M) {
	if os.Args[0] == "testudo" {
		os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	goleak.VerifyTestMain(m)
}

// transcript keeps what is shown and lets a test wait for it.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced when there is more
	over chan struct{} // closed when nothing more will come
}

func newTranscript() *transcript {
	return &transcript{more: make(chan struct{}), over: make(chan struct{})}
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.more)
	s.more = make(chan struct{})
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// wait returns what matches, once something does.
func (s *transcript) wait(t *testing.T, pattern string) []string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for {
		s.mu.Lock()
		found, more := want.FindStringSubmatch(s.text.String()), s.more
		s.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-more:
		case <-s.over:
			if found := want.FindStringSubmatch(s.String()); found != nil {
				return found
			}
			t.Fatalf("no %s in:\n%s", pattern, s)
		}
	}
}

// start runs a demonstration in a directory that must be empty at the end.
func start(ctx context.Context, t *testing.T, o demo.Options) (shown *transcript, wait func() (demo.Result, error)) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "demo") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	shown = newTranscript()
	o.Screen, o.Workers, o.Command = screen.New(shown), 2, "testudo"
	var result demo.Result
	var task sync.WaitGroup
	task.Go(func() {
		defer close(shown.over)
		result, err = demo.Run(ctx, o)
	})
	return shown, func() (demo.Result, error) {
		task.Wait()
		left, readErr := os.ReadDir(dir)
		if readErr != nil || len(left) > 0 && !o.Keep {
			t.Errorf("left behind: %v, %v", left, readErr)
		}
		return result, err
	}
}

func TestDemo_Once(t *testing.T) {
	shown, wait := start(t.Context(), t, demo.Options{Once: true})
	r, err := wait()
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if !r.Converged || r.Problem != "" || r.Workers != 2 || r.Files < 1 || len(r.Changed) != 2 || r.Homes != "" {
		t.Errorf("got %+v", r)
	}
	if r.Agents["worker1"] != 11 || r.Agents["worker2"] != 13 {
		t.Errorf("agents: %v", r.Agents)
	}
	if c := r.Call; c == nil || c.Delivered <= 0 || c.Answered <= 0 || len(c.Path) != 3 ||
		c.Path[0].Node != "worker1" || c.Path[1].Node != "master" || c.Path[2].Node != "worker2" || c.Path[0].Took < c.Path[2].Took {
		t.Errorf("call: %+v", c)
	}
	if e := r.Enrolled; e == nil || e.Agent != "025" || e.Node != "worker1" || e.Answered <= 0 || len(e.Known) != 3 {
		t.Errorf("enrolled: %+v", e)
	}
	for name, ms := range map[string]float64{
		"ready": r.Ready, "changed": r.Changed["worker1"], "healed": r.Healed, "returned": r.Returned, "took": r.Took,
		"reported": r.Reported, "moved": r.Moved, "assigned": r.Assigned["worker2"],
		"known": r.Enrolled.Known["worker2"],
	} {
		if ms <= 0 || ms > 60_000 {
			t.Errorf("%s took %v ms", name, ms)
		}
	}
	for _, want := range []string{
		"12 agents report to worker1", "moves from worker1 to worker2", "restarted, which reports to worker2", "knew the agent's node", "the message was there after", "All 24 agents are the same on all 3 nodes",
		"tortoise-01, asks worker1 for a key", "it is agent 025 and has its key after", "SHA-256 of its key",
		"arrived at worker1 after", "arrived at worker2 after", "healed on worker1 after", "worker2 is back", "the same on all 3 nodes",
	} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("no %q in:\n%s", want, shown)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestDemo_InterruptedLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown, wait := start(ctx, t, demo.Options{Once: true})
	pid := shown.wait(t, `worker1 is ready \(process (\d+)`)[1]
	cancel()
	r, err := wait()
	if !errors.Is(err, context.Canceled) || r.Converged || r.Problem == "" {
		t.Errorf("got %+v, %v", r, err)
	}
	process, convErr := strconv.Atoi(pid)
	if convErr != nil {
		t.Fatal(convErr)
	}
	if err := syscall.Kill(process, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", process, err)
	}
}

// After the show a user may do anything, such as kill a worker or spoil a file.
func TestDemo_GoesOnUntilTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shown, wait := start(ctx, t, demo.Options{Keep: true})
	found := shown.wait(t, `kill -9  (\d+) `)
	shown.wait(t, "Ctrl-C ends all of it")
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	shown.wait(t, `worker1 has ended`)
	shown.wait(t, `(?s)worker1 has ended.*worker1 is in step again`)
	cancel()
	r, err := wait()
	if err != nil || !r.Converged {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := os.Stat(r.Homes + "/master/etc/ossec.conf"); err != nil {
		t.Errorf("the homes were to be kept: %v", err)
	}
}

func TestDemo_NodesThatCannotStart(t *testing.T) {
	shown, wait := start(t.Context(), t, demo.Options{Once: true, Program: "/bin/false"})
	r, err := wait()
	if err == nil || r.Converged || !strings.Contains(r.Problem, "start the nodes") {
		t.Errorf("got %+v, %v\n%s", r, err, shown)
	}
}
