package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"testudo/internal/fault"
)

// output is a log that several goroutines write.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// pool makes one whose program is this test binary.
func pool(t *testing.T, change func(*Config)) (*Pool, *output) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	path := filepath.Join(home, program)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	log := new(output)
	cfg := Config{Program: path, Home: home, Pause: time.Nanosecond, Log: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&cfg)
	}
	p := New(cfg)
	t.Cleanup(p.Close)
	return p, log
}

// request is one for the program, which does what it says.
func request(do, text string, size int) []byte {
	quoted, _ := json.Marshal(text) // a text
	return fmt.Appendf(nil, `{"f": {"__callable__": {"__name__": "clear", "__module__": "wazuh.syscheck", "__qualname__": "clear", "__type__": "function"}},`+
		`"f_kwargs": {"do": %q, "text": %s, "size": %d}}`, do, quoted, size)
}

// pid asks which process answers.
func pid(t *testing.T, p *Pool) int {
	t.Helper()
	var answer struct {
		PID  int    `json:"pid"`
		Home string `json:"home"`
	}
	data, err := p.Run(t.Context(), request("pid", "", 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.Home != p.cfg.Home {
		t.Fatalf("%s, %v", data, err)
	}
	return answer.PID
}

func TestRun_OneProcessAnswersMany(t *testing.T) {
	p, _ := pool(t, nil)
	first := pid(t, p)
	for _, text := range []string{"", "x", strings.Repeat("long ", 1<<18)} {
		got, err := p.Run(t.Context(), request("", text, 0))
		if string(got) != text || err != nil {
			t.Errorf("%.20q, %v", got, err)
		}
	}
	if again := pid(t, p); again != first {
		t.Errorf("process %d, then %d", first, again)
	}
}

// No more processes than allowed are there, whoever waits.
func TestRun_Bounded(t *testing.T) {
	p, _ := pool(t, func(c *Config) { c.Processes = 2 })
	var mu sync.Mutex
	pids := map[int]bool{}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			n := pid(t, p)
			mu.Lock()
			defer mu.Unlock()
			pids[n] = true
		})
	}
	asking.Wait()
	if len(pids) > 2 {
		t.Errorf("%d processes", len(pids))
	}
}

// Who waits for a process gives up when his time is over.
func TestRun_WaitsNoLongerThanItsTime(t *testing.T) {
	p, _ := pool(t, func(c *Config) { c.Processes = 1 })
	pid(t, p)
	busy, stop := context.WithCancel(t.Context())
	defer stop()
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = p.Run(busy, request("deaf", "", 0)) })
	for len(p.slots) == 0 {
		runtime.Gosched()
	}
	late, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, fault.New(fault.APITimeout, nil))
	defer cancel()
	if _, err := p.Run(late, request("", "x", 0)); !fault.Has(err, fault.APITimeout) {
		t.Error(err)
	}
	stop()
	asking.Wait()
}

// A process that does not answer in time is killed with all that it has started,
// and that is no reason for a pause.
func TestRun_TimeIsOver(t *testing.T) {
	for _, do := range []string{"hang", "deaf"} {
		p, _ := pool(t, func(c *Config) { c.Pause = time.Hour })
		before := pid(t, p)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, fault.New(fault.APITimeout, nil))
		_, err := p.Run(ctx, request(do, "", 0))
		cancel()
		if !fault.Has(err, fault.APITimeout) {
			t.Errorf("%s: %v", do, err)
		}
		if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: the process is still there: %v", do, err)
		}
		if after := pid(t, p); after == before {
			t.Errorf("%s: the same process answers", do)
		}
	}
}

