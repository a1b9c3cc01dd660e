package agentdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"testudo/internal/agent"
)

// TestGroups_Dialogue replays commands and compares the answers with those of
// the original over the same writes. Lines that begin with "=" are what we answer
// where we do better than that.
func TestGroups_Dialogue(t *testing.T) {
	s := start(t, func(o *Options) { o.Master = true })
	data, err := os.ReadFile("testdata/groups.txt")
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		command, ok := strings.CutPrefix(lines[i], "> global ")
		if !ok {
			continue
		}
		want := strings.TrimPrefix(lines[i+1], "< ")
		if i+2 < len(lines) && strings.HasPrefix(lines[i+2], "= ") {
			want = lines[i+2][2:]
		}
		if got := say(t, s, command); got != want {
			t.Errorf("line %d: %s\n got %s\nwant %s", i+1, command, got, want)
		}
	}
}

// say gives a command of the socket to the store, roughly as the server does.
func say(t *testing.T, s *Store, command string) string {
	t.Helper()
	ctx := t.Context()
	verb, args, _ := strings.Cut(command, " ")
	rows := func(p Page, err error) string {
		switch {
		case err != nil:
			return "err " + err.Error()
		case p.More:
			return "due " + string(p.JSON)
		default:
			return "ok " + string(p.JSON)
		}
	}
	done := func(err error, text string) string {
		if err != nil {
			return "err " + text
		}
		return "ok"
	}
	id := func(text string) agent.ID { n, _ := strconv.Atoi(text); return agent.ID(n) }
	switch verb {
	case "select-groups":
		return rows(s.Groups(ctx))
	case "find-group":
		return rows(s.FindGroup(ctx, args))
	case "insert-agent-group":
		return done(s.InsertGroup(ctx, args), "Error inserting group in global.db.")
	case "delete-group":
		return done(s.DeleteGroup(ctx, args), "Error deleting group in global.db.")
	case "select-group-belong":
		return rows(s.GroupsOfAgent(ctx, id(args)))
	case "select-agent-group":
		return rows(s.AgentGroup(ctx, id(args)))
	case "get-group-agents":
		w := strings.Fields(args)
		return rows(s.AgentsOfGroup(ctx, w[0], id(w[2])))
	case "get-distinct-groups":
		return rows(s.DistinctGroups(ctx, args))
	case "recalculate-agent-group-hashes":
		return done(s.RecalculateGroupHashes(ctx), "")
	case "get-groups-integrity":
		return rows(s.GroupsIntegrity(ctx, args))
	case "sql":
		return rows(s.SQL(ctx, args, false))
	case "insert-agent":
		var a struct {
			ID    agent.ID `json:"id"`
			Name  string   `json:"name"`
			Group *string  `json:"group"`
		}
		must(t, json.Unmarshal([]byte(args), &a))
		return done(s.InsertAgent(ctx, NewAgent{ID: a.ID, Name: a.Name, DateAdd: 5, Group: a.Group}), "")
	case "sync-agent-groups-get":
		var q struct {
			Condition string   `json:"condition"`
			LastID    agent.ID `json:"last_id"`
			Set       bool     `json:"set_synced"`
			Hash      bool     `json:"get_global_hash"`
			Delta     int64    `json:"agent_registration_delta"`
		}
		must(t, json.Unmarshal([]byte(args), &q))
		return rows(s.SyncGroups(ctx, GroupsQuery{q.Condition, q.LastID, q.Set, q.Hash, q.Delta}))
	case "set-agent-groups":
		return done(s.SetGroups(ctx, change(t, args)), "An error occurred during the set of the groups")
	}
	t.Fatalf("unknown verb %s", verb)
	return ""
}

// change reads the argument of set-agent-groups.
func change(t *testing.T, args string) GroupChange {
	t.Helper()
	var c struct {
		Mode string            `json:"mode"`
		Sync string            `json:"sync_status"`
		Data []json.RawMessage `json:"data"`
	}
	must(t, json.Unmarshal([]byte(args), &c))
	if c.Sync == "" {
		c.Sync = "synced"
	}
	out := GroupChange{Mode: c.Mode, Sync: c.Sync}
	for _, raw := range c.Data {
		var e struct {
			ID     agent.ID `json:"id"`
			Groups []any    `json:"groups"`
		}
		err := json.Unmarshal(raw, &e)
		one := AgentGroups{ID: e.ID, Bad: err != nil || e.Groups == nil}
		for _, g := range e.Groups {
			name, _ := g.(string)
			one.Groups = append(one.Groups, name)
		}
		out.Data = append(out.Data, one)
	}
	return out
}

