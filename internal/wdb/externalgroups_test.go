package wdb

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

func TestExternal_SetGroups(t *testing.T) {
	checkSetGroups(t, external(t, newWorld(t, Options{SQLWrites: true}).socket))
}

func TestReference_SetGroups(t *testing.T) { checkSetGroups(t, external(t, reference(t))) }

// checkSetGroups changes groups of more agents than one request has room for.
func checkSetGroups(t *testing.T, e *External) {
	t.Helper()
	const agents = 2500
	var adding errgroup.Group
	adding.SetLimit(64)
	for id := agent.ID(1); id <= agents; id++ {
		adding.Go(func() error {
			return e.AddAgent(t.Context(), agent.Key{ID: id, Name: fmt.Sprintf("agent-%d", id), Address: "any", Secret: agent.NewSecret("k")}, 5)
		})
	}
	for _, group := range []string{"default", "web"} {
		if err := e.InsertGroup(t.Context(), group); err != nil {
			t.Fatal(err)
		}
	}
	if err := adding.Wait(); err != nil {
		t.Fatal(err)
	}
	change := agentdb.GroupChange{Mode: agentdb.GroupsOverride, Sync: "syncreq"}
	for id := agent.ID(1); id <= agents; id++ {
		change.Data = append(change.Data, agentdb.AgentGroups{ID: id, Groups: []string{"default", "web"}})
	}
	if err := e.SetGroups(t.Context(), change); err != nil {
		t.Error(err)
	}
	change.Data[0].Groups = []string{"nope"} // in the first request, which is not the last
	if err := e.SetGroups(t.Context(), change); !errors.Is(err, agentdb.ErrSetGroups) {
		t.Errorf("a group that there is not: %v", err)
	}
	if err := e.SetGroups(t.Context(), agentdb.GroupChange{Mode: agentdb.GroupsRemove, Sync: "syncreq",
		Data: []agentdb.AgentGroups{{ID: 2, Groups: []string{"web"}}}}); err != nil {
		t.Error(err)
	}
	groups, err := e.GroupsOf(t.Context(), []agent.ID{2, 3, agents})
	want := map[agent.ID][]string{2: {"default"}, 3: {"default", "web"}, agents: {"default", "web"}}
	if diff := cmp.Diff(want, groups); diff != "" || err != nil {
		t.Error(diff, err)
	}
	var states []string
	note := func(id agent.ID, status agent.Status, version string) {
		states = append(states, fmt.Sprint(id, " ", status, " ", version))
	}
	if err := e.EachState(t.Context(), []agent.ID{2, agents + 1, 3}, note); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"002 never_connected ", "003 never_connected "}, states); diff != "" {
		t.Error(diff)
	}
}
