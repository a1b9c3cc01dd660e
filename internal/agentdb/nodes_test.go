package agentdb

import (
	"fmt"
	"slices"
	"testing"

	"testudo/internal/agent"
)

func TestEachNode(t *testing.T) {
	s := start(t)
	for id := agent.ID(1); id <= 3; id++ {
		if err := s.InsertAgent(t.Context(), NewAgent{ID: id, Name: fmt.Sprint("a", id), DateAdd: 1}); err != nil {
			t.Fatal(err)
		}
	}
	node, active, synced := "w1", "active", "synced"
	if err := s.UpdateData(t.Context(), Data{ID: 2, NodeName: &node, ConnectionStatus: &active, SyncStatus: &synced, GroupConfigStatus: &synced}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		ids  []agent.ID
		want []string
	}{
		{"all", nil, []string{"0 unknown", "1 unknown", "2 w1", "3 unknown"}},
		{"some, in their order", []agent.ID{3, 77, 2}, []string{"3 unknown", "2 w1"}},
		{"none", []agent.ID{}, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			err := s.EachNode(t.Context(), tc.ids, func(id agent.ID, node string) { got = append(got, fmt.Sprintf("%d %s", int(id), node)) })
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			}
		})
	}
}
