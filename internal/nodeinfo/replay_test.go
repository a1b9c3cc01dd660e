package nodeinfo

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
	"testudo/internal/manifest"
	"testudo/internal/pairtest"
)

// recordedHealth is one answer of a real master with all its nodes.
func recordedHealth(t *testing.T) Health {
	t.Helper()
	h, err := ParseHealth([]byte(recorded(t, "master-007")[1].Text))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A real master's answers are ours, to the byte, when our parts know the same.
func TestReplay_LocalSocketOfMaster(t *testing.T) {
	master := of(recordedHealth(t)).master()
	for _, name := range []string{"master-000", "master-001", "master-004", "master-006", "master-007"} {
		messages := recorded(t, name)
		ask, want := messages[0], messages[1]
		var got []byte
		var err error
		if ask.Command == cmdNodes {
			got, err = master.GetNodes(t.Context(), []byte(ask.Text))
		} else {
			got, err = master.GetHealth(t.Context(), []byte(ask.Text))
		}
		if err != nil {
			got = fault.From(err).JSON()
		}
		if diff := cmp.Diff(want.Text, string(got)); diff != "" {
			t.Errorf("%s: %s %s (-want +got):\n%s", name, ask.Command, ask.Text, diff)
		}
	}
}

// The same of what a real worker asked its master.
func TestReplay_Worker(t *testing.T) {
	var asked []pairtest.Recorded
	n := 0
	for _, r := range pairtest.Recording(t) {
		if r.Command == cmdNodes || r.Command == cmdHealth {
			asked = append(asked, r)
		}
		if r.Command != "ok" || !strings.HasPrefix(r.Text, `{"items"`) && !strings.HasPrefix(r.Text, `{"n_connected_nodes"`) {
			continue
		}
		master := of(recordedHealth(t)).master()
		answer := master.GetNodes
		if asked[n].Command == cmdHealth {
			h, err := ParseHealth([]byte(r.Text))
			if err != nil {
				t.Fatal(err)
			}
			answer = of(h).master().GetHealth
		}
		got, err := answer(t.Context(), []byte(asked[n].Text))
		if diff := cmp.Diff(r.Text, string(got)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", asked[n].Command, err, diff)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d answers in the recording, not 3", n)
	}
}

func TestReplay_Hash(t *testing.T) {
	want := recorded(t, "w1-005")[1].Text
	var hashes map[string]string
	if err := json.Unmarshal([]byte(want), &hashes); err != nil {
		t.Fatal(err)
	}
	entries := []manifest.Entry{{Path: "etc/client.keys", ItemKey: "etc/"}, {Path: "etc/shared/default/agent.conf", ItemKey: "etc/shared/"}}
	for path, hash := range hashes {
		digest, err := manifest.ParseDigest(hash)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, manifest.Entry{Path: path, ItemKey: strings.Join(strings.SplitAfterN(path, "/", 3)[:2], ""), Digest: digest})
	}
	got := hashOf(t, entries)
	var ours map[string]string
	if err := json.Unmarshal(got, &ours); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hashes, ours); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got) != len(want) {
		t.Errorf("%d bytes, not %d:\n%s", len(got), len(want), got)
	}
	rules, decoders, lists := strings.Index(string(got), "etc/rules"), strings.Index(string(got), "etc/decoders"), strings.Index(string(got), "etc/lists")
	if rules > decoders || decoders > lists {
		t.Errorf("not in the order of cluster.json: %s", got)
	}
}
