package result

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
)

// listed is an AffectedItemsWazuhResult with some members replaced: those with
// an empty value are left out.
func listed(replace map[string]string) string {
	o := Object{}
	for _, m := range [][2]string{
		{"affected_items", `[]`}, {"sort_fields", `null`}, {"sort_casting", `["int"]`}, {"sort_ascending", `[true]`},
		{"total_affected_items", `0`}, {"dikt", `{}`}, {"all_msg", `""`}, {"some_msg", `""`}, {"none_msg", `""`},
		{"failed_items_keys", `[]`}, {"failed_items_values", `[]`},
	} {
		value, replaced := replace[m[0]]
		if !replaced {
			value = m[1]
		}
		if value != "" {
			o = append(o, Member{m[0], json.RawMessage(value)})
		}
	}
	return `{"__wazuh_result__": {"__class__": "AffectedItemsWazuhResult", "__object__": ` + string(o.JSON()) + `}}`
}

const someError = `{"__class__": "WazuhError", "__object__": {"code": 1703}}`

func TestDecode_Affected(t *testing.T) {
	o, err := Decode([]byte(listed(map[string]string{
		"affected_items": ` [ {"id": "001", "n": [1, "]"]} , "002"] `, "sort_fields": `["a.b"]`, "sort_casting": `["str"]`,
		"sort_ascending": `["True", "", 0, 1, false]`, "total_affected_items": `7`, "dikt": `{"b": 1, "a": 2}`, "all_msg": `"\u00e9"`,
		"failed_items_keys": "[" + someError + "," + someError + "]", "failed_items_values": `[["1", 1], ["1", "2"]]`,
	})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Affected{
		Items:      []json.RawMessage{json.RawMessage(`{"id": "001", "n": [1, "]"]}`), json.RawMessage(`"002"`)},
		SortFields: []string{"a.b"}, SortCasting: []string{"str"}, SortAscending: []bool{true, false, false, true, false},
		Total: 7, Extra: Object{{"b", json.RawMessage("1")}, {"a", json.RawMessage("2")}}, AllMsg: "é",
		Failed: []Failure{{Err: fault.New(fault.ManagerAgent, nil), IDs: []ID{TextID("1"), NumberID(1), TextID("2")}}},
	}
	want.Failed[0].Err.Title = ""
	if diff := cmp.Diff(want, o.Result, sameID, cmp.Comparer(func(a, b *fault.Error) bool { return a.Code == b.Code })); diff != "" {
		t.Error(diff)
	}
}

func TestDecode_Refused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no JSON", `{"__wazuh_result__"`, "3036"},
		{"not UTF-8", "{\"a\": \"\xff\"}", "3036"},
		{"empty", ``, "3036"},
		{"list", `[]`, "no object"},
		{"other object", `{"a": 1}`, "neither a result nor an error"},
		{"class unknown", `{"__wazuh_result__": {"__class__": "Popen", "__object__": {}}}`, `class "Popen" does not exist`},
		{"class no text", `{"__wazuh_result__": {"__class__": 1, "__object__": {}}}`, "no text"},
		{"no class", `{"__wazuh_result__": {"__object__": {}}}`, "no text"},
		{"no object", `{"__wazuh_result__": {"__class__": "WazuhResult"}}`, "no object"},
		{"envelope no object", `{"__wazuh_result__": []}`, "no object"},
		{"plain without body", `{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null}}}`, "no object"},
		{"plain of a list", `{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": []}}}`, "no object"},
		{"plain without priority", `{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"result": {}}}}`, "str_priority: no list"},
		{"error class unknown", `{"__wazuh_exception__": {"__class__": "OSError", "__object__": {"code": 1}}}`, "an error of unknown form"},
		{"any other error", `{"__unhandled_exc__": {"__class__": "OSError", "__args__": []}}`, "neither a result nor an error"},
		{"items absent", listed(map[string]string{"affected_items": ""}), "affected_items: no list"},
		{"items no list", listed(map[string]string{"affected_items": "{}"}), "affected_items: no list"},
		{"fields of numbers", listed(map[string]string{"sort_fields": "[1]"}), "no text"},
		{"casting absent", listed(map[string]string{"sort_casting": ""}), "sort_casting: no list"},
		{"direction absent", listed(map[string]string{"sort_ascending": ""}), "sort_ascending: no list"},
		{"total negative", listed(map[string]string{"total_affected_items": "-1"}), "total_affected_items"},
		{"total huge", listed(map[string]string{"total_affected_items": "9223372036854775808"}), "total_affected_items"},
		{"total of a fraction", listed(map[string]string{"total_affected_items": "1.5"}), "total_affected_items"},
		{"extra no object", listed(map[string]string{"dikt": "[]"}), "no object"},
		{"message null", listed(map[string]string{"all_msg": "null"}), "no text"},
		{"message absent", listed(map[string]string{"none_msg": ""}), "no text"},
		{"error without ids", listed(map[string]string{"failed_items_keys": "[" + someError + "]"}), "1 errors, 0 lists of ids"},
		{"ids without error", listed(map[string]string{"failed_items_values": "[[]]"}), "0 errors, 1 lists of ids"},
		{"failed item no error", listed(map[string]string{"failed_items_keys": "[7]", "failed_items_values": "[[]]"}), "an error of unknown form"},
		{"ids of fractions", listed(map[string]string{"failed_items_keys": "[" + someError + "]", "failed_items_values": "[[1.5]]"}), "read id"},
		{"ids no list", listed(map[string]string{"failed_items_keys": "[" + someError + "]", "failed_items_values": `["1"]`}), "no list"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			o, err := Decode([]byte(tc.text), Limits{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want %q", o, err, tc.want)
			}
			if code := fault.From(err).Code; code != fault.Unspecified && code != fault.NotJSON {
				t.Errorf("number %d", code)
			}
		})
	}
}

