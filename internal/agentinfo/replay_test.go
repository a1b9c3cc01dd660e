package agentinfo

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/session"
)

const recording = "../../../shared/golden/cluster/main-worker.jsonl"

// recorded is one message of a connection between two real 4.7.5 nodes.
type recorded struct {
	At      float64 `json:"t"`
	Dir     string  `json:"dir"` // c2s: towards the master
	Counter uint32  `json:"counter"`
	Command string  `json:"command"`
	Text    string  `json:"payload_text"`
}

func (r recorded) fromWorker() bool { return r.Dir == "c2s" }

// replies gives the messages of the recording; the test is skipped by name
// where it is absent.
func readRecording(t *testing.T) (list []recorded) {
	t.Helper()
	f, err := os.Open(recording)
	if err != nil {
		t.Skip("recordings not here: shared/golden")
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var r recorded
		if err := dec.Decode(&r); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
}

// collected takes what is stored, as it comes.
type collected struct{ lists []string }

func (c *collected) SetSyncInfo(_ context.Context, list []byte) error {
	c.lists = append(c.lists, string(list))
	return nil
}

// The worker's half of the recording, played to our master.
func TestRecording_WorkerToOurMaster(t *testing.T) {
	frames := readRecording(t)
	inBubble(t, func(t *testing.T) {
		done, dst := make(chan string, 9), new(collected)
		_, worker, _ := connect(t, true, session.Limits{}, newEnd(NewMaster(MasterConfig{}, dst).Offer), silent(done))
		var id, want string
		ours := map[string]string{}
		for _, f := range frames {
			switch {
			case f.fromWorker() && f.Command == cmdPermission:
				if answer := request(t, worker, f.Command, f.Text); answer != "True" {
					t.Errorf("permission %q", answer)
				}
			case f.fromWorker() && f.Command == "str_upd" && strings.Contains(f.Text, "sync-agent-info-set"):
				id, want, _ = strings.Cut(f.Text, " ")
				ours[id] = worker.str(t, want)
			case f.fromWorker() && f.Command == cmdString:
				if answer := request(t, worker, f.Command, ours[f.Text]); answer != ours[f.Text] {
					t.Errorf("answer %q", answer)
				}
			case f.Command == cmdDone:
				got, err := chunks.ParseResult([]byte(strings.TrimPrefix(<-done, cmdDone+" ")))
				theirs, theirErr := chunks.ParseResult([]byte(f.Text))
				got.Took, theirs.Took = 0, 0
				if err != nil || theirErr != nil || got.Chunks != theirs.Chunks || len(got.Errors) != 0 || got.String != "" {
					t.Errorf("result %+v, %v, recorded %+v, %v", got, err, theirs, theirErr)
				}
				synctest.Wait() // they were a moment apart
			}
		}
		str, err := chunks.Decode([]byte(want))
		if err != nil || len(dst.lists) != 1 || dst.lists[0] != string(str.Chunks[0]) {
			t.Errorf("%d lists stored, %v", len(dst.lists), err)
		}
		var agents []map[string]any
		if err := json.Unmarshal([]byte(dst.lists[0]), &agents); err != nil || len(agents) != 12 || agents[0]["node_name"] != "w1" {
			t.Errorf("%d agents, %v", len(agents), err)
		}
	})
}

// once is a database in which the chunks wait.
type once struct {
	list      [][]byte
	confirmed int
}

func (o *once) ReportAll(context.Context, string) error { return nil }

func (o *once) PendingInfo(context.Context, int) ([][]byte, bool, func(context.Context) error, error) {
	return o.list, false, func(context.Context) error { o.list = nil; o.confirmed++; return nil }, nil
}

// The master's half of the recording, played to our worker, which has the same
// agents: it sends the same bytes.
func TestRecording_MasterToOurWorker(t *testing.T) {
	frames := readRecording(t)
	inBubble(t, func(t *testing.T) {
		var want, result string
		permissions := 0
		for _, f := range frames {
			switch {
			case f.fromWorker() && f.Command == "str_upd" && strings.Contains(f.Text, "sync-agent-info-set"):
				_, want, _ = strings.Cut(f.Text, " ")
			case f.Command == cmdPermission:
				permissions++
			case f.Command == cmdDone:
				result = f.Text
			}
		}
		str, err := chunks.Decode([]byte(want))
		if err != nil {
			t.Fatal(err)
		}
		src := &once{list: str.Chunks}
		var strings []string
		asked := 0
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		_, worker, _ := connect(t, true, session.Limits{}, func(e *end) {
			e.mux.Handle(cmdPermission, func(context.Context, *session.Session, []byte) (session.Reply, error) {
				asked++
				return session.OK("True"), nil
			})
			e.mux.Handle(cmdString, func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
				text, err := s.TakeString(string(payload))
				strings = append(strings, string(text))
				s.Go(func(ctx context.Context) {
					time.Sleep(5 * time.Millisecond)
					_, _ = s.Request(ctx, cmdDone, []byte(result))
				})
				return session.OK(payload), err
			})
		}, newEnd(w.Offer))
		quiet(101 * time.Second)
		if asked != permissions || src.confirmed != 1 || len(strings) != 1 || strings[0] != want {
			t.Errorf("permission asked for %d times, recorded %d; %d strings; confirmed %d times", asked, permissions, len(strings), src.confirmed)
		}
		worker.log.want(t, "Finished in 0.005s. Updated 1 chunks.", "Finished in 0.000s. Updated 0 chunks.")
	})
}
