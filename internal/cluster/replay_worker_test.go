package cluster

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/session"
)

// recordedFiles takes packages as the worker of the recordings did.
func recordedFiles(packages *int) Exchange {
	return exchangeFunc(func(_ *session.Session, mux *session.Mux) func(context.Context) {
		mux.Handle("syn_m_c_ok", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			return session.OK("Thanks"), nil
		})
		mux.HandleDelivery("syn_m_c", func(ctx context.Context, d *session.Delivery) {
			if u, err := d.Wait(ctx, time.Hour); err == nil {
				*packages++
				_ = u.Close()
			}
		})
		return nil
	})
}

// Whole connections of a real master, played to our worker by a master that
// sends what the real one sent.
func TestRecording_MasterToOurWorker(t *testing.T) {
	for _, base := range recordings(t, "cluster") {
		t.Run(filepath.Base(base), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorldOf(t)
				master := newFakeMaster(t, w)
				packages := 0
				worker := w.settle("w1", func(c *WorkerConfig) { c.Session.Key = goldenKey(t) }, recordedFiles(&packages))
				g := <-master.arrived
				r := newReplay(t, g, base, false)
				r.welcome()
				for _, pair := range r.requests() {
					r.compare(pair, "w1")
				}
				synctest.Wait()
				if packages != r.seen["syn_m_c_e"] || worker.Connected().IsZero() {
					t.Errorf("%d packages, connected %v, played %v", packages, worker.Connected(), r.seen)
				}
				if strings.HasSuffix(base, "main-worker") && (packages != 3 || r.seen["syn_m_c_ok"] != 9 || r.seen["syn_g_m_w"] != 9) {
					t.Errorf("%d packages, played %v", packages, r.seen)
				}
			})
		})
	}
}

// welcome answers our worker's hello as the real master answered the real
// worker's, which must have been the same.
func (r *replay) welcome() {
	r.t.Helper()
	var hello, answer *recorded
	for i := range r.frames {
		switch f := &r.frames[i]; {
		case f.Command == "hello" && f.towardsMaster:
			hello = f
		case hello != nil && answer == nil && f.Counter == hello.Counter && !f.towardsMaster:
			answer = f
		}
	}
	got := r.guest.Next()
	if got.Command != "hello" || string(got.Payload) != string(hello.Payload) {
		r.t.Errorf("our worker says %s %q, the real one hello %q", got.Command, got.Payload, hello.Payload)
	}
	r.guest.Send(got.Counter, answer.Command, string(answer.Payload))
	r.guest.Reply("testudo", "err", "unknown command 'b'testudo''")
}

// A real master's refusals, played to our worker: each is logged with its true
// reason, and the worker tries again.
func TestRecording_RefusalsOfARealMaster(t *testing.T) {
	want := map[string]string{
		"02": "Could not connect to master: Error 3028 - Worker node ID already exists: w2.",
		"03": "Could not connect to master: Error 3029 - ",
		"04": "Could not connect to master: Error 3030 - ",
		"05": "Could not connect to master: Error 3031 - ",
		"06": "Could not connect to master: Error 1000 - ",
		"07": "The master closed the connection",
	}
	for _, base := range recordings(t, "cluster-errors") {
		text, ok := want[filepath.Base(base)[:2]]
		if !ok {
			continue
		}
		t.Run(filepath.Base(base), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorldOf(t)
				master := newFakeMaster(t, w)
				worker := w.settle("w1", func(c *WorkerConfig) { c.Session.Key = goldenKey(t) })
				g := <-master.arrived
				r := newReplay(t, g, base, false)
				hello := g.Next()
				for _, f := range r.frames {
					if !f.towardsMaster && f.Command == "err" {
						g.Send(hello.Counter, f.Command, string(f.Payload))
						break
					}
				}
				if strings.Contains(base, "wrong-key") {
					g.Close()
				} else {
					g.WantClosed() // the worker does, the real master does not
				}
				synctest.Wait()
				worker.lines.Want(t, text)
				(<-master.arrived).Close()
			})
		})
	}
}
