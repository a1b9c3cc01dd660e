package wdb

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
)

// external is an External of a database of our own, or of the original's.
func external(t *testing.T, socket string) *External {
	c := Dial(socket, ClientOptions{})
	t.Cleanup(func() { _ = c.Close() })
	return NewExternal(c, nil)
}

func TestExternal_OverOurOwnServer(t *testing.T) {
	checkExternal(t, external(t, newWorld(t, Options{SQLWrites: true}).socket))
}

func TestReference_External(t *testing.T) { checkExternal(t, external(t, reference(t))) }

// checkExternal is what a node does with a database in its first minutes.
func checkExternal(t *testing.T, e *External) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const agents = 600
	var adding errgroup.Group
	for id := agent.ID(1); id <= agents; id++ {
		adding.Go(func() error {
			return e.AddAgent(ctx, agent.Key{ID: id, Name: fmt.Sprintf("agent-%d", id), Address: "any", Secret: agent.NewSecret("k")}, 5)
		})
	}
	must(adding.Wait())
	must(e.UpdateSelf(ctx, map[string]string{"node_name": "m1", "connection_status": "active", "group_config_status": "synced"}))
	must(e.RenameAgent(ctx, 0, "host"))
	must(e.InsertGroup(ctx, "default"))
	must(e.InsertGroup(ctx, "web"))
	must(e.SetSyncGroups(ctx, []byte(`[{"id":1,"groups":["default","web"]},{"id":2,"groups":["web"]}]`)))
	must(e.UpdateKeepalive(ctx, 7, "active", "syncreq"))
	must(e.DeleteAgent(ctx, agents))

	seen := 0
	must(e.EachAgent(ctx, func(id agent.ID, name string) {
		if want := fmt.Sprintf("agent-%d", id); id > 0 && name != want || id == 0 && name != "host" {
			t.Errorf("agent %d is called %q", id, name)
		}
		seen++
	}))
	nodes := map[agent.ID]string{}
	note := func(id agent.ID, node string) { nodes[id] = node }
	must(e.EachNode(ctx, []agent.ID{0, 7, 9999}, note))
	if len(nodes) != 2 || nodes[0] != "m1" || nodes[7] != "unknown" {
		t.Errorf("nodes of two agents: %v", nodes)
	}
	must(e.EachNode(ctx, nil, note))
	if len(nodes) != agents {
		t.Errorf("nodes of %d agents", len(nodes))
	}
	if seen != agents {
		t.Errorf("%d agents", seen)
	}
	names, err := e.GroupNames(ctx)
	must(err)
	groups, err := e.GroupsOf(ctx, []agent.ID{1, 2, 3})
	must(err)
	counts, err := e.CountAgents(ctx)
	must(err)
	if diff := cmp.Diff([]string{"default", "web"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[agent.ID][]string{1: {"default", "web"}, 2: {"web"}, 3: nil}, groups); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]map[agent.Status]int{"unknown": {agent.Active: 1, agent.NeverConnected: agents - 2}}, counts); diff != "" {
		t.Error(diff)
	}
	hash, ok, err := e.GroupsHash(ctx)
	if err != nil || !ok || len(hash) != 40 {
		t.Errorf("%q, %v, %v", hash, ok, err)
	}
	checkPending(t, e)
	list, more, err := e.DisconnectAgents(ctx, 0, 1<<31-1, "synced")
	if err != nil || more || string(list) != `[{"id":7}]` {
		t.Errorf("%s, %v, %v", list, more, err)
	}
	must(e.RemoveFiles(ctx, []agent.ID{agents}))
}

func checkPending(t *testing.T, e *External) {
	t.Helper()
	ctx := t.Context()
	count := func(wanted int) func(context.Context) error {
		t.Helper()
		chunks, _, confirm, err := e.PendingInfo(ctx, 10000)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, c := range chunks {
			n, _, err := countAgents(c)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if got != wanted {
			t.Errorf("%d agents are to be sent, want %d", got, wanted)
		}
		return confirm
	}
	count(1)
	if err := count(1)(ctx); err != nil {
		t.Fatal(err)
	}
	count(0)
	if err := e.ReportAll(ctx, "unknown"); err != nil {
		t.Fatal(err)
	}
	if err := count(599)(ctx); err != nil {
		t.Fatal(err)
	}
	count(0)
	all, err := e.AllGroups(ctx)
	if err != nil || len(all) == 0 {
		t.Errorf("%d chunks of groups, %v", len(all), err)
	}
}
