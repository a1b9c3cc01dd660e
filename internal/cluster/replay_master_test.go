package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/recording"
	"testudo/internal/session"
)

// recordedIntegrity answers as the master of the recordings did.
func recordedIntegrity(packages *int) Exchange {
	return exchangeFunc(func(_ *session.Session, mux *session.Mux) func(context.Context) {
		mux.Handle("syn_i_w_m_p", func(context.Context, *session.Session, []byte) (session.Reply, error) {
			return session.OK("True"), nil
		})
		mux.HandleDelivery("syn_i_w_m", func(ctx context.Context, d *session.Delivery) {
			if u, err := d.Wait(ctx, time.Hour); err == nil {
				*packages++
				_ = u.Close()
			}
		})
		return nil
	})
}

// notOurs are the recorded commands of exchanges that these nodes are not given.
var notOurs = map[string]bool{
	"dapi": true, "dapi_res": true, "dapi_err": true, "get_nodes": true, "get_health": true, "sendsync": true, "sendsyn_res": true, "sendsyn_err": true,
	"syn_a_w_m_p": true, "syn_a_w_m": true, "syn_g_m_w": true, "syn_g_m_w_c": true, "syn_w_g_c": true, "syn_w_g_e": true, "syn_wgc_e": true, "syn_m_a_e": true,
}

// compare checks one answer of a node of ours against the recording.
func (r *replay) compare(pair [2]*recorded, worker string) {
	r.t.Helper()
	request, recordedAnswer := pair[0], pair[1]
	got := r.play(request)
	switch {
	case notOurs[request.Command]:
		r.refusedOnly(request, got)
	case outside(request, worker):
		if got.Command != "err" || !strings.Contains(string(got.Payload), session.ErrUploadPath.Error()) {
			r.t.Errorf("%s %.60q was answered %s %q", request.Command, request.Payload, got.Command, got.Payload)
		}
	case recordedAnswer != nil:
		r.same(request, recordedAnswer, got)
	}
}

// newRecordedWorld is a world with the key and the master of the recordings.
func newRecordedWorld(t *testing.T, packages *int) *world {
	return newWorld(t, func(c *MasterConfig) { c.Session.Key = goldenKey(t) }, recordedIntegrity(packages))
}

// Whole connections of real workers, played to our master.
func TestRecording_WorkerToOurMaster(t *testing.T) {
	for _, base := range recordings(t, "cluster") {
		t.Run(filepath.Base(base), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				packages := 0
				w := newRecordedWorld(t, &packages)
				r := newReplay(t, w.dial("10.0.0.2"), base, true)
				for _, pair := range r.requests() {
					r.compare(pair, "w1")
				}
				synctest.Wait()
				if w.names() != "w1" || r.seen["hello"] != 1 || packages != r.seen["syn_i_w_m_e"] {
					t.Errorf("members %q, %d packages, played %v", w.names(), packages, r.seen)
				}
				if strings.HasSuffix(base, "main-worker") && (r.seen["syn_i_w_m_e"] != 12 || r.seen["echo-c"] != 7) {
					t.Errorf("played %v", r.seen)
				}
			})
		})
	}
}

// The hand-written clients that provoke errors, played to our master. Where
// ours does better than the original, it closes after the first refusal.
func TestRecording_ErrorsAtOurMaster(t *testing.T) {
	for _, base := range recordings(t, "cluster-errors") {
		name := filepath.Base(base)
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				packages := 0
				w := newRecordedWorld(t, &packages)
				if strings.Contains(name, "duplicated") {
					w.settle("w2", func(c *WorkerConfig) { c.Session.Key = goldenKey(t) })
					synctest.Wait()
				}
				r := newReplay(t, w.dial("10.0.0.2"), base, true)
				playErrors(r, base)
			})
		})
	}
}

// playErrors plays requests until the first that ends a connection with us.
func playErrors(r *replay, base string) {
	requests := r.requests()
	first := requests[0][0]
	switch {
	case first.bad, first.Command != "hello":
		if _, err := r.guest.Conn.Write(first.raw); err != nil {
			r.t.Fatal(err)
		}
		r.wantEnd()
		return
	case strings.Contains(base, "split-in-two"):
		playChunks(r, base)
		return
	}
	for _, pair := range requests {
		r.compare(pair, "errnode")
		if pair[0].Command == "hello" && pair[1].Command == "err" {
			r.wantEnd()
			return
		}
	}
	r.guest.OK("echo", "still there")
}

// playChunks sends the bytes as they were seen, with pauses between.
func playChunks(r *replay, base string) {
	stream, index := recording.Read(r.t, base+".c2s.bin"), recording.Read(r.t, base+".chunks.jsonl")
	chunks := 0
	for line := range bytes.Lines(index) {
		var c struct {
			Dir string `json:"dir"`
			Off int    `json:"off"`
			Len int    `json:"len"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			r.t.Fatal(err)
		}
		if c.Dir != "c2s" || c.Len == 0 {
			continue
		}
		chunks++
		if _, err := r.guest.Conn.Write(stream[c.Off : c.Off+c.Len]); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
	}
	if f := r.guest.Next(); chunks < 2 || f.Command != "ok" || string(f.Payload) != "Client errnode added" {
		r.t.Errorf("%d chunks were answered %s %q", chunks, f.Command, f.Payload)
	}
}
