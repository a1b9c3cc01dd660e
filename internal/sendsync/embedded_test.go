package sendsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

// embedding is a change of a master that has authd in its own process.
func embedding(f Embedded) func(*MasterConfig) {
	return func(c *MasterConfig) {
		c.Embedded, c.Features = map[string]Embedded{"authd": f}, []string{session.FeatureEnrol}
	}
}

// introduced is a worker's end of a Testudo node.
func introduced(t *testing.T, m *Master, name string) *Worker {
	t.Helper()
	w := NewWorker(WorkerConfig{})
	_, _, _ = pairtest.Connect(t, name, false, pairtest.Of(m.Offer), pairtest.Of(w.Offer))
	ready(w)
	return w
}

var authd = []byte(`{"daemon_name": "authd", "message": {"function":"get"}}`)

// A daemon of the master's own process is asked without its socket, by old
// workers as by new ones, and large answers go as strings.
func TestEmbedded_Answers(t *testing.T) {
	home := newHome(t)
	daemonOf(t, home, "authd", func(context.Context, string) string { return "from the socket" })
	size := 0
	m, _ := master(home, embedding(func(_ context.Context, _ string, message []byte) []byte {
		return []byte(string(message) + strings.Repeat("x", size))
	}))
	old, _, _ := worker(t, m, "old")
	ours := introduced(t, m, "new")
	if old.PeerHas(session.FeatureEnrol) || !ours.PeerHas(session.FeatureEnrol) || ours.PeerHas("other") || NewWorker(WorkerConfig{}).PeerHas(session.FeatureEnrol) {
		t.Error("the feature is not known where it should be")
	}
	for _, size = range []int{0, inline, 3 * inline} {
		for name, w := range map[string]*Worker{"old": old, "new": ours} {
			got, err := w.Ask(t.Context(), "17", authd)
			if want := `{"function":"get"}` + strings.Repeat("x", size); err != nil || string(got) != want {
				t.Errorf("%s, %d: %.50q, %v", name, size, got, err)
			}
		}
	}
}

// A master without it offers nothing.
func TestEmbedded_NoFeature(t *testing.T) {
	m, _ := master(newHome(t))
	if introduced(t, m, "w1").PeerHas(session.FeatureEnrol) {
		t.Error("a master that does not enrol says that it does")
	}
}

// Many are asked at a time; what one worker has under way leaves room for others,
// and its own number is bounded.
func TestEmbedded_ManyAtATime(t *testing.T) {
	arrived, may := make(chan string, 2*embeddedWaiting), make(chan struct{})
	m, _ := master(newHome(t), embedding(func(ctx context.Context, _ string, message []byte) []byte {
		arrived <- string(message)
		select {
		case <-may:
		case <-ctx.Done():
		}
		return message
	}))
	first, second := introduced(t, m, "w1"), introduced(t, m, "w2")
	first.cfg.Open = 2 * embeddedWaiting
	var asking sync.WaitGroup
	busy := make(chan error, embeddedWaiting)
	for i := range embeddedWaiting + 1 {
		asking.Go(func() {
			if _, err := first.Ask(t.Context(), fmt.Sprint(i), authd); err != nil {
				busy <- err
			}
		})
	}
	if err := <-busy; !strings.HasPrefix(err.Error(), fmt.Sprintf("Error %d - ", fault.Busy)) {
		t.Errorf("%v, want busy", err)
	}
	for range embeddedParallel / 2 {
		<-arrived
	}
	asking.Go(func() {
		if answer, err := second.Ask(t.Context(), "1", authd); err != nil {
			t.Errorf("%q, %v of the other worker", answer, err)
		}
	})
	<-arrived // that of the second, whose turn does not wait for the first one's
	close(may)
	asking.Wait()
	close(busy)
	for err := range busy {
		t.Error(err)
	}
}

func TestEmbedded_Fails(t *testing.T) {
	m, _ := master(newHome(t), func(c *MasterConfig) { c.AnswerTime, c.MessageBytes = 50*time.Millisecond, 100 },
		embedding(func(ctx context.Context, _ string, _ []byte) []byte {
			<-ctx.Done()
			return nil
		}))
	w := introduced(t, m, "w1")
	for request, want := range map[string]string{
		string(authd): "Error 1014 - Error communicating with socket: auth does not answer",
		`{"daemon_name": "authd", "message": "` + strings.Repeat("x", 101) + `"}`: "Error 1014 - Error communicating with socket: auth: message longer than the limit",
	} {
		_, err := w.Ask(t.Context(), "17", []byte(request))
		if text, ok := errors.AsType[session.PlainError](err); !ok || string(text) != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestWorker_InlineAnswerWithoutClient(t *testing.T) {
	_, m := peerMaster(t, time.Minute, pairtest.ByHand(make(chan string, 9)))
	if _, err := m.Request(t.Context(), cmdInline, []byte("17")); !fault.Has(err, fault.Unspecified) {
		t.Errorf("%v, want 1000", err)
	}
	if answer, err := m.Request(t.Context(), cmdInline, []byte("17 x")); err != nil || string(answer) != textForwarded {
		t.Errorf("%q, %v", answer, err)
	}
}
