package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
)

// sameID lets cmp look at ids by ==.
var sameID = cmp.Comparer(func(a, b ID) bool { return a == b })

func TestAffected_AsOnTheWire(t *testing.T) {
	a := &Affected{AllMsg: "all <b>", SomeMsg: "some", NoneMsg: "none", SortFields: []string{"agent.id"}, SortCasting: []string{"str"}}
	for _, item := range []any{"001", make(chan int)} {
		if err := a.Add(item); err == nil != (item == "001") {
			t.Fatal(err)
		}
	}
	absent := fault.New(fault.UnknownAgent, nil)
	a.Fail(absent, TextID("099"))
	a.Fail(fault.New(fault.RuleAbsent, nil), NumberID(5500), NumberID(5500))
	a.Fail(fault.New(fault.UnknownAgent, nil), TextID("098"), TextID("099"))
	if err := a.Extra.Set("older_than", "7d"); err != nil {
		t.Fatal(err)
	}
	const want = `{"__wazuh_result__": {"__class__": "AffectedItemsWazuhResult", "__object__": {"affected_items": ["001"], ` +
		`"sort_fields": ["agent.id"], "sort_casting": ["str"], "sort_ascending": [true], "total_affected_items": 1, "total_failed_items": 3, ` +
		`"dikt": {"older_than": "7d"}, "all_msg": "all <b>", "some_msg": "some", "none_msg": "none", "failed_items_keys": [` +
		`{"__class__": "WazuhResourceNotFound", "__object__": {"type": "about:blank", "title": "Resource Not Found", "code": 1701, "extra_message": null, "extra_remediation": null, "cmd_error": false, "dapi_errors": {}, "ids": []}}, ` +
		`{"__class__": "WazuhError", "__object__": {"type": "about:blank", "title": "Bad Request", "code": 1208, "extra_message": null, "extra_remediation": null, "cmd_error": false, "dapi_errors": {}, "ids": []}}], ` +
		`"failed_items_values": [["099", "098"], [5500]]}}}`
	text := Outcome{Result: a}.JSON()
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	if a.TotalFailed() != 3 {
		t.Errorf("%d failed", a.TotalFailed())
	}
	if !json.Valid(text) {
		t.Error("no JSON")
	}
}

