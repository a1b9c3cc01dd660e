package result

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"testudo/internal/recording"
)

// recorded is one request to a real node and its answer.
type recorded struct {
	Name     string          `json:"-"`
	Function string          `json:"function"`
	Final    string          `json:"final"`
	Reply    json.RawMessage `json:"reply"`
	Socket   []struct {
		Command string          `json:"command"`
		To      string          `json:"to"`
		Request json.RawMessage `json:"request"`
		Reply   json.RawMessage `json:"reply"`
	} `json:"local_socket"`
	Request   json.RawMessage            `json:"request"`
	Arguments map[string]json.RawMessage `json:"f_kwargs"`
	Options   struct {
		Broadcasting bool `json:"broadcasting"`
	} `json:"options"`
}

// firstOnly tells that the original gives the first node's answer only
// (docs/dapi.md, the quirk of requests for all nodes that name none).
func (r recorded) firstOnly() bool {
	return r.Options.Broadcasting && r.Arguments["node_list"] == nil && r.Arguments["agent_list"] == nil
}

// recordings reads the requests and answers of real nodes. The test is skipped
// where they are absent.
func recordings(t testing.TB) (all []recorded) {
	t.Helper()
	for _, name := range recording.Glob(t, "golden/dapi/*.jsonl") {
		for _, r := range recording.Lines[recorded](t, name) {
			r.Name = filepath.Base(name)
			all = append(all, r)
		}
	}
	return all
}

// answers are all typed answers among the recordings: those to the asker, and
// those of single nodes on the way.
func answers(t testing.TB) (all []json.RawMessage) {
	t.Helper()
	isTyped := func(reply json.RawMessage) bool {
		return bytes.HasPrefix(reply, []byte(`{"__wazuh_`))
	}
	for _, r := range recordings(t) {
		if isTyped(r.Reply) {
			all = append(all, r.Reply)
		}
		for _, s := range r.Socket {
			if isTyped(s.Reply) {
				all = append(all, s.Reply)
			}
		}
	}
	return all
}

// fataler is a test, of testing or of rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// document is JSON with what has no order put in order: ids of failed items.
// Directions are taken as the truth values they count as.
func document(t fataler, data []byte) (doc any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("%v: %.200s", err, data)
	}
	outer, _ := doc.(map[string]any)
	result, _ := outer["__wazuh_result__"].(map[string]any)
	object, _ := result["__object__"].(map[string]any)
	lists, _ := object["failed_items_values"].([]any)
	for _, list := range lists {
		slices.SortFunc(list.([]any), func(a, b any) int { return strings.Compare(toText(a), toText(b)) })
	}
	directions, _ := object["sort_ascending"].([]any)
	for i, d := range directions {
		directions[i] = d != false && d != ""
	}
	return doc
}

func toText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestDecode_RecordedAnswersSurvive(t *testing.T) {
	all := answers(t)
	if len(all) < 300 {
		t.Errorf("only %d answers", len(all))
	}
	for _, reply := range all {
		o, err := Decode(reply, Limits{})
		if err != nil {
			t.Errorf("%v: %.300s", err, reply)
			continue
		}
		if bytes.Count(reply, []byte("HOME/queue/sockets/remote")) > 1 {
			continue // errors that differ in the folder of their node, which the recording calls HOME in all
		}
		if want, got := document(t, reply), document(t, o.JSON()); !reflect.DeepEqual(want, got) {
			t.Errorf("want %v\ngot  %v", want, got)
		}
	}
}

