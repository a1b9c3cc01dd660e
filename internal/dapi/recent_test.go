package dapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The way of a call from a program of one worker to an agent of another can be
// followed through the nodes' records, by the ids, with the time at each hop.
func TestRecords_LeadFromNodeToNode(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w3 := w.join("w3", false, nil)
		w4 := w.join("w4", false, nil)
		answer, err := w3.Ask(t.Context(), "4711", ask{"test.sleep", `{"seconds": 2, "node_id": "w4", "secret": null}`, DistributedMaster, everybody}.JSON())
		mustAsk(t, answer, err)
		answer, err = w3.Ask(t.Context(), "4711", ask{"test.sleep", `{"seconds": 2, "node_id": "w4"}`, DistributedMaster, everybody}.JSON())
		mustAsk(t, answer, err)
		synctest.Wait()
		asked := w3.Status().Last[0]
		if asked.ID != "4711" || asked.From != "w3" || asked.Took != 2*time.Second || len(asked.Hops) != 1 || asked.Hops[0].Node != "master" {
			t.Fatalf("where it was asked: %+v", asked)
		}
		routed := w.Status().Last[0]
		if routed.ID != asked.Hops[0].ID || routed.From != "w3" || routed.Function != "test.sleep" || len(routed.Hops) != 1 || routed.Hops[0].Node != "w4" {
			t.Fatalf("on the master: %+v", routed)
		}
		ran := w4.Status().Last[0]
		if ran.ID != routed.Hops[0].ID || ran.From != "master" || ran.Took != 2*time.Second || ran.Code != 0 || ran.Bytes != asked.Bytes {
			t.Fatalf("where it ran: %+v", ran)
		}
		text, err := json.Marshal(w.Status())
		if err != nil || strings.Contains(string(text), "secret") {
			t.Errorf("%s %v", text, err)
		}
		var again Status
		if err := json.Unmarshal(text, &again); err != nil || fmt.Sprint(again.Last[0].Hops) != fmt.Sprint(routed.Hops) {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

func TestRecords_AreBounded(t *testing.T) {
	var r ring
	for i := range 3*records + 5 {
		r.add(&Record{ID: fmt.Sprint(i)})
	}
	list := r.last()
	if len(list) != records || list[0].ID != fmt.Sprint(3*records+4) || list[records-1].ID != fmt.Sprint(2*records+5) {
		t.Errorf("%d, from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
}

// While something runs, the status tells so.
func TestStatus(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Queue = QueueConfig{Running: 2, Share: 1} })
		for range 3 {
			go func() { _, _ = w.Ask(t.Context(), "7", ask{function: "test.sleep", args: `{"seconds": 2}`}.JSON()) }()
		}
		synctest.Wait()
		if s := w.Status(); s.Running != 1 || s.Waiting != 2 || s.Open != 3 || len(s.Last) != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		if s := w.Status(); s.Running+s.Waiting+s.Open != 0 || s.AnswerBytes != 0 || len(s.Last) != 3 {
			t.Errorf("%+v", s)
		}
	})
}
