package agentdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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

// foreseenPath, set for a process started by TestForeseen_Crash, is the database
// in which it follows keys until it is killed.
const foreseenPath = "AGENTDB_FORESEEN_PATH"

// A master that is killed between a key and its enrolment: the agent is still
// foreseen when it is started again, and only until it is enrolled.
func TestForeseen_Crash(t *testing.T) {
	if path := os.Getenv(foreseenPath); path != "" {
		s := startAt(t, Options{Path: path, Master: true})
		for id := agent.ID(1); ; id++ {
			if err := s.FollowAgent(t.Context(), NewAgent{ID: id, Name: fmt.Sprint("agent-", int(id))}); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Printf("ack %d\n", id); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "global.db")
	last := followUntilKilled(t, path, 20)
	s := startAt(t, Options{Path: path, Master: true})
	enrol := func(id agent.ID) error {
		return s.InsertAgent(t.Context(), NewAgent{ID: id, Name: "enrolled", InternalKey: ptr("key")})
	}
	for id := agent.ID(1); id <= last; id++ {
		if err := enrol(id); err != nil {
			t.Errorf("agent %v: %v", id, err)
		}
		if broken := new(QueryError); !errors.As(enrol(id), &broken) {
			t.Errorf("agent %v was enrolled twice", id)
		}
	}
	if left := dump(t, s, "SELECT id FROM t_foreseen WHERE id <= ?1", int64(last)); left != "[]" {
		t.Errorf("still foreseen: %s", left)
	}
	sameRoster(t, s)
}

// followUntilKilled kills a process after so many agents and gives the last one
// that was acknowledged.
func followUntilKilled(t *testing.T, path string, acks int) (last agent.ID) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestForeseen_Crash$")
	cmd.Env = append(os.Environ(), foreseenPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id agent.ID
		if _, err := fmt.Sscanf(lines.Text(), "ack %d", &id); err != nil || id <= last {
			continue // the last line may be cut off
		}
		if last = id; int(last) == acks {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if int(last) < acks {
		t.Fatalf("the process ended by itself after %d of %d", last, acks)
	}
	return last
}

// An agent that a statement removes is not foreseen any more.
func TestForeseen_RemovedByAStatement(t *testing.T) {
	s := start(t, master, func(o *Options) { o.AllowWrites = true })
	if err := s.FollowAgent(t.Context(), NewAgent{ID: 1, Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SQL(t.Context(), "DELETE FROM agent WHERE id = 1", true); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "a"}); err != nil {
		t.Error(err)
	}
	if broken := new(QueryError); !errors.As(s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "a"}), &broken) {
		t.Error("it was enrolled twice")
	}
}

// What is foreseen is forgotten with the agent, and when it is old.
func TestForeseen_IsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "global.db")
	s := startAt(t, Options{Path: path, Master: true})
	for id := range agent.ID(3) {
		if err := s.FollowAgent(t.Context(), NewAgent{ID: id + 1, Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteAgent(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, s, "SELECT id FROM t_foreseen"); got != `[{"id":1},{"id":2}]` {
		t.Errorf("foreseen: %s", got)
	}
	long := int64(foreseenFor / time.Second)
	err := s.write(t.Context(), true, func(t *tx) error {
		return t.exec("UPDATE t_foreseen SET since = since - ?1 WHERE id = 1", long)
	})
	if err != nil {
		t.Fatal(err)
	}
	again := func(context.Context) error { return s.reopen(t.Context(), func() error { return nil }) }
	if err := s.between(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if broken := new(QueryError); !errors.As(s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "a"}), &broken) {
		t.Error("what was foreseen long ago is foreseen still")
	}
	if got := dump(t, s, "SELECT id FROM t_foreseen"); got != `[{"id":2}]` {
		t.Errorf("foreseen after a restart: %s", got)
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
