package census

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/health"
	"testudo/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a database of agents.
type table struct {
	mu    sync.Mutex
	seen  map[agent.ID]time.Time
	state map[agent.ID]agent.Status
	node  map[agent.ID]string
	calls []string // of DisconnectAgents
	err   error
	stuck bool
}

func newTable(n int, node string) *table {
	t := &table{seen: map[agent.ID]time.Time{}, state: map[agent.ID]agent.Status{}, node: map[agent.ID]string{}}
	for id := range agent.ID(n) {
		t.seen[id+1], t.state[id+1], t.node[id+1] = time.Now(), agent.Active, node
	}
	return t
}

// keep takes down that agents are alive.
func (t *table) keep(ids ...agent.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.seen[id], t.state[id] = time.Now(), agent.Active
	}
}

const pageRows = 3

func (t *table) DisconnectAgents(_ context.Context, after agent.ID, before int64, sync string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, fmt.Sprintf("%d %s", after, sync))
	if t.err != nil {
		return nil, false, t.err
	}
	if t.stuck {
		return []byte(`[{"id":1}]`), true, nil
	}
	type row struct {
		ID agent.ID `json:"id"`
	}
	rows := []row{}
	for _, id := range slices.Sorted(maps.Keys(t.state)) {
		if id > after && t.seen[id].Unix() < before && (t.state[id] == agent.Active || t.state[id] == agent.Pending) {
			if len(rows) == pageRows {
				page, err := json.Marshal(rows)
				return page, true, err
			}
			t.state[id] = agent.Disconnected
			rows = append(rows, row{id})
		}
	}
	page, err := json.Marshal(rows)
	return page, false, err
}

func (t *table) CountAgents(context.Context) (map[string]map[agent.Status]int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, t.err
	}
	counts := map[string]map[agent.Status]int{}
	for id, state := range t.state {
		if counts[t.node[id]] == nil {
			counts[t.node[id]] = map[agent.Status]int{}
		}
		counts[t.node[id]][state]++
	}
	return counts, nil
}

func (t *table) set(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// running is a Census at work in a bubble of synctest.
func running(t *testing.T, cfg Config) *Census {
	t.Helper()
	c := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return c
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRun_DisconnectsTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newTable(7, "w1")
		c := running(t, Config{Source: db, Silence: 10 * time.Minute})
		after(10*time.Minute - time.Second)
		if len(db.calls) > 0 {
			t.Errorf("looked before its time: %v", db.calls)
		}
		db.keep(7)
		after(time.Second)
		if got := c.Latest().ByState; got[agent.Active] != 7 {
			t.Errorf("silent for exactly as long as allowed: %v", got)
		}
		after(time.Minute)
		want := []string{"0 synced", "0 synced", "3 synced"}
		if got := c.Latest().ByState; got[agent.Active] != 1 || got[agent.Disconnected] != 6 {
			t.Errorf("a minute later: %v", got)
		}
		if diff := cmp.Diff(want, db.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestRun_ShortSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newTable(1, "")
		c := running(t, Config{Source: db, Silence: 2 * time.Second})
		after(5 * time.Second)
		if len(db.calls) != 2 || c.Latest().ByState[agent.Disconnected] != 1 {
			t.Errorf("calls %v, %v", db.calls, c.Latest().ByState)
		}
	})
}

func TestRun_ManyFallSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, board := newTable(20, "w1"), health.New()
		c := running(t, Config{Source: db, Silence: time.Minute, Health: board})
		ids := slices.Collect(maps.Keys(db.state))
		after(70 * time.Second)
		db.keep(ids[:5]...)
		after(51 * time.Second)
		conditions := board.All()
		if len(conditions) != 1 || conditions[0].Name != condition || conditions[0].Detail != "15 of 20 agents fell silent at about the same time." {
			t.Errorf("conditions %+v; %v", conditions, c.Latest().ByState)
		}
		db.keep(ids...)
		after(10 * time.Second)
		if len(board.All()) > 0 {
			t.Errorf("they are back: %+v", board.All())
		}
	})
}

func TestRun_TheSilentThatAreRemovedAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, board := newTable(20, "w1"), health.New()
		running(t, Config{Source: db, Silence: time.Minute, Health: board})
		ids := slices.Sorted(maps.Keys(db.state))
		after(70 * time.Second)
		db.keep(ids[:5]...)
		after(51 * time.Second)
		if len(board.All()) != 1 {
			t.Fatalf("conditions %+v", board.All())
		}
		db.set(func() {
			for _, id := range ids[5:] {
				delete(db.state, id)
			}
		})
		db.keep(ids[:5]...)
		after(10 * time.Second)
		if len(board.All()) > 0 {
			t.Errorf("none of those that are left is silent: %+v", board.All())
		}
	})
}

func TestRun_SurvivesADatabaseThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newTable(3, "w1")
		c := running(t, Config{Source: db, Silence: time.Minute})
		db.set(func() { db.err = errors.New("away") })
		after(3 * time.Minute)
		if got := c.Latest().ByState[agent.Active]; got != 3 {
			t.Errorf("%d active in what was counted last", got)
		}
		db.set(func() { db.err = nil })
		after(2 * time.Minute)
		if got := c.Latest().ByState[agent.Disconnected]; got != 3 {
			t.Errorf("%d disconnected", got)
		}
	})
}

func TestDisconnect_PagesThatDoNotAdvance(t *testing.T) {
	db := newTable(1, "")
	db.stuck = true
	c := New(Config{Source: db})
	if n, err := c.Disconnect(t.Context()); !errors.Is(err, errPages) || n != 2 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestCounts_InMetrics(t *testing.T) {
	db := newTable(3, "w1")
	db.node[3], db.state[3] = "w2", agent.Pending
	db.node[4], db.state[4] = "", agent.NeverConnected
	set := metrics.New("m", "master")
	c := New(Config{Source: db, Metrics: set})
	scrape := func() string {
		c.count(t.Context())
		w := httptest.NewRecorder()
		set.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Body.String()
	}
	got := scrape()
	for _, line := range []string{
		`testudo_agents{state="active"} 2`, `testudo_agents{state="pending"} 1`, `testudo_agents{state="disconnected"} 0`,
		`testudo_agents_by_node{node="w1",state="active"} 2`, `testudo_agents_by_node{node="w1",state="disconnected"} 0`,
		`testudo_agents_by_node{node="unknown",state="never_connected"} 1`, `testudo_agents_by_node{node="w2",state="pending"} 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	db.node[3], db.state[3] = "w1", agent.Disconnected // it has moved
	got = scrape()
	if strings.Contains(got, `node="w2"`) || !strings.Contains(got, `testudo_agents_by_node{node="w1",state="disconnected"} 1`) {
		t.Errorf("after a move:\n%s", got)
	}
}

func TestSumUp_ManyNodes(t *testing.T) {
	byNode := map[string]map[agent.Status]int{"big": {agent.Active: 100}, "none": {agent.Active: 0}}
	for i := range 2 * maxNodes {
		byNode[fmt.Sprint("n", i)] = map[agent.Status]int{agent.Disconnected: 1}
	}
	counts := sumUp(byNode)
	if len(counts.ByNode) != maxNodes+1 || counts.ByNode["big"][agent.Active] != 100 || counts.ByNode["none"] != nil {
		t.Errorf("%d nodes", len(counts.ByNode))
	}
	sum := 0
	for _, states := range counts.ByNode {
		for _, n := range states {
			sum += n
		}
	}
	if sum != counts.Total || sum != 100+2*maxNodes || counts.ByState[agent.Disconnected] != 2*maxNodes {
		t.Errorf("sum %d, total %d, %v", sum, counts.Total, counts.ByState)
	}
}