func set(t *testing.T, s *Store, mode, sync string, id agent.ID, groups ...string) error {
	t.Helper()
	return s.SetGroups(t.Context(), GroupChange{mode, sync, []AgentGroups{{ID: id, Groups: groups}}})
}

func TestSetGroups_Limits(t *testing.T) {
	s := start(t)
	insert(t, s, 1)
	var names []string
	for i := range 130 {
		names = append(names, fmt.Sprintf("g%d", i))
		must(t, s.InsertGroup(t.Context(), names[i]))
	}
	count := func() string { return dump(t, s, "SELECT count(*) AS n, max(priority) AS p FROM belongs") }
	for i, step := range []struct {
		mode     string
		from, to int
		bad      bool
		want     string
	}{
		{GroupsOverride, 0, 128, false, `[{"n":128,"p":127}]`},
		{GroupsOverride, 0, 129, true, `[{"n":128,"p":127}]`}, // validated first: nothing is lost
		{GroupsAppend, 0, 1, true, `[{"n":128,"p":127}]`},
		{GroupsRemove, 0, 27, false, `[{"n":101,"p":127}]`},
		{GroupsAppend, 0, 27, false, `[{"n":128,"p":154}]`},
		{GroupsRemove, 0, 28, false, `[{"n":100,"p":127}]`},
		{GroupsAppend, 28, 56, false, `[{"n":100,"p":155}]`}, // those there already move to the end
		{GroupsAppend, 28, 57, true, `[{"n":100,"p":155}]`},
		{GroupsEmptyOnly, 0, 129, false, `[{"n":100,"p":155}]`},
		{GroupsOverride, 0, 0, false, `[{"n":0}]`},
		{GroupsEmptyOnly, 0, 129, true, `[{"n":0}]`},
		{GroupsEmptyOnly, 0, 128, false, `[{"n":128,"p":127}]`},
	} {
		err := set(t, s, step.mode, synced, 1, names[step.from:step.to]...)
		if errors.Is(err, ErrSetGroups) != step.bad || err != nil && !step.bad {
			t.Errorf("step %d: %v", i, err)
		}
		if got := count(); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	for _, c := range []GroupChange{{Mode: "x", Sync: synced}, {Mode: GroupsAppend, Sync: "bad"}} {
		if err := s.SetGroups(t.Context(), c); !errors.Is(err, ErrSetGroups) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestDeleteGroup_Default(t *testing.T) {
	s := start(t)
	if err := s.DeleteGroup(t.Context(), "default"); !errors.Is(err, ErrDefaultGroup) {
		t.Error(err)
	}
}

func TestDeleteGroup_OfMany(t *testing.T) {
	thousands(t)
	s := start(t, func(o *Options) { o.Master = true })
	const n = 2*setBatch + 10
	insert(t, s, n)
	withGroups(t, s, 2)
	apply(t, s, assignments(n, 1, 0))
	must(t, s.DeleteGroup(t.Context(), "group-0"))
	want := fmt.Sprintf(`[{"n":%d,"group":"default","group_hash":"37a8eec1","group_sync_status":"syncreq"}]`, n)
	const query = "SELECT count(*) AS n, `group`, group_hash, group_sync_status FROM agent WHERE id > 0 GROUP BY 2, 3, 4"
	if got := dump(t, s, query); got != want {
		t.Error(got)
	}
}

func TestAgentsOfGroup_OrderedInBothWays(t *testing.T) {
	thousands(t)
	s := start(t)
	const n = crowd + 100
	insert(t, s, n)
	withGroups(t, s, 2)
	must(t, s.write(t.Context(), false, func(tx *tx) error {
		for id := n; id > 0; id-- {
			if err := tx.insertRelation(agent.ID(id), relation{group: 1}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.SetGroups(t.Context(), GroupChange{GroupsAppend, synced, []AgentGroups{
		{ID: 9, Groups: []string{"group-0"}}, {ID: 3, Groups: []string{"group-0"}}, {ID: 0, Groups: []string{"group-0"}},
	}}))
	p, err := s.AgentsOfGroup(t.Context(), "group-0", 0)
	if err != nil || string(p.JSON) != "[3,9]" {
		t.Errorf("%s, %v", p.JSON, err)
	}
	next := agent.ID(0)
	for more := true; more; {
		p, err := s.AgentsOfGroup(t.Context(), "default", next)
		must(t, err)
		var ids []agent.ID
		must(t, json.Unmarshal(p.JSON, &ids))
		for _, id := range ids {
			if next++; id != next {
				t.Fatalf("%d instead of %d", id, next)
			}
		}
		more = p.More
	}
	if next != n {
		t.Errorf("the last is %d", next)
	}
}