// TestMerge_Recorded folds the answers that the nodes gave into the answer
// that the master made of them, as far as all parts are on record: its own
// part is not, so only what the others gave must be in it.
func TestMerge_Recorded(t *testing.T) {
	merged := 0
	for _, r := range recordings(t) {
		whole, err := Decode(r.Reply, Limits{})
		if err != nil || whole.Err != nil || r.firstOnly() {
			continue
		}
		total, ok := whole.Result.(*Affected)
		if !ok {
			continue
		}
		var parts []Outcome
		for _, s := range r.Socket {
			if s.Command != "dapi_fwd" {
				continue
			}
			if o, err := Decode(s.Reply, Limits{}); err == nil && o.Err == nil {
				parts = append(parts, o)
			}
		}
		if len(parts) < 2 {
			continue
		}
		fold := parts[0]
		for _, p := range parts[1:] {
			fold = Merge(fold, p)
		}
		if fold.Err != nil {
			t.Errorf("%s: %v", r.Function, fold.Err)
			continue
		}
		merged++
		got := fold.Result.(*Affected)
		if !isSubsequence(got.Items, total.Items) {
			t.Errorf("%s: %s\nis not in the order of\n%s", r.Function, got.Items, total.Items)
		}
		if got.Total > total.Total || got.TotalFailed() > total.TotalFailed() {
			t.Errorf("%s: more than the master's total", r.Function)
		}
	}
	if merged < 10 {
		t.Errorf("only %d merged", merged)
	}
}

func isSubsequence(part, whole []json.RawMessage) bool {
	for _, item := range whole {
		if len(part) > 0 && canonical(part[0]) == canonical(item) {
			part = part[1:]
		}
	}
	return len(part) == 0
}

func TestCallable_RecordedRequests(t *testing.T) {
	seen := 0
	for _, r := range recordings(t) {
		for _, s := range r.Socket {
			var request struct {
				F json.RawMessage `json:"f"`
			}
			if json.Unmarshal(s.Request, &request) != nil || request.F == nil {
				continue
			}
			var c Callable
			if err := json.Unmarshal(request.F, &c); err != nil {
				t.Errorf("%s: %v", request.F, err)
				continue
			}
			again, err := json.Marshal(c)
			if err != nil || canonical(again) != canonical(request.F) || c.Key() != r.Function {
				t.Errorf("%s became %s, key %s, %v", request.F, again, c.Key(), err)
			}
			seen++
		}
	}
	if seen < 100 {
		t.Errorf("only %d callables", seen)
	}
}

func TestTime_RecordedTimes(t *testing.T) {
	seen := 0
	for _, r := range recordings(t) {
		var reply any
		if json.Unmarshal(r.Reply, &reply) != nil {
			continue
		}
		each(reply, func(object map[string]any) {
			s, ok := object["__wazuh_datetime__"].(string)
			if !ok {
				return
			}
			seen++
			at, err := ParseTime(s)
			if err != nil || at.String() != s {
				t.Errorf("%q became %q, %v", s, at, err)
			}
		})
	}
	if seen < 10 {
		t.Errorf("only %d times", seen)
	}
}

// each gives every object inside v to f.
func each(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, inner := range v {
			each(inner, f)
		}
	case []any:
		for _, inner := range v {
			each(inner, f)
		}
	}
}

// TestBlame_Recorded takes the errors with which daemons answered, takes their
// `dapi_errors` away, and demands that Blame gives them back.
func TestBlame_Recorded(t *testing.T) {
	var replies []json.RawMessage
	for _, r := range recordings(t) {
		if r.Final != "" {
			replies = append(replies, r.Reply)
		}
		for _, s := range r.Socket {
			replies = append(replies, s.Reply)
		}
	}
	seen := 0
	for _, reply := range replies {
		o, err := Decode(reply, Limits{})
		if err != nil || o.Err == nil || len(o.Err.NodeErrors) != 1 {
			continue
		}
		seen++
		raised, origin := *o.Err, Origin{Readable: true}
		for node := range o.Err.NodeErrors {
			origin = Origin{Node: node, Readable: node != UnknownNode}
		}
		raised.NodeErrors = nil
		if want, got := document(t, reply), document(t, origin.Blame(&raised).JSON()); !reflect.DeepEqual(want, got) {
			t.Errorf("want %v\ngot  %v", want, got)
		}
	}
	if seen < 20 {
		t.Errorf("only %d errors", seen)
	}
}
