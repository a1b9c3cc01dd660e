// Package pairtest joins a master's and a worker's end of an exchange by a
// connection in memory, and reads recordings of two real nodes, for the tests of
// exchanges.
package pairtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/peertest"
	"testudo/internal/session"
)

// End is one end of a connection: a session with commands and work.
type End struct {
	*session.Session
	Log *peertest.Lines
	Mux *session.Mux

	works []func(context.Context)
}

// Offer is an end's part in an exchange (cluster.Exchange).
type Offer = func(*session.Session, *session.Mux) func(context.Context)

// Of makes an end that takes part in exchanges.
func Of(offers ...Offer) func(*End) {
	return func(e *End) {
		for _, offer := range offers {
			if work := offer(e.Session, e.Mux); work != nil {
				e.works = append(e.works, work)
			}
		}
	}
}

// ByHand makes an end of a session that sends each request of the commands to
// got, with its payload behind a space, and thanks for it.
func ByHand(got chan<- string, commands ...string) func(*End) {
	return func(e *End) {
		for _, command := range commands {
			e.Mux.Handle(command, func(_ context.Context, _ *session.Session, payload []byte) (session.Reply, error) {
				got <- command + " " + string(payload)
				return session.OK("Thanks"), nil
			})
		}
	}
}

// Connect joins a master's end and that of a worker until stop, which the test's
// end calls, too. A plain pair does not introduce itself: to each the other is a
// 4.7.5 node.
func Connect(t *testing.T, worker string, plain bool, asMaster, asWorker func(*End)) (m, w *End, stop func()) {
	t.Helper()
	key := peertest.NewKey(t, peertest.Key)
	near, far := memnet.Pipe()
	hello := session.Hello{Name: worker, Cluster: "wazuh", Type: "worker", Version: "4.7.5"}
	m = &End{Session: session.New(near, session.Config{Key: key}), Log: peertest.NewLines(), Mux: session.NewMux()}
	w = &End{Session: session.New(far, session.Config{Key: key}), Log: peertest.NewLines(), Mux: session.NewMux()}
	asMaster(m)
	asWorker(w)
	var running sync.WaitGroup
	for _, e := range []*End{m, w} {
		e.Establish(hello, e.Mux, e.Log.Logger())
		running.Go(func() { _ = e.Run(context.Background()) })
	}
	if !plain {
		if err := w.Introduce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []*End{m, w} {
		for _, work := range e.works {
			e.Go(work)
		}
	}
	stop = sync.OnceFunc(func() {
		m.Close(nil)
		w.Close(nil)
		running.Wait()
	})
	t.Cleanup(stop)
	return m, w, stop
}

// SendText sends a string and gives its id.
func (e *End) SendText(t *testing.T, text string) string {
	t.Helper()
	id, err := e.SendString(t.Context(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Quiet passes time of a bubble, at the end of which everything has come to rest.
func Quiet(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Recorded is one message of a connection between two real 4.7.5 nodes.
type Recorded struct {
	At      float64 `json:"t"`   // seconds
	Dir     string  `json:"dir"` // c2s: towards the master
	Command string  `json:"command"`
	Text    string  `json:"payload_text"`
}

// FromWorker tells the direction.
func (r Recorded) FromWorker() bool { return r.Dir == "c2s" }

// Recording gives the messages of the recording; the test is skipped by name
// where it is absent.
func Recording(t *testing.T) (list []Recorded) {
	t.Helper()
	f, err := os.Open("../../../shared/golden/cluster/main-worker.jsonl")
	if err != nil {
		t.Skip("recordings not here: shared/golden")
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var r Recorded
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
}