func TestRun_Fails(t *testing.T) {
	tests := []struct {
		name    string
		request []byte
		change  func(*Config)
		code    fault.Code
	}{
		{"it dies", request("die", "", 0), nil, fault.PoolBroken},
		{"it dies in the middle of an answer", request("half", "", 0), nil, fault.PoolBroken},
		{"a long answer", request("long", "", 2000), func(c *Config) { c.AnswerBytes = 1999 }, fault.Unspecified},
		{"it is not there", request("", "x", 0), func(c *Config) { c.Program += "-not" }, fault.PoolUnusable},
		{"it is a directory", request("", "x", 0), func(c *Config) { c.Program = c.Home }, fault.PoolUnusable},
	}
	if runtime.GOOS == "linux" {
		tests = append(tests, struct {
			name    string
			request []byte
			change  func(*Config)
			code    fault.Code
		}{"too much memory", request("eat", "", 2<<30), func(c *Config) { c.MemoryBytes = 512 << 20 }, fault.PoolBroken})
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p, log := pool(t, tc.change)
			if _, err := p.Run(t.Context(), tc.request); !fault.Has(err, tc.code) {
				t.Errorf("%v, want %d", err, tc.code)
			}
			if !strings.Contains(log.String(), "program") {
				t.Errorf("not logged: %s", log)
			}
			if tc.code == fault.PoolUnusable {
				return
			}
			if got, err := p.Run(t.Context(), request("", "again", 0)); string(got) != "again" || err != nil {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

// After a failure none is started for a while, which grows.
func TestRun_Pause(t *testing.T) {
	p, _ := pool(t, func(c *Config) { c.Pause, c.PauseMax = time.Hour, 3*time.Hour })
	if _, err := p.Run(t.Context(), request("die", "", 0)); !fault.Has(err, fault.PoolBroken) {
		t.Fatal(err)
	}
	if _, err := p.Run(t.Context(), request("", "x", 0)); !fault.Has(err, fault.PoolUnusable) {
		t.Error(err)
	}
	var pauses []time.Duration
	for range 3 {
		p.failed()
		pauses = append(pauses, time.Until(p.resume).Round(time.Hour))
	}
	if got := fmt.Sprint(pauses); got != "[2h0m0s 3h0m0s 3h0m0s]" {
		t.Error(got)
	}
	p.resume = time.Time{}
	pid(t, p)
	if p.failures != 0 {
		t.Error("an answer does not end the pauses")
	}
}

// What the program writes to its standard error is in the log, in bounds.
func TestRun_StandardError(t *testing.T) {
	p, log := pool(t, nil)
	for i := range 200 {
		if _, err := p.Run(t.Context(), request("shout", fmt.Sprintf("line %d\x1b[2J ", i), 500)); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	text := log.String()
	if !strings.Contains(text, "line 0") || strings.Contains(text, "\x1b") {
		t.Errorf("%.300q", text)
	}
	if lines := strings.Count(text, "The program says"); lines > 65 || len(text) > 200<<10 {
		t.Errorf("%d lines, %d bytes", lines, len(text))
	}
}

// Processes that nobody needs are ended.
func TestServe_EndsIdle(t *testing.T) {
	p, _ := pool(t, func(c *Config) { c.IdleTime = 20 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	n := pid(t, p)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for soon := time.Now().Add(time.Minute); syscall.Kill(n, 0) == nil; <-tick.C {
		if time.Now().After(soon) {
			t.Fatal("it is still there")
		}
	}
	if again := pid(t, p); again == n {
		t.Error("the same process answers")
	}
	cancel()
	serving.Wait()
	if _, err := p.Run(t.Context(), request("", "x", 0)); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// The end of the pool ends what runs in it.
func TestClose_WhileItWorks(t *testing.T) {
	p, _ := pool(t, nil)
	n := pid(t, p)
	var asking sync.WaitGroup
	asking.Go(func() {
		if _, err := p.Run(t.Context(), request("hang", "", 0)); !errors.Is(err, errClosed) {
			t.Error(err)
		}
	})
	for len(p.slots) == 0 {
		runtime.Gosched()
	}
	p.Close()
	asking.Wait()
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}
