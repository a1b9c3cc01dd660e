package agentgroups

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/chunks"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

func newAgent(id int) agent.ID { return agent.ID(id) }

// groupStrings are the recorded messages of the exchange in their order: the
// text of a string stands in the place of its id. The test is skipped by name
// where the recording is absent.
func groupStrings(t *testing.T) (list []pairtest.Recorded) {
	t.Helper()
	strs := map[string]string{}
	for _, r := range pairtest.Recording(t) {
		switch r.Command {
		case "str_upd":
			id, text, _ := strings.Cut(r.Text, " ")
			strs[id] = text
		case cmdChanges, cmdFull:
			r.Text = strs[r.Text]
			list = append(list, r)
		case cmdChangesDone, cmdFullDone, cmdAsk:
			list = append(list, r)
		}
	}
	return list
}

// recordedAgents are the groups of the agents in a recorded string.
func recordedAgents(t *testing.T, text string) (agents []entry, hash string) {
	t.Helper()
	str, err := chunks.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range str.Chunks {
		g, err := chunks.ParseGroups(c)
		if err != nil {
			t.Fatal(err)
		}
		var some []entry
		if err := json.Unmarshal(g.Data, &some); err != nil {
			t.Fatal(err)
		}
		agents, hash = append(agents, some...), g.Hash
	}
	return agents, hash
}

// The master's half of the recording, played to our worker: the same reports,
// and after the groups were changed behind its back the same request for
// everything.
func TestRecording_MasterToOurWorker(t *testing.T) {
	frames := groupStrings(t)
	inBubble(t, func(t *testing.T) {
		done := make(chan string, 9)
		dst := newSink()
		agents, hash := recordedAgents(t, frames[0].Text)
		for _, a := range agents {
			dst.set(a.ID)
		}
		master, worker, _ := pairtest.Connect(t, "w1", true, byHand(done), pairtest.Of(NewWorker(WorkerConfig{Mismatches: 2}, dst).Offer))
		seen := map[string]int{}
		for i, f := range frames {
			seen[f.Command]++
			if f.FromWorker() {
				got := <-done
				want := f.Command + " " + f.Text
				if f.Command != cmdAsk {
					got, want = untimed(t, got), untimed(t, want)
				}
				if got != want {
					t.Errorf("%d: our worker says %s, the real one %s", i, got, want)
				}
				continue
			}
			if f.At > 70 && seen[cmdFull] == 0 && seen["broken"] == 0 { // then it was done to the real one
				seen["broken"]++
				dst.set(agents[0].ID, "web")
			}
			if err := hand(t, master, f.Command, f.Text); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			synctest.Wait()
		}
		if seen[cmdChanges] != 9 || seen[cmdFull] != 1 || seen[cmdAsk] != 1 || seen["broken"] != 1 || dst.groups.hash() != hash {
			t.Errorf("played %v, the checksum is %s, want %s", seen, dst.groups.hash(), hash)
		}
		worker.Log.Want(t, "Checksum comparison failed (1/2).", "Checksum comparison failed (2/2).", "Groups of 1 agents were not the master's: 001 (was web, is ")
	})
}

// untimed is a report without the time it took.
func untimed(t *testing.T, report string) string {
	t.Helper()
	command, text, _ := strings.Cut(report, " ")
	r, err := chunks.ParseResult([]byte(text))
	if err != nil {
		t.Error(err)
	}
	r.Took = 0
	return command + " " + string(r.JSON())
}

// The worker's half of the recording, played to our master, which has the same
// groups: it sends the same bytes.
func TestRecording_WorkerToOurMaster(t *testing.T) {
	frames := groupStrings(t)
	inBubble(t, func(t *testing.T) {
		agents, hash := recordedAgents(t, frames[0].Text)
		src := newSource()
		src.perChunk = 1000
		for _, a := range agents {
			src.set(a.ID, a.Groups...)
		}
		if got := src.groups.hash(); got != hash {
			t.Fatalf("checksum %s, want %s", got, hash)
		}
		m, _ := runMaster(t, src, delayed)
		got := make(chan pairtest.Recorded, 99)
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), func(e *pairtest.End) {
			for _, command := range []string{cmdChanges, cmdFull} {
				e.Mux.Handle(command, func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
					text, err := s.TakeString(string(payload))
					got <- pairtest.Recorded{Command: command, Text: string(bytes.Clone(text))}
					return session.OK(payload), err
				})
			}
		})
		for i, f := range frames {
			if f.FromWorker() {
				if _, err := worker.Request(t.Context(), f.Command, []byte(f.Text)); err != nil {
					t.Errorf("%d: %s: %v", i, f.Command, err)
				}
				continue
			}
			select {
			case g := <-got:
				if g.Command != f.Command || g.Text != f.Text {
					t.Errorf("%d: our master sends %s %s\nthe real one %s %s", i, g.Command, g.Text, f.Command, f.Text)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%d: our master sends nothing, the real one %s", i, f.Command)
			}
		}
		if src.left() != 0 || src.full != 1 {
			t.Errorf("%d agents left, everything read %d times", src.left(), src.full)
		}
	})
}
