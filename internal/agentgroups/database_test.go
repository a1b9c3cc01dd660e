package agentgroups

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
	"testudo/internal/agentinfo"
	"testudo/internal/pairtest"
)

// The databases of this node are what both exchanges work on.
var (
	_ Source           = (*agentdb.Store)(nil)
	_ Sink             = (*agentdb.Store)(nil)
	_ agentinfo.Source = (*agentdb.Store)(nil)
	_ agentinfo.Sink   = (*agentdb.Store)(nil)
)

// newDatabase opens a database with n agents and a few groups.
func newDatabase(t *testing.T, n int, master bool) *agentdb.Store {
	t.Helper()
	s, err := agentdb.Open(t.Context(), agentdb.Options{Path: filepath.Join(t.TempDir(), "global.db"), Master: master})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	for id := 1; id <= n; id++ {
		if err := s.InsertAgent(t.Context(), agentdb.NewAgent{ID: agent.ID(id), Name: fmt.Sprint("agent-", id), DateAdd: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"default", "web", "db"} {
		if err := s.InsertGroup(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// assign changes groups as an administrator does, on the master.
func assign(t *testing.T, s *agentdb.Store, sync string, id agent.ID, groups ...string) {
	t.Helper()
	err := s.SetGroups(t.Context(), agentdb.GroupChange{
		Mode: agentdb.GroupsOverride, Sync: sync, Data: []agentdb.AgentGroups{{ID: id, Groups: groups}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func allOf(t *testing.T, s *agentdb.Store, n int) map[agent.ID][]string {
	t.Helper()
	ids := make([]agent.ID, n)
	for i := range ids {
		ids[i] = agent.ID(i + 1)
	}
	groups, err := s.GroupsOf(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func sameGroups(t *testing.T, master, worker *agentdb.Store, n int) {
	t.Helper()
	want, got := allOf(t, master, n), allOf(t, worker, n)
	for id, groups := range want {
		if !slices.Equal(got[id], groups) {
			t.Errorf("%s has %v, want %v", id, got[id], groups)
		}
	}
	a, _, err := master.GroupsHash(t.Context())
	b, _, otherErr := worker.GroupsHash(t.Context())
	if a != b || err != nil || otherErr != nil {
		t.Errorf("checksums %s, %v and %s, %v", a, err, b, otherErr)
	}
}

// Both exchanges between the databases of real nodes, with groups changed
// behind a worker's back.
func TestDatabases_AgreeInBothDirections(t *testing.T) {
	const n = 300
	for _, plain := range []bool{true, false} {
		t.Run(name(plain), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				master, worker := newDatabase(t, n, true), newDatabase(t, n, false)
				for id := agent.ID(1); id <= n; id++ {
					assign(t, master, "syncreq", id, [][]string{{"default"}, {"default", "web"}, {"db"}}[id%3]...)
					if err := worker.UpdateData(t.Context(), report(id, "w1")); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(2 * time.Second) // an agent of this very second is left out, as in the original
				groups, _ := runMaster(t, master, delayed)
				info := agentinfo.NewMaster(agentinfo.MasterConfig{}, master)
				w := NewWorker(WorkerConfig{Mismatches: 2}, worker)
				states := agentinfo.NewWorker(agentinfo.WorkerConfig{Node: "w1", Agents: 100}, worker)
				masterEnd := pairtest.Of(groups.Offer, info.Offer)
				workerEnd := pairtest.Of(w.Offer, states.Offer)
				_, _, stop := pairtest.Connect(t, "w1", plain, masterEnd, workerEnd)
				pairtest.Quiet(5 * time.Second)
				sameGroups(t, master, worker, n)
				page, err := master.AgentsByStatus(t.Context(), 0, "active", &agentdb.NodeFilter{Node: "w1", Limit: -1})
				if err != nil || len(page.JSON) < 3*n {
					t.Errorf("active agents of w1 on the master: %.80s, %v", page.JSON, err)
				}
				if list, _, _, err := worker.PendingInfo(t.Context(), 10); err != nil || len(list) > 0 {
					t.Errorf("still to be sent: %d chunks, %v", len(list), err)
				}
				stop()
				assign(t, master, "syncreq", 1, "db", "web")
				assign(t, worker, "synced", 2, "db", "default")
				_, end, _ := pairtest.Connect(t, "w1", plain, masterEnd, workerEnd)
				pairtest.Quiet(35 * time.Second)
				sameGroups(t, master, worker, n)
				end.Log.Want(t, "Groups of 1 agents were not the master's: 002 (was db,default, is db)")
			})
		})
	}
}

// report is what an agent's keep-alive brings.
func report(id agent.ID, node string) agentdb.Data {
	p := func(text string) *string { return &text }
	return agentdb.Data{
		ID: id, OSName: p("Debian GNU/Linux"), Version: p("Wazuh v4.7.5"), AgentIP: p("10.0.0.1"),
		NodeName: p(node), ConnectionStatus: p("active"), SyncStatus: p("syncreq"), GroupConfigStatus: p("synced"),
	}
}
