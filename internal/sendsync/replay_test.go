package sendsync

import (
	"context"
	"strings"
	"testing"

	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// exchange is one question of the recording.
type exchange struct{ client, request, answer, text string }

// recorded gives the questions of the recording with their answers.
func recorded(t *testing.T) (list []*exchange) {
	t.Helper()
	open, last := map[string]*exchange{}, ""
	for _, r := range pairtest.Recording(t) {
		first, rest, _ := strings.Cut(r.Text, " ")
		switch {
		case r.FromWorker() && r.Command == cmdAsk:
			x := &exchange{client: first, request: rest}
			open[first] = x
			list = append(list, x)
		case !r.FromWorker() && r.Command == "str_upd":
			last = rest
		case r.Command == cmdAnswer:
			open[first].answer = last
		case r.Command == cmdError:
			open[first].text = rest
		}
	}
	if len(list) == 0 {
		t.Fatal("the recording has no questions")
	}
	return list
}

// The worker's half of the recording, played to our master, whose daemon answers
// as the recorded one.
func TestRecording_WorkerToOurMaster(t *testing.T) {
	for _, x := range recorded(t) {
		home := newHome(t)
		daemonOf(t, home, "authd", func(_ context.Context, message string) string {
			if !strings.Contains(x.request, message) {
				t.Errorf("the daemon got %s", message)
			}
			return x.answer
		})
		m, _ := master(home)
		got := make(chan string, 1)
		_, w, stop := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), func(e *pairtest.End) {
			e.Mux.Handle(cmdAnswer, func(_ context.Context, s *session.Session, payload []byte) (session.Reply, error) {
				client, id, _ := strings.Cut(string(payload), " ")
				data, err := s.TakeString(id)
				got <- client + " " + string(data)
				return session.OK(textForwarded), err
			})
			e.Mux.Handle(cmdError, func(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
				got <- string(payload)
				return session.OK(textErrorForwarded), nil
			})
		})
		answer, err := w.Request(t.Context(), cmdAsk, []byte(x.client+" "+x.request))
		if err != nil || string(answer) != textQueued {
			t.Errorf("%q, %v", answer, err)
		}
		if text := <-got; text != x.client+" "+x.answer+x.text {
			t.Errorf("%s\nrecorded %s", text, x.client+" "+x.answer+x.text)
		}
		stop()
	}
}

// The master's half of the recording, played to our worker, which asks the same.
func TestRecording_MasterToOurWorker(t *testing.T) {
	for _, x := range recorded(t) {
		got := make(chan string, 1)
		w, m := peerMaster(t, 0, pairtest.ByHand(got, cmdAsk))
		done := make(chan string)
		go func() {
			data, err := w.Ask(t.Context(), x.client, []byte(x.request))
			if err != nil {
				data = []byte(err.Error())
			}
			done <- string(data)
		}()
		if asked := <-got; asked != cmdAsk+" "+x.client+" "+x.request {
			t.Errorf("asked %s", asked)
		}
		command, payload, want := cmdError, x.client+" "+x.text, textErrorForwarded
		if x.text == "" {
			command, payload, want = cmdAnswer, x.client+" "+m.SendText(t, x.answer), textForwarded
		}
		if reply, err := m.Request(t.Context(), command, []byte(payload)); err != nil || string(reply) != want {
			t.Errorf("%q, %v", reply, err)
		}
		if text := <-done; text != x.answer+x.text {
			t.Errorf("%s\nrecorded %s", text, x.answer+x.text)
		}
	}
}