func TestDecode_Bounds(t *testing.T) {
	many := func(n int, one string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]"
	}
	distinct := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"__class__": "WazuhError", "__object__": {"code": %d}},`, i)
		}
		return "[" + strings.TrimSuffix(b.String(), ",") + "]"
	}
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		name    string
		limits  Limits
		fits    string
		tooMuch string
		want    string
	}{
		{"bytes", Limits{Bytes: len(listed(nil))}, listed(nil), listed(nil) + " ", "bytes, at most"},
		// The envelope takes four levels, the list of items one of them.
		{"depth", Limits{Depth: 10}, listed(map[string]string{"affected_items": nested(7)}), listed(map[string]string{"affected_items": nested(8)}), "nested deeper than 10"},
		{"items", Limits{Items: 3}, listed(map[string]string{"affected_items": many(3, "1")}), listed(map[string]string{"affected_items": many(4, "1")}), "affected_items: more than 3"},
		{"failures", Limits{Failures: 3},
			listed(map[string]string{"failed_items_keys": distinct(3), "failed_items_values": many(3, "[]")}),
			listed(map[string]string{"failed_items_keys": distinct(4), "failed_items_values": many(4, "[]")}), "failed_items_keys: more than 3"},
		{"ids", Limits{IDs: 4},
			listed(map[string]string{"failed_items_keys": distinct(2), "failed_items_values": many(2, "[1, 2]")}),
			listed(map[string]string{"failed_items_keys": distinct(3), "failed_items_values": many(3, "[1, 2]")}), "failed_items_values: more than 0"},
		{"fields", Limits{}, listed(map[string]string{"sort_fields": many(maxSort, `"a"`)}), listed(map[string]string{"sort_fields": many(maxSort+1, `"a"`)}), "more than 64"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Decode([]byte(tc.fits), tc.limits); err != nil {
				t.Errorf("what fits: %v", err)
			}
			if _, err := Decode([]byte(tc.tooMuch), tc.limits); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("what is too much: %v", err)
			}
		})
	}
	e := fault.New(fault.PermissionDenied, nil)
	e.IDs = fault.TextIDs("1", "2", "3")
	if o, err := Decode(e.JSON(), Limits{IDs: 2}); err != nil || len(o.Err.IDs) != 2 {
		t.Errorf("%v, %v", o.Err, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(listed(nil)), []byte(listed(map[string]string{
		"affected_items": `[{"id": "001", "n": [1, "]"]}, "002"]`, "sort_fields": `["a.b"]`, "dikt": `{"b": 1, "a": "2", "c": [1], "d": {}}`,
		"failed_items_keys": "[" + someError + "]", "failed_items_values": `[["1", 1]]`})))
	f.Add(fault.New(fault.Unspecified, "reason").JSON(), []byte(listed(map[string]string{"affected_items": `[null, "x", 1e400, true]`})))
	f.Add([]byte(`{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": ["KO"], "result": {"a": "KO", "n": 1}}}}`),
		[]byte(`{"__wazuh_result__": {"__class__": "WazuhResult", "__object__": {"str_priority": null, "result": {"a": "OK", "n": 1.5e9}}}}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, errA := Decode(one, Limits{})
		if errA != nil {
			return
		}
		text := a.JSON()
		again, err := Decode(text, Limits{})
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if got := again.JSON(); string(got) != string(text) {
			t.Errorf("not stable:\n%s\n%s", text, got)
		}
		b, errB := Decode(two, Limits{})
		if errB != nil {
			return
		}
		merged := Merge(a, b)
		if _, err := Decode(merged.JSON(), Limits{}); err != nil {
			t.Errorf("merged: %v: %s", err, merged.JSON())
		}
	})
}
