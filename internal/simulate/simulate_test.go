package simulate_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"testudo/internal/agentdb"
	"testudo/internal/nodedb"
	"testudo/internal/shortdir"
	"testudo/internal/simulate"
	"testudo/internal/wdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// base is a served database without a node.
type base struct {
	name, socket string
	store        *agentdb.Store
}

// serve makes and serves a database for the time of a test.
func serve(t *testing.T, name string, master bool) base {
	t.Helper()
	dir := shortdir.New(t)
	if err := os.MkdirAll(filepath.Join(dir, "queue/db"), 0o750); err != nil {
		t.Fatal(err)
	}
	store, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(dir, nodedb.FilePath), Master: master, AllowWrites: true})
	if err != nil {
		t.Fatal(err)
	}
	b := base{name: name, socket: filepath.Join(dir, nodedb.SocketPath), store: store}
	server := wdb.NewServer(b.store, nil, wdb.Options{Path: b.socket, UID: -1, GID: -1, SQLWrites: true})
	ln, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = b.store.Run(ctx) })
	tasks.Go(func() { _ = server.Serve(ctx, ln) })
	t.Cleanup(func() {
		stop()
		tasks.Wait()
		b.store.Close()
	})
	conn, err := nodedb.Dial(t.Context(), b.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Do(t.Context(), "global sql UPDATE agent SET node_name = '"+name+"' WHERE id = 0"); err != nil {
		t.Fatal(err)
	}
	return b
}

// exchange does what the exchanges of a cluster do, until the end of the test.
func exchange(t *testing.T, master base, workers ...base) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() {
		turn := time.NewTicker(20 * time.Millisecond)
		defer turn.Stop()
		for {
			for _, w := range workers {
				if chunks, _, confirm, err := w.store.PendingInfo(ctx, 10_000); err == nil {
					for _, c := range chunks {
						_ = master.store.SetSyncInfo(ctx, c)
					}
					_ = confirm(ctx)
				}
			}
			if chunks, confirm, err := master.store.PendingGroups(ctx); err == nil {
				for _, c := range chunks {
					for _, w := range workers {
						_ = w.store.SetSyncGroups(ctx, groupsIn(c))
					}
				}
				_ = confirm(ctx)
			}
			select {
			case <-turn.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		stop()
		task.Wait()
	})
}

// groupsIn takes the list out of [{"data":[…],"hash":…}].
func groupsIn(chunk []byte) []byte {
	var elements []struct{ Data json.RawMessage }
	if err := json.Unmarshal(chunk, &elements); err != nil || len(elements) == 0 {
		return []byte("[]")
	}
	return elements[0].Data
}

func options(bases ...base) simulate.Options {
	o := simulate.Options{
		Count: 60, Keepalive: 100 * time.Millisecond, Churn: 1, Groups: 4, Duration: 1500 * time.Millisecond, Seed: 1, Connections: 4,
		Patience: 20 * time.Second, Setup: 20 * time.Second,
	}
	for _, b := range bases {
		o.Nodes = append(o.Nodes, b.socket)
	}
	return o
}

