package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/filetree"
)

func TestWorker_FollowsClientKeys(t *testing.T) {
	w := newWorld(t, false)
	w.put("etc/client.keys", "001 web-01 any aaaa\n002 db-01 10.0.0.0/24 bbbb\n003 !old any cccc\n")
	if got, want := w.round(), (Result{AgentsAdded: 2}); got != want {
		t.Errorf("got %+v", got)
	}
	w.wants("start", "001=web-01 002=db-01")
	if k := w.db.keys[2]; k.Address != "10.0.0.0/24" || k.Secret.Reveal() != "bbbb" || w.db.added[2] != 0 {
		t.Errorf("agent 2 came as %+v, enrolled %d", k, w.db.added[2])
	}
	w.put("queue/rids/002", "0:1:")
	w.put("queue/diff/db-01/x", "")
	w.put("queue/diff/web-01/x", "")
	w.put("etc/client.keys", "001 web-one any aaaa\n002 !db-01 any bbbb\n004 new any dddd\n")
	if got, want := w.round(), (Result{AgentsAdded: 1, AgentsRemoved: 1, AgentsRenamed: 1}); got != want {
		t.Errorf("got %+v", got)
	}
	w.wants("change", "001=web-one 004=new")
	if w.there("queue/rids/002") || w.there("queue/diff/db-01") || !w.there("queue/diff/web-01") || fmt.Sprint(w.gone) != "[002]" {
		t.Errorf("what belongs to removed agents: %v", w.gone)
	}
	if got := w.round(); got != (Result{}) {
		t.Errorf("nothing to do, but %+v", got)
	}
}

// A file of the master that is older than a key which the worker knows does not
// take the agent's row away.
func TestWorker_ExpectedAgentsStay(t *testing.T) {
	w := newWorld(t, false)
	expected := map[agent.ID]bool{2: true}
	w.cfg.Expected = func() map[agent.ID]bool { return expected }
	w.put("etc/client.keys", "001 a any aaaa\n002 b any bbbb\n003 c any cccc\n")
	w.round()
	w.put("etc/client.keys", "001 a any aaaa\n")
	w.round()
	w.wants("not expected any more is the third", "001=a 002=b")
	expected = nil
	w.round()
	w.wants("nor the second", "001=a")
}

func TestAgents_WhatANewAgentOfTheSameNameHas(t *testing.T) {
	w := newWorld(t, false)
	w.put("etc/client.keys", "001 web any aaaa\n")
	w.round()
	w.put("queue/diff/web/x", "")
	w.put("etc/client.keys", "002 web any bbbb\n")
	w.round()
	w.wants("enrolled again", "002=web")
	if !w.there("queue/diff/web/x") {
		t.Error("the new agent's directory is gone")
	}
}

func TestAgents_NamesThatLeadElsewhere(t *testing.T) {
	w := newWorld(t, false)
	w.db.names[5], w.db.names[6], w.db.names[7] = "..", "../rids", "link"
	w.put("etc/client.keys", keyLines(1, 20))
	w.put("queue/rids/keep", "")
	w.put("precious/x", "")
	if err := os.Symlink(filepath.Join(w.dir, "precious"), filepath.Join(w.dir, "queue/diff/link")); err != nil {
		t.Fatal(err)
	}
	w.put("etc/client.keys", keyLines(10, 20))
	w.round()
	if !w.there("queue/rids/keep") || !w.there("precious/x") || w.there("queue/diff/link") {
		t.Error("removed something that is not the agents'")
	}
}

func TestAgents_DatesOfEnrolment(t *testing.T) {
	w := newWorld(t, true)
	w.put("etc/client.keys", keyLines(1, 3))
	w.put("queue/agents-timestamp", "001 agent-1 any 2026-11-20 10:00:00\nbroken\n003 agent-3 any 2026-13-20 10:00:00\n")
	w.round()
	want := time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local).Unix()
	if w.db.added[1] != want || w.db.added[2] != 0 || w.db.added[3] != 0 {
		t.Errorf("got %v, want %d for the first", w.db.added, want)
	}
}

func TestAgents_ManyGoInTogether(t *testing.T) {
	w := newWorld(t, false)
	w.put("etc/client.keys", keyLines(1, 5000))
	w.db.refuse[17] = true
	_, err := w.Round(context.Background())
	if err == nil || !strings.Contains(err.Error(), "insert agents: agent 017: constraint of 017") {
		t.Errorf("got %v", err)
	}
	if len(w.db.names) != 5000 || w.db.busiest > parallel {
		t.Errorf("%d rows, at most %d at a time", len(w.db.names), w.db.busiest)
	}
	w.db.refuse = nil
	if got := w.round(); got.AgentsAdded != 1 {
		t.Errorf("the one left: %+v", got)
	}
}

