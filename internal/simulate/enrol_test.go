package simulate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
)

// port is a server that gives keys after some time.
type port struct {
	takes  func(i int) time.Duration
	refuse func(server, name string) error

	mu    sync.Mutex
	asked int
	ids   int
	open  int
	most  int
}

func (p *port) ask(ctx context.Context, server, name string) (agent.Key, error) {
	p.mu.Lock()
	i := p.asked
	p.asked++
	p.open++
	p.most = max(p.most, p.open)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open--
	}()
	if p.takes != nil {
		select {
		case <-time.After(p.takes(i)):
		case <-ctx.Done():
			return agent.Key{}, ctx.Err()
		}
	}
	if p.refuse != nil {
		if err := p.refuse(server, name); err != nil {
			return agent.Key{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids++
	id := agent.ID(p.ids)
	return agent.Key{ID: id, Text: id.String(), Name: name, Address: "any", Secret: agent.NewSecret("key-" + id.String())}, nil
}

func run(ctx context.Context, t *testing.T, o EnrolOptions, p *port) (*Enrolment, EnrolReport) {
	t.Helper()
	o.ask = p.ask
	e, err := NewEnrolment(o)
	if err != nil {
		t.Fatal(err)
	}
	e.Run(ctx)
	return e, e.Report()
}

func TestEnrolment_KeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &port{takes: func(int) time.Duration { return 20 * time.Millisecond }}
		var told []EnrolStatus
		o := EnrolOptions{Servers: []string{"a", "b"}, Count: 400, Rate: 100, Mark: "1f", Status: func(s EnrolStatus) { told = append(told, s) }}
		_, r := run(t.Context(), t, o, p)
		if r.Enrolled != 400 || r.Problem != "" || r.Seconds < 3.99 || r.Seconds > 4.02 || r.Achieved < 99 || r.Late != 0 {
			t.Errorf("got %+v", r)
		}
		if r.Latency.P50 != 20 || r.Latency.Max != 20 || r.Latency.Samples != 400 {
			t.Errorf("latency %+v", r.Latency)
		}
		if r.Servers[0].Enrolled != 200 || r.Servers[1].Enrolled != 200 {
			t.Errorf("servers %+v", r.Servers)
		}
		if len(told) != 4 || told[0].Begun < 95 || told[0].Open < 1 {
			t.Errorf("told %+v", told)
		}
	})
}

// While a server hangs the agents that should have begun meanwhile wait, too: that
// is in their times.
func TestEnrolment_TimeCountsFromTheIntendedBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &port{takes: func(i int) time.Duration {
			if i == 0 {
				return time.Second
			}
			return 0
		}}
		_, r := run(t.Context(), t, EnrolOptions{Servers: []string{"a"}, Count: 200, Rate: 100, Clients: 1}, p)
		if r.Latency.Max != 1000 || r.Latency.P50 < 1 || r.Latency.P90 < 500 || r.Late < 980 || p.most != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestEnrolment_ClientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &port{takes: func(int) time.Duration { return 10 * time.Millisecond }}
		_, r := run(t.Context(), t, EnrolOptions{Servers: []string{"a"}, Count: 100, Clients: 7}, p)
		if p.most != 7 || r.Enrolled != 100 {
			t.Errorf("%d at a time, %+v", p.most, r)
		}
	})
}

func TestEnrolment_TriesTheNextServerAndCountsTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &port{refuse: func(server, name string) error {
			if server == "a" {
				return fmt.Errorf("refused: Duplicate agent name: %s", name)
			}
			return nil
		}}
		o := EnrolOptions{Servers: []string{"a", "b"}, Count: 10, Tries: 2, Pause: time.Second, Clients: 1}
		_, r := run(t.Context(), t, o, p)
		if r.Enrolled != 10 || r.GaveUp != 0 || r.Failures["refused: Duplicate agent name: NAME"] != 5 || r.Seconds != 5 {
			t.Errorf("got %+v", r)
		}
		o.Tries = 1
		_, r = run(t.Context(), t, o, p)
		if r.Enrolled != 5 || r.GaveUp != 5 || r.Problem != "5 of 10 agents got no key" {
			t.Errorf("got %+v", r)
		}
	})
}

