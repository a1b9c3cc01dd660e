package agentinfo

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/chunks"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// collected takes what is stored, as it comes.
type collected struct{ lists []string }

func (c *collected) SetSyncInfo(_ context.Context, list []byte) error {
	c.lists = append(c.lists, string(list))
	return nil
}

// The worker's half of the recording, played to our master.
func TestRecording_WorkerToOurMaster(t *testing.T) {
	frames := pairtest.Recording(t)
	inBubble(t, func(t *testing.T) {
		done, dst := make(chan string, 9), new(collected)
		_, worker, _ := pairtest.Connect(t, "w1", true, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.ByHand(done, cmdDone, cmdFailed))
		var id, want string
		ours := map[string]string{}
		for _, f := range frames {
			switch {
			case f.FromWorker() && f.Command == cmdPermission:
				if answer := request(t, worker, f.Command, f.Text); answer != "True" {
					t.Errorf("permission %q", answer)
				}
			case f.FromWorker() && f.Command == "str_upd" && strings.Contains(f.Text, "sync-agent-info-set"):
				id, want, _ = strings.Cut(f.Text, " ")
				ours[id] = worker.SendText(t, want)
			case f.FromWorker() && f.Command == cmdString:
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
	frames := pairtest.Recording(t)
	inBubble(t, func(t *testing.T) {
		var want, result string
		permissions := 0
		for _, f := range frames {
			switch {
			case f.FromWorker() && f.Command == "str_upd" && strings.Contains(f.Text, "sync-agent-info-set"):
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
		_, worker, _ := pairtest.Connect(t, "w1", true, func(e *pairtest.End) {
			e.Mux.Handle(cmdPermission, func(context.Context, *session.Session, []byte) (session.Reply, error) {
				asked++
				return session.OK("True"), nil
			})
			e.Mux.Handle(cmdString, func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
				text, err := s.TakeString(string(payload))
				strings = append(strings, string(text))
				s.Go(func(ctx context.Context) {
					time.Sleep(5 * time.Millisecond)
					_, _ = s.Request(ctx, cmdDone, []byte(result))
				})
				return session.OK(payload), err
			})
		}, pairtest.Of(w.Offer))
		pairtest.Quiet(101 * time.Second)
		if asked != permissions || src.confirmed != 1 || len(strings) != 1 || strings[0] != want {
			t.Errorf("permission asked for %d times, recorded %d; %d strings; confirmed %d times", asked, permissions, len(strings), src.confirmed)
		}
		worker.Log.Want(t, "Finished in 0.005s. Updated 1 chunks.", "Finished in 0.000s. Updated 0 chunks.")
	})
}