func TestAgents_QuietRoundsDoNotReadTheFile(t *testing.T) {
	w := newWorld(t, false)
	w.put("etc/client.keys", keyLines(1, 3))
	w.round()
	w.round()
	info := w.file.info
	looks := w.db.looks
	w.round()
	if w.db.looks != looks+1 || w.file.info != info {
		t.Errorf("%d looks at the rows", w.db.looks-looks)
	}
	w.db.names[2] = "changed behind our back"
	if got := w.round(); got.AgentsRenamed != 1 {
		t.Errorf("got %+v", got)
	}
	delete(w.db.names, 3)
	if got := w.round(); got.AgentsAdded != 1 {
		t.Errorf("got %+v", got)
	}
}

// A file that was written in place, as long as before and with its time put back,
// is another one.
func TestAgents_KeysWithTheirTimePutBack(t *testing.T) {
	w := newWorld(t, false)
	when := time.Unix(1_700_000_000, 0)
	write := func(text string) (changed int64) {
		t.Helper()
		name := filepath.Join(w.dir, keysPath)
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		_, changed = filetree.Identity(info)
		return changed
	}
	before := write("001 one any k\n")
	if before == 0 {
		t.Skip("the system does not tell when a file was changed")
	}
	w.round()
	w.wants("at first", "001=one")
	for write("001 two any k\n") == before { // a coarse clock needs some turns
	}
	w.round()
	w.wants("written in place", "001=two")
}

// Hints are about any synchronised file.
func TestAgents_HintsAboutOtherFiles(t *testing.T) {
	w := newWorld(t, false)
	w.put("etc/client.keys", keyLines(1, 3))
	w.round()
	looks := w.db.looks
	hinted := func() Result {
		t.Helper()
		result, err := w.Reconciler.round(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	delete(w.db.names, 3)
	if got := hinted(); got != (Result{}) || w.db.looks != looks {
		t.Errorf("got %+v and looked at all agents for nothing", got)
	}
	w.put("etc/client.keys", keyLines(1, 4))
	w.mkdir("web")
	if got, want := hinted(), (Result{AgentsAdded: 2, GroupsAdded: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRun_ByTimeByHintAndAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.put("etc/client.keys", keyLines(1, 1))
		hint := make(chan struct{})
		w.cfg.Watch = func(ctx context.Context, changed chan<- struct{}) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-hint:
					changed <- struct{}{}
				}
			}
		}
		replaced := make(chan struct{})
		w.cfg.Replaced = replaced
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		w.wants("at the start", "001=agent-1")
		w.put("etc/client.keys", keyLines(1, 2))
		hint <- struct{}{}
		time.Sleep(gather + time.Millisecond)
		synctest.Wait()
		w.wants("after a hint", "001=agent-1 002=agent-2")
		w.put("etc/client.keys", keyLines(1, 3))
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wants("after a minute", "001=agent-1 002=agent-2 003=agent-3")
		w.db.mu.Lock()
		w.db.down = true
		w.db.mu.Unlock()
		w.put("etc/client.keys", keyLines(1, 4))
		hint <- struct{}{}
		time.Sleep(time.Second)
		w.db.mu.Lock()
		w.db.down = false
		w.db.mu.Unlock()
		time.Sleep(retry)
		synctest.Wait()
		w.wants("soon after a failure", "001=agent-1 002=agent-2 003=agent-3 004=agent-4")
		w.db.mu.Lock()
		w.db.names, w.db.self = map[agent.ID]string{0: "of the backup"}, nil
		w.db.mu.Unlock()
		replaced <- struct{}{}
		synctest.Wait()
		w.wants("at once in another database", "001=agent-1 002=agent-2 003=agent-3 004=agent-4")
		if w.db.self == nil || w.db.names[0] == "of the backup" {
			t.Error("agent 0 is as it was in the backup")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func FuzzTimestamps(f *testing.F) {
	f.Add([]byte("001 a any 2026-11-20 10:00:00\n002 b 10.0.0.1 x y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for id, at := range parseTimestamps(data) {
			if id < 0 || at <= 0 {
				t.Errorf("agent %v at %d", id, at)
			}
		}
	})
}

func BenchmarkRound_100000NewAgents(b *testing.B) {
	text := keyLines(1, 100_000)
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, false)
		w.put("etc/client.keys", text)
		b.StartTimer()
		w.round()
	}
}

func BenchmarkRound_100000AgentsNothingNew(b *testing.B) {
	w := newWorld(b, false)
	w.put("etc/client.keys", keyLines(1, 100_000))
	w.round()
	w.round()
	b.ReportAllocs()
	for b.Loop() {
		w.round()
	}
}

// Broken lines are told once, and once more when they come again.
func TestAgents_BrokenLinesAreTold(t *testing.T) {
	w := newWorld(t, false)
	var lines strings.Builder
	w.log = slog.New(slog.NewTextHandler(&lines, nil))
	for _, rubbish := range []string{"rubbish\n", "other rubbish\n", "", "rubbish again\n"} {
		w.put(keysPath, keyLines(1, 3)+rubbish)
		w.round()
	}
	if got := lines.String(); strings.Count(got, "Lines of client.keys passed over.") != 2 || strings.Count(got, "All lines of client.keys count again.") != 1 {
		t.Error(got)
	}
}