func TestPlain_AsOnTheWire(t *testing.T) {
	p, err := NewPlain(map[string]any{"message": "x & y"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": {"message":"x & y"}}}}`
	if diff := cmp.Diff(want, string(Outcome{Result: p}.JSON())); diff != "" {
		t.Error(diff)
	}
	if got := string(Outcome{Result: &Plain{StrPriority: []string{"KO", "OK"}}}.JSON()); !strings.Contains(got, `"str_priority": ["KO", "OK"], "result": {}`) {
		t.Error(got)
	}
	for _, body := range []any{nil, 1, "text", []int{1}, math.NaN(), func() {}} {
		if _, err := NewPlain(body); err == nil {
			t.Errorf("%T is an object", body)
		}
	}
}

func TestOutcome_OfNothingIsAnError(t *testing.T) {
	o, err := Decode(Outcome{}.JSON(), Limits{})
	if err != nil || !fault.Has(o.Err, fault.Unspecified) {
		t.Errorf("%v, %v", o, err)
	}
}

func TestOf(t *testing.T) {
	plain := func(body string) Outcome { return Outcome{Result: &Plain{Body: json.RawMessage(body)}} }
	listed := &Affected{Total: 1}
	tests := []struct {
		name string
		v    any
		want Outcome
	}{
		{"object", map[string]int{"a": 1}, plain(`{"a":1}`)},
		{"JSON", json.RawMessage(`{"a": 1}`), plain(`{"a":1}`)},
		{"text of an object", `{"a": 1}`, plain(`{"a": 1}`)},
		{"text", "restarting", plain(`{"message":"restarting"}`)},
		{"result", listed, Outcome{Result: listed}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Of(tc.v)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, v := range []any{1, []string{"a"}, nil, "[1]", "12"} {
		if o := Of(v); !fault.Has(o.Err, fault.Unspecified) || o.Result != nil {
			t.Errorf("%v: %v", v, o)
		}
	}
	numbered := fault.New(fault.UnknownAgent, nil)
	if o := Of(numbered); o.Err != numbered {
		t.Errorf("%v", o)
	}
	if o := Of(7); o.Err.Extra != "the result is a int, not an object" {
		t.Errorf("the type is not named: %v", o.Err)
	}
}

func TestObject_KeepsItsOrder(t *testing.T) {
	const text = `{"b": 1, "a": {"z": [1, 2], "y": "\u00e9 ]}"}, "c": null}`
	var o Object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(o.JSON())); diff != "" {
		t.Error(diff)
	}
	if err := o.Set("a", 7); err != nil {
		t.Fatal(err)
	}
	if got := string(o.JSON()); got != `{"b": 1, "a": 7, "c": null}` {
		t.Error(got)
	}
	if o.Set("a", make(chan int)) == nil || o.Has("d") || o.Get("d") != nil || string(o.Get("c")) != "null" {
		t.Error("members are mixed up")
	}
	twice, err := ReadObject([]byte(`{"a": 1, "b": 2, "\u0061": 3}`), Limits{})
	if err != nil || string(twice.JSON()) != `{"a": 3, "b": 2}` {
		t.Errorf("%s, %v", twice.JSON(), err)
	}
	for _, text := range []string{"", "[]", "7", `"{}"`, "{", `{"a"}`, "\xff"} {
		if _, err := ReadObject([]byte(text), Limits{}); err == nil {
			t.Errorf("%q is an object", text)
		}
	}
}

func TestBlame(t *testing.T) {
	const unexpected = "Wazuh Internal Error. See log for more detail"
	entry := func(node, text string, log bool) map[string]any {
		e := map[string]any{"error": text}
		if log {
			e["logfile"] = "WAZUH_HOME/logs/cluster.log"
		}
		return map[string]any{node: e}
	}
	foreign := fault.New(fault.UnknownAgent, nil)
	foreign.NodeErrors = map[string]any{"w1": "kept"}
	tests := []struct {
		name   string
		err    error
		origin Origin
		code   fault.Code
		class  fault.Class
		nodes  map[string]any
	}{
		{"request", fault.New(fault.UnknownAgent, nil), Origin{"m3", true}, 1701, fault.ClassNotFound, entry("m3", "Agent does not exist", false)},
		{"wrapped", fmt.Errorf("restart: %w", fault.New(fault.GroupExists, "g1")), Origin{"m3", true}, 1711, fault.ClassBadRequest,
			entry("m3", "The group already exists: g1", false)},
		{"internal", fault.New(fault.ExecQueueMissing, nil), Origin{"w3", true}, 1901, fault.ClassInternal,
			entry("w3", "'execq' socket has not been created", true)},
		{"cluster", fault.New(fault.UnknownNode, "w9"), Origin{"w3", true}, 3022, fault.ClassCluster, entry("w3", "Unknown node ID: w9", true)},
		{"with a reason", fault.New(fault.Unspecified, "reason"), Origin{"w3", true}, 1000, fault.ClassInternal,
			entry("w3", "Wazuh Internal Error: reason", true)},
		{"without a reason", fault.Wrap(fault.Unspecified, nil, errors.New("open /secret")), Origin{"w3", true}, 1000, fault.ClassInternal,
			entry("w3", unexpected, false)},
		{"any other", errors.New("open /secret"), Origin{"w3", true}, 1000, fault.ClassInternal, entry("w3", unexpected, false)},
		{"node that the user may not know", fault.New(fault.UnknownAgent, nil), Origin{"m3", false}, 1701, fault.ClassNotFound,
			entry("unknown-node", "Agent does not exist", false)},
		{"from another node", foreign, Origin{"m3", true}, 1701, fault.ClassNotFound, map[string]any{"w1": "kept"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.origin.Blame(tc.err)
			if got.Code != tc.code || got.Class != tc.class {
				t.Errorf("%d %s", got.Code, got.Class)
			}
			if diff := cmp.Diff(tc.nodes, got.NodeErrors); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(got.JSON()), "secret") {
				t.Errorf("tells too much: %s", got.JSON())
			}
			if !errors.Is(got, tc.err) {
				t.Error("the cause is lost")
			}
		})
	}
	if foreign.Err != nil {
		t.Error("the error itself was changed")
	}
}