// What is asked when a run ends is answered; no other agent begins.
func TestEnrolment_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &port{takes: func(int) time.Duration { return 300 * time.Millisecond }}
		o := EnrolOptions{Servers: []string{"a"}, Count: 1000, Rate: 10, Duration: 950 * time.Millisecond}
		_, r := run(t.Context(), t, o, p)
		if r.Enrolled != 10 || r.Agents != 10 || r.Problem != "" {
			t.Errorf("by duration: %+v", r)
		}
		o.Duration = 0
		ctx, cancel := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		_, r = run(ctx, t, o, p)
		if r.Enrolled != 11 || r.Agents != 11 {
			t.Errorf("by context: %+v", r)
		}
	})
}

func TestEnrolment_Wrong(t *testing.T) {
	for name, o := range map[string]EnrolOptions{
		"no server": {Count: 1}, "no agent": {Servers: []string{"a"}}, "rate": {Servers: []string{"a"}, Count: 1, Rate: -1},
		"mark": {Servers: []string{"a"}, Count: 1, Mark: "x"}, "clients": {Servers: []string{"a"}, Count: 1, Clients: 5000},
		"tries": {Servers: []string{"a"}, Count: 1, Tries: 101}, "times": {Servers: []string{"a"}, Count: 1, Pause: -1},
	} {
		if _, err := NewEnrolment(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEnrolment_OtherAgentsKeyAndTwiceTheSameID(t *testing.T) {
	e, err := NewEnrolment(EnrolOptions{
		Servers: []string{"a"}, Count: 4, Clients: 1, Mark: "aa",
		ask: func(_ context.Context, _, name string) (agent.Key, error) {
			if name == "sim-enrol-aa-0" {
				name = "other"
			}
			return agent.Key{ID: 5, Name: name}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Run(t.Context())
	r := e.Report()
	if r.Twice != 1 || r.Failures[errOtherName.Error()] != 1 || r.Problem != "1 ids were given twice" {
		t.Errorf("got %+v", r)
	}
}

func TestOutcomes(t *testing.T) {
	for want, err := range map[string]error{
		"no answer in time": fmt.Errorf("enrol: %w", context.DeadlineExceeded),
		"dial: connection refused": &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 40000}, Err: errors.New("connection refused"),
		},
		"ERROR: Duplicate agent name: NAME": errors.New("ERROR: Duplicate agent name: sim-enrol-1-2"),
		strings.Repeat("x", outcomeBytes):   errors.New(strings.Repeat("x", 5000)),
	} {
		if got := outcomeOf(err, "sim-enrol-1-2"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var tally enrolTally
	tally.init(EnrolOptions{Servers: []string{"a"}})
	for i := range 1000 {
		tally.failed(0, fmt.Sprint(i))
	}
	if len(tally.outcomes) != maxOutcomes+1 || tally.outcomes[otherText] != 1000-maxOutcomes {
		t.Errorf("%d texts, %d others", len(tally.outcomes), tally.outcomes[otherText])
	}
}

func TestEnrolName(t *testing.T) {
	for name, want := range map[string]bool{
		enrolName("1f", 12): true, "sim-enrol-1f-0": true, "sim-enrol-1g-0": false, "sim-enrol-1f": false, "sim-enrol--1": false,
		"sim-enrol-1f-x": false, "sim-1": false, "my-sim-enrol-1f-0": false,
	} {
		if isEnrolName(name, "") != want {
			t.Errorf("%s: not %v", name, want)
		}
	}
	if isEnrolName(enrolName("1f", 1), "2f") || !isEnrolName(enrolName("1f", 1), "1f") {
		t.Error("marks are not told apart")
	}
}

func TestEnrolment_KeysInHomes(t *testing.T) {
	p := &port{}
	e, _ := run(t.Context(), t, EnrolOptions{Servers: []string{"a"}, Count: 3, Clients: 1, Mark: "1f"}, p)
	home := func(keys string) string {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "etc/client.keys"), []byte(keys), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	all := home("001 sim-enrol-1f-0 any key-001\n002 sim-enrol-1f-1 any key-002\n003 sim-enrol-1f-2 any key-003\n004 x any k\n")
	some := home("001 sim-enrol-1f-0 any key-001\n002 sim-enrol-1f-1 any other\n003 !sim-enrol-1f-2 any key-003\n")
	if err := e.CheckHomes(t.Context(), []string{all, some}, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r := e.Report()
	if h := r.Homes[0]; h.Have != 3 || h.Missing+h.Other != 0 {
		t.Errorf("got %+v", h)
	}
	if h := r.Homes[1]; h.Have != 1 || h.Missing != 1 || h.Other != 1 {
		t.Errorf("got %+v", h)
	}
	if r.Problem != "1 keys are missing in the homes, 1 are others" {
		t.Errorf("problem %q", r.Problem)
	}
}