// simulated goes through a whole simulation.
func simulated(t *testing.T, o simulate.Options) simulate.Report {
	t.Helper()
	s, err := simulate.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, part := range []func(context.Context) error{s.Prepare, s.Run, s.Settle} {
		if err := part(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s.Report()
}

func TestSimulation_Converges(t *testing.T) {
	master, w1, w2 := serve(t, "m", true), serve(t, "w1", false), serve(t, "w2", false)
	exchange(t, master, w1, w2)
	o := options(master, w1, w2)
	o.Count, o.Churn = 200, 1
	var steps []string
	o.Step = func(text string) { steps = append(steps, text) }
	r := simulated(t, o)
	if !r.Converged || r.Wrong != 0 || r.Refused != 0 {
		t.Fatalf("%+v", r)
	}
	if r.Agents != 200 || r.Groups != 4 || len(r.Nodes) != 3 || r.Nodes[0] != "m" || r.Connected < 200 {
		t.Errorf("%+v", r)
	}
	if r.StateLag.Samples == 0 || r.StateLag.P50 <= 0 || r.StateLag.Max < r.StateLag.P99 || r.Achieved <= 0 {
		t.Errorf("not measured: %+v", r)
	}
	if len(steps) != 5 {
		t.Errorf("steps: %q", steps)
	}
	// Another run takes the same agents.
	if r := simulated(t, o); !r.Converged {
		t.Errorf("again: %+v", r)
	}
	counts, err := master.store.Counts(t.Context())
	if err != nil || counts.Total != 200 {
		t.Errorf("%d agents, %v", counts.Total, err)
	}
}

// A cluster that hands nothing on is found out.
func TestSimulation_DoesNotConverge(t *testing.T) {
	master, w1 := serve(t, "m", true), serve(t, "w1", false)
	o := options(master, w1)
	o.Patience, o.Duration, o.Groups, o.Churn = 2*time.Second, 300*time.Millisecond, 0, 0
	r := simulated(t, o)
	if r.Converged || r.Wrong == 0 || len(r.Examples) == 0 || r.StateLag.Late == 0 || r.Problem == "" {
		t.Errorf("%+v", r)
	}
	if want := "m says of agent 001: reports to unknown, not w1"; r.Examples[0] != want && !strings.Contains(r.Examples[0], "groups") {
		t.Errorf("got %q, want %q", r.Examples[0], want)
	}
}

// Only what carries the mark is removed.
func TestCleanup(t *testing.T) {
	master, w1 := serve(t, "m", true), serve(t, "w1", false)
	exchange(t, master, w1)
	for _, b := range []base{master, w1} {
		conn, err := nodedb.Dial(t.Context(), b.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, command := range []string{
			`insert-agent {"id":7,"name":"sim-7","date_add":1,"internal_key":"real"}`,
			`insert-agent {"id":8,"name":"web-01","date_add":1,"internal_key":"7465737475646f2d73696d"}`,
			"insert-agent-group web", "insert-agent-group sim-group-x",
		} {
			if err := conn.Do(t.Context(), "global "+command); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := options(master, w1)
	o.Duration = 300 * time.Millisecond
	if r := simulated(t, o); !r.Converged {
		t.Fatalf("%+v", r)
	}
	removed, err := simulate.Cleanup(t.Context(), o)
	if err != nil || removed.Agents != 60 || removed.Groups != 4 || len(removed.Left) > 0 {
		t.Fatalf("%+v, %v", removed, err)
	}
	for _, b := range []base{master, w1} {
		list, total, err := b.store.Agents(t.Context(), agentdb.Filter{})
		if err != nil || total != 2 || list[0].ID != 7 || list[1].ID != 8 {
			t.Errorf("%s: %+v, %v", b.name, list, err)
		}
		page, err := b.store.Groups(t.Context())
		if err != nil || !strings.Contains(string(page.JSON), "sim-group-x") || strings.Contains(string(page.JSON), "sim-group-0") {
			t.Errorf("%s: %s, %v", b.name, page.JSON, err)
		}
	}
}

// The end of the context ends the writing, not the judgement.
func TestSimulation_Interrupted(t *testing.T) {
	master, w1 := serve(t, "m", true), serve(t, "w1", false)
	exchange(t, master, w1)
	o := options(master, w1)
	o.Duration = 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Status = func(simulate.Status) { cancel() }
	s, err := simulate.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Run(ctx), s.Settle(t.Context())); err != nil || !s.Report().Converged {
		t.Errorf("%+v, %v", s.Report(), err)
	}
}

func TestNew_Refused(t *testing.T) {
	master := serve(t, "m", true)
	dead := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*simulate.Options)
		want   string
	}{
		"no nodes":     {func(o *simulate.Options) { o.Nodes = nil }, "1 to 64 nodes"},
		"one twice":    {func(o *simulate.Options) { o.Nodes = append(o.Nodes, o.Nodes[0]) }, "both called m"},
		"a file":       {func(o *simulate.Options) { o.Nodes = []string{dead} }, "neither the home of a node nor a socket"},
		"no agents":    {func(o *simulate.Options) { o.Count = 0 }, "agents"},
		"much churn":   {func(o *simulate.Options) { o.Churn = 2 }, "churn"},
		"no time":      {func(o *simulate.Options) { o.Keepalive = 0 }, "100 ms"},
		"many sockets": {func(o *simulate.Options) { o.Connections = 1000 }, "64 connections"},
	} {
		o := options(master)
		c.change(&o)
		if _, err := simulate.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One thing at a time: agents connect, one moves, one gets another group.
func TestSimulation_ByHand(t *testing.T) {
	master, w1, w2 := serve(t, "m", true), serve(t, "w1", false), serve(t, "w2", false)
	exchange(t, master, w1, w2)
	s, err := simulate.New(t.Context(), options(master, w1, w2))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(s.Prepare(t.Context()), s.Connect(t.Context()), s.Beat(t.Context())); err != nil {
		t.Fatal(err)
	}
	ids := s.Agents("w1")
	if len(ids) != 30 {
		t.Fatalf("%d agents on w1", len(ids))
	}
	if took, err := s.Move(t.Context(), ids[0], "w2"); err != nil || took <= 0 {
		t.Errorf("moved after %v, %v", took, err)
	}
	if len(s.Agents("w1")) != 29 {
		t.Errorf("%d agents on w1 after the move", len(s.Agents("w1")))
	}
	var arrived []string
	if err := s.Regroup(t.Context(), ids[1], 3, func(node string, _ time.Duration) { arrived = append(arrived, node) }); err != nil {
		t.Error(err)
	}
	if len(arrived) != 2 {
		t.Errorf("arrived at %q", arrived)
	}
	if err := s.Settle(t.Context()); err != nil || !s.Report().Converged {
		t.Errorf("%+v, %v", s.Report(), err)
	}
	if _, err := s.Move(t.Context(), ids[0], "nowhere"); !errors.Is(err, simulate.ErrNoNode) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Move(t.Context(), 4711, "w2"); !errors.Is(err, simulate.ErrNoAgent) {
		t.Errorf("got %v", err)
	}
}
