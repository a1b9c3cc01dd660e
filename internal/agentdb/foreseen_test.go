package agentdb

import (
	"errors"
	"testing"

	"testudo/internal/agent"
)

func master(o *Options) { o.Master = true }

// Enrolment writes a key and then inserts the agent. Who follows the keys may be
// there first; enrolment must not notice.
func TestInsertAgent_WhatFollowedItsKey(t *testing.T) {
	s := start(t, master)
	add := func(f func(NewAgent) error, a NewAgent, taken bool) {
		t.Helper()
		err := f(a)
		if broken := new(QueryError); errors.As(err, &broken) != taken || err != nil && !taken {
			t.Errorf("agent %v: %v", a.ID, err)
		}
	}
	follow := func(a NewAgent) error { return s.FollowAgent(t.Context(), a) }
	insert := func(a NewAgent) error { return s.InsertAgent(t.Context(), a) }
	a := NewAgent{ID: 1, Name: "web", RegisterIP: ptr("any"), InternalKey: ptr("k1")}
	add(follow, a, false)
	if err := s.UpdateKeepalive(t.Context(), 1, string(agent.Active), syncReq); err != nil {
		t.Fatal(err)
	}
	a.Name, a.DateAdd, a.RegisterIP = "web-01", 1700000000, ptr("10.0.0.0")
	add(insert, a, false)
	add(insert, a, true) // it is enrolled now
	want := `[{"id":1,"name":"web-01","register_ip":"10.0.0.0","internal_key":"k1","date_add":1700000000,"connection_status":"active"}]`
	if got := dump(t, s, "SELECT id, name, register_ip, internal_key, date_add, connection_status FROM agent WHERE id = 1"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	add(follow, NewAgent{ID: 1, Name: "late"}, false) // it is there, and stays as it is
	if got := dump(t, s, "SELECT name FROM agent WHERE id = 1"); got != `[{"name":"web-01"}]` {
		t.Errorf("who follows too late made it %s", got)
	}

	add(follow, NewAgent{ID: 2, Name: "db"}, false)
	if err := s.DeleteAgent(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	add(insert, NewAgent{ID: 2, Name: "db"}, false)
	add(insert, NewAgent{ID: 2, Name: "db"}, true)
	if len(s.foreseen) != 0 {
		t.Errorf("%d agents still foreseen", len(s.foreseen))
	}
}

// On a worker nobody enrols, so nothing is remembered.
func TestFollowAgent_OnAWorker(t *testing.T) {
	s := start(t)
	if err := s.FollowAgent(t.Context(), NewAgent{ID: 1, Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if broken := new(QueryError); !errors.As(s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "web"}), &broken) {
		t.Error("a second agent 1 was added")
	}
}

func TestHints_SayWhatChanged(t *testing.T) {
	s := start(t)
	insert(t, s, 3)
	told := func(hint <-chan struct{}) bool {
		select {
		case <-hint:
			return true
		default:
			return false
		}
	}
	told(s.InfoChanged()) // of the insertion itself
	told(s.GroupsChanged())
	for _, c := range []struct {
		name         string
		change       func() error
		info, groups bool
	}{
		{"a keep-alive to be reported", func() error { return s.UpdateKeepalive(t.Context(), 1, "active", syncReq) }, true, false},
		{"a keep-alive on the master", func() error { return s.UpdateKeepalive(t.Context(), 2, "active", synced) }, false, false},
		{"groups to be sent", func() error {
			return errors.Join(s.InsertGroup(t.Context(), "web"),
				s.SetGroups(t.Context(), GroupChange{Mode: "override", Sync: syncReq, Data: []AgentGroups{{ID: 3, Groups: []string{"web"}}}}))
		}, false, true},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if info, groups := told(s.InfoChanged()), told(s.GroupsChanged()); info != c.info || groups != c.groups {
			t.Errorf("%s: agents %v, groups %v; want %v, %v", c.name, info, groups, c.info, c.groups)
		}
	}
}
