package result

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/fault"
)

// itemsOf makes items of JSON texts.
func itemsOf(texts ...string) []json.RawMessage {
	var items []json.RawMessage
	for _, text := range texts {
		items = append(items, json.RawMessage(text))
	}
	return items
}

func TestMerge_Items(t *testing.T) {
	tests := []struct {
		name string
		by   Affected // its lists say how
		a, b []json.RawMessage
		want []json.RawMessage
	}{
		{"texts of numbers", Affected{}, itemsOf(`"001"`, `"010"`), itemsOf(`"002"`, `"100"`), itemsOf(`"001"`, `"002"`, `"010"`, `"100"`)},
		{"numbers, cut to whole ones", Affected{}, itemsOf(`1.9`, `3`), itemsOf(`1`, `2e0`), itemsOf(`1.9`, `1`, `2e0`, `3`)},
		{"truth values", Affected{}, itemsOf(`true`), itemsOf(`false`), itemsOf(`false`, `true`)},
		{"beyond 64 bits", Affected{}, itemsOf(`100000000000000000001`), itemsOf(`100000000000000000000`), itemsOf(`100000000000000000000`, `100000000000000000001`)},
		{"as texts", Affected{SortCasting: []string{"str"}}, itemsOf(`"10"`, `"9"`), itemsOf(`"11"`), itemsOf(`"10"`, `"11"`, `"9"`)},
		{"as fractions", Affected{SortCasting: []string{"float"}}, itemsOf(`"1.5"`), itemsOf(`1.25`), itemsOf(`1.25`, `"1.5"`)},
		{"objects as texts", Affected{SortCasting: []string{"str"}}, itemsOf(`{"name": "w4"}`), itemsOf(`{"name":"w3"}`), itemsOf(`{"name":"w3"}`, `{"name": "w4"}`)},
		{"descending", Affected{SortAscending: []bool{false}}, itemsOf(`3`, `1`), itemsOf(`2`), itemsOf(`3`, `2`, `1`)},
		{"null first", Affected{}, itemsOf(`1`), itemsOf(`null`, `2`), itemsOf(`null`, `1`, `2`)},
		{"null first, descending", Affected{SortAscending: []bool{false}}, itemsOf(`null`, `2`), itemsOf(`null`, `3`), itemsOf(`null`, `null`, `3`, `2`)},
		{"a member", Affected{SortFields: []string{"id"}}, itemsOf(`{"id": "2"}`), itemsOf(`{"id": 1}`), itemsOf(`{"id": 1}`, `{"id": "2"}`)},
		{"a member inside, absent", Affected{SortFields: []string{"os.id"}}, itemsOf(`{"os": {"id": "2"}}`), itemsOf(`{"os": 7}`, `{"os": {"id": 3}}`),
			itemsOf(`{"os": 7}`, `{"os": {"id": "2"}}`, `{"os": {"id": 3}}`)},
		{"two members, two directions", Affected{SortFields: []string{"a", "b"}, SortCasting: []string{"int", "str"}, SortAscending: []bool{true, false}},
			itemsOf(`{"a": 1, "b": "x"}`), itemsOf(`{"a": 1, "b": "y"}`, `{"a": 2, "b": "z"}`),
			itemsOf(`{"a": 1, "b": "y"}`, `{"a": 1, "b": "x"}`, `{"a": 2, "b": "z"}`)},
		{"the shortest list counts", Affected{SortFields: []string{"a", "b"}}, itemsOf(`{"a": 1, "b": 9}`), itemsOf(`{"a": 1, "b": 1}`),
			itemsOf(`{"a": 1, "b": 9}`, `{"a": 1, "b": 1}`)},
		{"by nothing", Affected{SortAscending: []bool{}}, itemsOf(`9`, `{}`), itemsOf(`1`), itemsOf(`9`, `{}`, `1`)},
		{"equal ones, a's first", Affected{}, itemsOf(`"1"`, `"01"`), itemsOf(`1`), itemsOf(`"1"`, `"01"`, `1`)},
		{"one side empty, nothing is compared", Affected{}, nil, itemsOf(`{}`, `[]`), itemsOf(`{}`, `[]`)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, b := tc.by, Affected{SortFields: []string{"other"}, Items: tc.b}
			a.Items = tc.a
			o := Merge(Outcome{Result: &a}, Outcome{Result: &b})
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if diff := cmp.Diff(texts(tc.want), texts(o.Result.(*Affected).Items)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func texts(items []json.RawMessage) (out []string) {
	for _, item := range items {
		out = append(out, string(item))
	}
	return out
}

func TestMerge_WhatCannotBeComparedIsAnError(t *testing.T) {
	long := `"` + strings.Repeat("1", maxNumber+1) + `"`
	for _, tc := range []struct {
		casting string
		item    string
	}{
		{"int", `{}`}, {"int", `[]`}, {"int", `"x"`}, {"int", `"1.5"`}, {"int", long}, {"float", `"nan"`}, {"float", `{}`}, {"eval", `1`}, {"int", `1e999`},
	} {
		a := &Affected{Items: itemsOf(`1`), SortCasting: []string{tc.casting}}
		o := Merge(Outcome{Result: a}, Outcome{Result: &Affected{Items: itemsOf(tc.item)}})
		if !fault.Has(o.Err, fault.Unspecified) || o.Err.Extra != nil {
			t.Errorf("%s as %s: %v", tc.item, tc.casting, o)
		}
	}
}

func TestMerge_Extra(t *testing.T) {
	tests := []struct{ name, a, b, want string }{
		{"missing ones are taken", `{"x": 1}`, `{"y": [2]}`, `{"x": 1, "y": [2]}`},
		{"numbers are added", `{"x": 1, "y": 1.5, "z": 9007199254740993}`, `{"x": 2, "y": 1, "z": 1}`, `{"x": 3, "y": 2.5, "z": 9007199254740994}`},
		{"a sum without form stays", `{"x": 1e308}`, `{"x": 1e308}`, `{"x": 1e308}`},
		{"lists, each element once", `{"x": [1, {"a": 1, "b": 2}]}`, `{"x": [2, {"b": 2, "a": 1}, 1]}`, `{"x": [1, {"a": 1, "b": 2}, 2]}`},
		{"objects inside", `{"x": {"y": {"n": 1}}}`, `{"x": {"y": {"n": 2, "m": 1}, "z": null}}`, `{"x": {"y": {"n": 3, "m": 1}, "z": null}}`},
		{"texts", `{"x": "a", "y": "same"}`, `{"x": "b", "y": "same"}`, `{"x": "a|b", "y": "same"}`},
		{"the time span asked for", `{"older_than": "7d"}`, `{"older_than": "1d"}`, `{"older_than": "7d"}`},
		{"null gives way", `{"x": null, "y": 1}`, `{"x": 1, "y": null}`, `{"x": 1, "y": 1}`},
		{"different kinds", `{"x": "1", "y": true}`, `{"x": 1, "y": false}`, `{"x": "1", "y": true}`},
		{"twice in b", `{}`, `{"x": 1, "x": 2}`, `{"x": 2}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, errA := ReadObject([]byte(tc.a), Limits{})
			b, errB := ReadObject([]byte(tc.b), Limits{})
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			o := Merge(Outcome{Result: &Affected{Extra: a}}, Outcome{Result: &Affected{Extra: b}})
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if diff := cmp.Diff(tc.want, string(o.Result.(*Affected).Extra.JSON())); diff != "" {
				t.Error(diff)
			}
			if string(a.JSON()) != tc.a {
				t.Errorf("a became %s", a.JSON())
			}
		})
	}
}

func TestMerge_Plain(t *testing.T) {
	plain := func(body string, priority ...string) Outcome {
		return Outcome{Result: &Plain{Body: json.RawMessage(body), StrPriority: priority}}
	}
	tests := []struct {
		name string
		a, b Outcome
		want string
	}{
		{"members", plain(`{"n": 1, "t": "x"}`), plain(`{"n": 2, "t": "y"}`), `{"n": 3, "t": "x|y"}`},
		{"first of the priority", plain(`{"t": "OK"}`, "KO", "OK"), plain(`{"t": "KO"}`), `{"t": "KO"}`},
		{"a has it", plain(`{"t": "KO"}`, "KO", "OK"), plain(`{"t": "OK"}`), `{"t": "KO"}`},
		{"neither is in it", plain(`{"t": "x"}`, "KO"), plain(`{"t": "y"}`), `{"t": "x|y"}`},
		{"inside", plain(`{"d": {"t": "OK"}}`, "KO"), plain(`{"d": {"t": "KO"}}`), `{"d": {"t": "KO"}}`},
		{"no body", plain(""), plain(`{"n": 1}`), `{"n": 1}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			o := Merge(tc.a, tc.b)
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if diff := cmp.Diff(tc.want, string(o.Result.(*Plain).Body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMerge_Errors(t *testing.T) {
	forbidden := fault.New(fault.PermissionDenied, "Resource type: agent:id")
	forbidden.IDs = fault.TextIDs("009", "010")
	forbidden.NodeErrors = map[string]any{"w3": "a", "w4": "a"}
	internal := fault.New(fault.ExecQueueMissing, nil)
	internal.NodeErrors = map[string]any{"w4": "b"}
	internal.IDs = fault.TextIDs("011") // never on the wire of this class
	bare := fault.New(fault.UnknownAgent, nil)
	listed := &Affected{Items: itemsOf(`"001"`), Total: 1, AllMsg: "all"}
	plain := &Plain{Body: json.RawMessage(`{}`)}
	tests := []struct {
		name string
		a, b Outcome
		want func(Outcome) bool
	}{
		{"two errors", Outcome{Err: forbidden}, Outcome{Err: internal}, func(o Outcome) bool {
			return o.Err.Code == 4000 && o.Err.NodeErrors["w3"] == "a" && o.Err.NodeErrors["w4"] == "b" && len(o.Err.IDs) == 3
		}},
		{"result and error with ids", Outcome{Result: listed}, Outcome{Err: forbidden}, func(o Outcome) bool {
			r, ok := o.Result.(*Affected)
			return ok && r.Total == 1 && r.TotalFailed() == 2 && r.Failed[0].Err.NodeErrors["w3"] == "a"
		}},
		{"error with ids and result", Outcome{Err: forbidden}, Outcome{Result: listed}, func(o Outcome) bool {
			r, ok := o.Result.(*Affected)
			return ok && r.AllMsg == "all" && r.TotalFailed() == 2
		}},
		{"result and error without ids", Outcome{Result: listed}, Outcome{Err: bare}, func(o Outcome) bool { return o.Err == bare }},
		{"result and error that cannot have ids", Outcome{Err: internal}, Outcome{Result: listed}, func(o Outcome) bool { return o.Err == internal }},
		{"plain result and error", Outcome{Result: plain}, Outcome{Err: forbidden}, func(o Outcome) bool { return o.Err == forbidden }},
		{"unlike results", Outcome{Result: plain}, Outcome{Result: listed}, func(o Outcome) bool { return fault.Has(o.Err, 1000) }},
		{"unlike results, the other way", Outcome{Result: listed}, Outcome{Result: plain}, func(o Outcome) bool { return fault.Has(o.Err, 1000) }},
		{"nothing", Outcome{}, Outcome{}, func(o Outcome) bool { return fault.Has(o.Err, 1000) }},
		{"plain that is no object", Outcome{Result: &Plain{Body: json.RawMessage(`[]`)}}, Outcome{Result: plain}, func(o Outcome) bool { return fault.Has(o.Err, 1000) }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if o := Merge(tc.a, tc.b); !tc.want(o) {
				t.Errorf("got %s", o.JSON())
			}
		})
	}
	if len(forbidden.IDs) != 2 || forbidden.NodeErrors["w4"] != "a" || len(listed.Failed) != 0 {
		t.Error("a side was changed")
	}
}

func TestMerge_TotalsStayNumbers(t *testing.T) {
	o := Merge(Outcome{Result: &Affected{Total: math.MaxInt}}, Outcome{Result: &Affected{Total: 2}})
	if total := o.Result.(*Affected).Total; total != math.MaxInt {
		t.Errorf("total %d", total)
	}
}

// nodeAnswers draws the answers of a few nodes: items sorted by number, and
// failures under a few errors.
func nodeAnswers() *rapid.Generator[[]*Affected] {
	ids := rapid.OneOf(rapid.Map(rapid.StringMatching(`00[0-9]`), TextID), rapid.Map(rapid.Int64Range(0, 9), NumberID))
	answer := rapid.Custom(func(t *rapid.T) *Affected {
		a := &Affected{AllMsg: rapid.String().Draw(t, "message")}
		numbers := rapid.SliceOf(rapid.IntRange(0, 30)).Draw(t, "items")
		slices.Sort(numbers)
		for _, n := range numbers {
			_ = a.Add(fmt.Sprintf("%03d", n))
		}
		a.Total += rapid.IntRange(0, 100).Draw(t, "more")
		for range rapid.IntRange(0, 3).Draw(t, "errors") {
			code := rapid.SampledFrom([]fault.Code{fault.UnknownAgent, fault.ManagerAgent, fault.AgentInactive}).Draw(t, "code")
			a.Fail(fault.New(code, nil), rapid.SliceOf(ids).Draw(t, "ids")...)
		}
		_ = a.Extra.Set("sum", rapid.Int32().Draw(t, "sum"))
		return a
	})
	return rapid.SliceOfN(answer, 1, 5)
}

func fold(answers []*Affected) Outcome {
	o := Outcome{Result: answers[0]}
	for _, a := range answers[1:] {
		o = Merge(o, Outcome{Result: a})
	}
	return o
}

// failed gives error and id of each failure, in order.
func failed(list []Failure) []string {
	var out []string
	for _, f := range list {
		for _, id := range f.IDs {
			out = append(out, fmt.Sprintf("%d %v %s", f.Err.Code, id.IsNumber(), id))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestMerge_LosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := nodeAnswers().Draw(t, "answers")
		before := make([]string, len(answers))
		var items, failures []string
		total := 0
		for i, a := range answers {
			before[i] = string(Outcome{Result: a}.JSON())
			items = append(items, texts(a.Items)...)
			failures = append(failures, failed(a.Failed)...)
			total += a.Total
		}
		slices.Sort(items)
		slices.Sort(failures)
		failures = slices.Compact(failures)
		got := fold(answers).Result.(*Affected)
		if diff := cmp.Diff(items, texts(got.Items)); diff != "" {
			t.Fatalf("items are lost or out of order: %s", diff)
		}
		if diff := cmp.Diff(failures, failed(got.Failed)); diff != "" {
			t.Fatalf("failures: %s", diff)
		}
		if got.Total != total || got.TotalFailed() != len(failures) || got.AllMsg != answers[0].AllMsg {
			t.Fatalf("total %d of %d, %d failed, message %q", got.Total, total, got.TotalFailed(), got.AllMsg)
		}
		for i, a := range answers {
			if string(Outcome{Result: a}.JSON()) != before[i] {
				t.Fatalf("answer %d was changed", i)
			}
		}
	})
}

func TestMerge_OrderOfNodesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := nodeAnswers().Draw(t, "answers")
		for _, a := range answers {
			a.AllMsg = "of all nodes"
		}
		one := fold(answers).Result.(*Affected)
		two := fold(rapid.Permutation(answers).Draw(t, "another order")).Result.(*Affected)
		if diff := cmp.Diff(texts(one.Items), texts(two.Items)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(failed(one.Failed), failed(two.Failed)); diff != "" {
			t.Fatal(diff)
		}
		if one.Total != two.Total || one.AllMsg != two.AllMsg || string(one.Extra.JSON()) != string(two.Extra.JSON()) {
			t.Fatalf("%v is not %v", one, two)
		}
	})
}

func TestMerge_IsTheSameInPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := nodeAnswers().Draw(t, "answers")
		left := fold(answers)
		right := Outcome{Result: answers[len(answers)-1]}
		for _, a := range slices.Backward(answers[:len(answers)-1]) {
			right = Merge(Outcome{Result: a}, right)
		}
		if diff := cmp.Diff(document(t, left.JSON()), document(t, right.JSON())); diff != "" {
			t.Fatal(diff)
		}
	})
}
