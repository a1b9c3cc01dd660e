package agentdb

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

func TestEachAgent_InOrderWhateverTheirNumber(t *testing.T) {
	thousands(t)
	s := start(t)
	const n = 2*eachAgents + 5
	insert(t, s, n)
	var seen []agent.ID
	names := map[agent.ID]string{}
	err := s.EachAgent(t.Context(), func(id agent.ID, name string) {
		seen, names[id] = append(seen, id), name
	})
	if err != nil || len(seen) != n+1 {
		t.Fatalf("%d agents, %v; want %d", len(seen), err, n+1)
	}
	for i, id := range seen {
		if int(id) != i {
			t.Fatalf("agent %v at place %d", id, i)
		}
	}
	if names[0] != "localhost" || names[7] != "agent-000007" {
		t.Errorf("names %q, %q", names[0], names[7])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.EachAgent(ctx, func(agent.ID, string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v of an ended context", err)
	}
}

func TestGroupNames(t *testing.T) {
	s := start(t)
	want := []string{"web", "default", "db"}
	for _, name := range want {
		if err := s.InsertGroup(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.GroupNames(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
