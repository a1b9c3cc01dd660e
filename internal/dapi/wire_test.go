package dapi

import (
	"context"
	"strings"
	"testing"

	"testudo/internal/memnet"
	"testudo/internal/pairtest"
	"testudo/internal/peertest"
	"testudo/internal/session"
)

// bare joins an end of ours to a peer of bare frames.
func bare(t *testing.T, offer pairtest.Offer) *peertest.Peer {
	t.Helper()
	near, far := memnet.Pipe()
	s, mux := session.New(near, session.Config{Key: peertest.NewKey(t, peertest.Key)}), session.NewMux()
	work := offer(s, mux)
	s.Establish(session.Hello{Name: "w1", Cluster: "wazuh", Type: "worker", Version: "4.7.5"}, mux, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(context.Background())
	}()
	s.Go(work)
	t.Cleanup(func() {
		s.Close(nil)
		<-done
	})
	return peertest.New(t, far)
}

// The requests that two real nodes put to each other, put to ours in the place
// of either: the same replies, and the answer in the same steps.
func TestReplay_FrameByFrame(t *testing.T) {
	recorded := pairtest.Recording(t)
	master := NewMaster(MasterConfig{Config: Config{Node: "master"}, Nodes: NodesFunc(func() []string { return nil })}, functions(t), whoReports)
	worker := NewWorker(Config{Node: "w1"}, functions(t))
	t.Cleanup(master.Close)
	t.Cleanup(worker.Close)
	ends := map[bool]*peertest.Peer{true: bare(t, master.Offer), false: bare(t, worker.Offer)}
	n := 0
	for i, r := range recorded {
		if r.Command != "dapi" {
			continue
		}
		n++
		reply := recorded[i+1]
		for k := i + 1; reply.Command != "ok" || reply.FromWorker() == r.FromWorker(); k++ {
			reply = recorded[k]
		}
		peer := ends[r.FromWorker()]
		if text := peer.OK("dapi", r.Text); text != reply.Text {
			t.Errorf("%.30s: answered %q, recorded %q", r.Text, text, reply.Text)
		}
		peer.Reply("new_str", "ok", "77")
		peer.Reply("str_upd", "ok", "String updated")
		id, _, _ := strings.Cut(r.Text, " ")
		if f := peer.Reply("dapi_res", "ok", "Response forwarded to worker"); string(f.Payload) != id+" 77" {
			t.Errorf("%.30s: named by %q", r.Text, f.Payload)
		}
	}
	if n != 4 {
		t.Errorf("%d requests recorded", n)
	}
}
