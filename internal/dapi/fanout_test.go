package dapi

import (
	"fmt"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/result"
)

const restart = "wazuh.agent.restart_agents"

// failures are the failed items of an answer: "NUMBER ids" each.
func failures(t *testing.T, data []byte) (text string) {
	t.Helper()
	a, ok := read(t, data).Result.(*result.Affected)
	if !ok {
		t.Fatalf("got %.400s, want affected items", data)
	}
	for _, f := range a.Failed {
		text += fmt.Sprint(int(f.Err.Code), " ", f.IDs, " ")
	}
	return text
}

func TestFanOut_MergesInOneAnswer(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		request := ask{restart, `{"agent_list": ["009", "008", "001", "077", "005", "011", "012"]}`, DistributedMaster, everybody}.JSON()
		onMaster, err := w.Ask(t.Context(), "7", request)
		onMaster = mustAsk(t, onMaster, err)
		onWorker, err := w3.Ask(t.Context(), "7", request)
		onWorker = mustAsk(t, onWorker, err)
		if string(onMaster) != string(onWorker) {
			t.Errorf("the master says %s, the worker %s", onMaster, onWorker)
		}
		if got := items(t, onMaster); got != `"001" "005" "008" "009" "012"` {
			t.Errorf("affected %s", got)
		}
		if got := failures(t, onMaster); got != "1701 [077] 3022 [w9] " {
			t.Errorf("failed %s", got)
		}
		// As recorded: the failed item is of class WazuhError with the title of a cluster error.
		for _, f := range read(t, onMaster).Result.(*result.Affected).Failed {
			if f.Err.Code == fault.UnknownNode && (f.Err.Class != fault.ClassBadRequest || f.Err.Heading() != "Wazuh Cluster Error" || f.Err.Extra != "w9") {
				t.Errorf("failed node: %s", f.Err.JSON())
			}
		}
	})
}

// The original's answers to the same two requests of users with few rights.
func TestFanOut_OfANodeThatTheUserMayNotKnow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		const white = `, "rbac_permissions": {"rbac_mode": "white", "agent:restart": {"agent:id:001": "allow"}}`
		answer, err := w.Ask(t.Context(), "7", ask{restart, `{"agent_list": ["011", "001"]}`, DistributedMaster, everybody + white}.JSON())
		if got := failures(t, mustAsk(t, answer, err)); got != "4000 [w9] " {
			t.Errorf("failed %s", got)
		}
		answer, err = w.Ask(t.Context(), "7", ask{restart, `{"agent_list": ["011"]}`, DistributedMaster, everybody + white}.JSON())
		o := read(t, mustAsk(t, answer, err))
		want := `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"type": "about:blank", "title": "Permission Denied", "code": 4000, ` +
			`"extra_message": "Resource type: node:id", "extra_remediation": null, "cmd_error": false, "dapi_errors": {}, "ids": ["w9"]}}}`
		if d := same(t, o.JSON(), []byte(want)); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		answer, err = w.Ask(t.Context(), "7", ask{restart, `{"agent_list": ["011", "001"]}`, DistributedMaster, everybody + white + `, "broadcasting": true`}.JSON())
		if got := failures(t, mustAsk(t, answer, err)); got != "3022 [w9] " {
			t.Errorf("of all: failed %s", got)
		}
	})
}

// Nodes work at the same time, and their order in the answer is that of the
// request, whoever answers first.
func TestFanOut_IsAsSlowAsTheSlowest(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		began := time.Now()
		answer, err := w.Ask(t.Context(), "7", ask{"test.sleep", `{"seconds": 8, "node_list": ["w4", "m3", "w3"]}`, DistributedMaster, everybody}.JSON())
		if got := items(t, mustAsk(t, answer, err)); got != `"m3" "w3" "w4"` { // merged by their text
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Named by nobody, all nodes run it and the first one's answer is told: so does
// the original.
func TestFanOut_ToAllThatNobodyNamed(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		request := ask{"test.sleep", `{"seconds": 1}`, DistributedMaster, everybody + `, "broadcasting": true`}.JSON()
		go func() {
			time.Sleep(500 * time.Millisecond)
			if sleeping.of("w3") != 1 || sleeping.of("w4") != 1 {
				t.Error("a node does not run it")
			}
		}()
		answer, err := w.Ask(t.Context(), "7", request)
		if got := items(t, mustAsk(t, answer, err)); got != `"m3"` {
			t.Errorf("got %s", got)
		}
	})
}

func TestFanOut_NobodyToAsk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		answer, err := w.Ask(t.Context(), "7", ask{restart, `{"agent_list": "*", "node_id": "nope"}`, DistributedMaster, everybody}.JSON())
		if got := items(t, mustAsk(t, answer, err)) + failures(t, answer); got != "1730 [nope] " {
			t.Errorf("got %s", got)
		}
	})
}

// Cut while it works: what the others did is told, with the node as failed.
func TestFanOut_NodeGoesWhileItWorks(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w3 := w.join("w3", plain, nil)
		w4 := w.join("w4", plain, nil)
		time.AfterFunc(3*time.Second, w4.cut)
		began := time.Now()
		answer, err := w3.Ask(t.Context(), "7", ask{"test.sleep", `{"seconds": 5, "node_list": ["w4", "w3", "m3"]}`, DistributedMaster, everybody}.JSON())
		if got := items(t, mustAsk(t, answer, err)) + " " + failures(t, answer); got != `"m3" "w3" 3022 [w4] ` {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A node that hears and never answers is given up at the end of the time, and
// told as failed, too.
func TestFanOut_FrozenNode(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		began := time.Now()
		answer, err := w.Ask(t.Context(), "7", ask{"test.sleep", `{"seconds": 1000, "node_list": ["w4"]}`, DistributedMaster,
			everybody + `, "wait_for_complete": true`}.JSON())
		if got := code(t, mustAsk(t, answer, err)); got != fault.APITimeout {
			t.Errorf("got %s", answer)
		}
		if took := time.Since(began); took != 200*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Whoever answers first, the answer is the same, and totals add up.
func TestFanOut_OrderOfArrivalDoesNotMatter(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		w := newWorld(t, nil)
		w.join("w3", plain, nil)
		w.join("w4", plain, nil)
		var first []byte
		for _, millis := range []string{
			`{"m3": 1, "w3": 2, "w4": 3}`, `{"m3": 1, "w3": 3, "w4": 2}`, `{"m3": 2, "w3": 1, "w4": 3}`,
			`{"m3": 2, "w3": 3, "w4": 1}`, `{"m3": 3, "w3": 1, "w4": 2}`, `{"m3": 3, "w3": 2, "w4": 1}`,
		} {
			answer, err := w.Ask(t.Context(), "7", ask{"test.shuffle",
				`{"node_list": ["w4", "m3", "w3"], "items": {"m3": [1, 4, -9], "w3": [2, 5, -8], "w4": [3, 6, -9]}, "millis": ` + millis + `}`,
				DistributedMaster, everybody}.JSON())
			if first == nil {
				first = mustAsk(t, answer, err)
			}
			if string(mustAsk(t, answer, err)) != string(first) {
				t.Errorf("%s: got %s, before %s", millis, answer, first)
			}
		}
		if got := items(t, first) + " " + failures(t, first); got != "1 2 3 4 5 6 1701 [9 8] " {
			t.Errorf("got %s", got)
		}
		if a, _ := read(t, first).Result.(*result.Affected); a.Total != 6 {
			t.Errorf("%d in all", a.Total)
		}
	})
}
