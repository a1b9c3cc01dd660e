package fault

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/recording"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestJSON_AsTheReferenceWritesIt(t *testing.T) {
	tests := []struct {
		name string
		err  *Error
		want string
	}{
		{"cluster", New(DuplicateName, "w2"),
			`{"__wazuh_exception__": {"__class__": "WazuhClusterError", "__object__": {"type": "about:blank", "title": "Wazuh Cluster Error", "code": 3028, "extra_message": "w2", "extra_remediation": null, "cmd_error": false, "dapi_errors": {}}}}`},
		{"internal, escapes", New(Unspecified, "b'\"é\n\u007f\U0001F422"),
			`{"__wazuh_exception__": {"__class__": "WazuhInternalError", "__object__": {"type": "about:blank", "title": "Wazuh Internal Error", "code": 1000, "extra_message": "b'\"\u00e9\n\u007f\ud83d\udc22", "extra_remediation": null, "cmd_error": false, "dapi_errors": {}}}}`},
		{"request, with ids", &Error{Code: NodeAbsent, Class: ClassNotFound, IDs: TextIDs("w9"), Remedy: "name it"},
			`{"__wazuh_exception__": {"__class__": "WazuhResourceNotFound", "__object__": {"type": "about:blank", "title": "Resource Not Found", "code": 1730, "extra_message": null, "extra_remediation": "name it", "cmd_error": false, "dapi_errors": {}, "ids": ["w9"]}}}`},
		{"class that does not exist", &Error{Code: UnknownTask, Class: "Mine"},
			`{"__wazuh_exception__": {"__class__": "WazuhClusterError", "__object__": {"type": "about:blank", "title": "Wazuh Cluster Error", "code": 3027, "extra_message": null, "extra_remediation": null, "cmd_error": false, "dapi_errors": {}}}}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, string(tc.err.JSON())); diff != "" {
				t.Error(diff)
			}
			if !json.Valid(tc.err.JSON()) {
				t.Error("not JSON")
			}
		})
	}
}

func TestParse_WhatIsNoErrorInJSONStaysText(t *testing.T) {
	deep := `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 1, "extra_message": ` +
		strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}}`
	tests := []struct{ name, payload, want string }{
		{"plain text", "unknown command 'b'nosuch''", "unknown command 'b'nosuch''"},
		{"empty", "", ""},
		{"other JSON", `{"a": 1}`, `{"a": 1}`},
		{"class unknown", `{"__wazuh_exception__": {"__class__": "OSError", "__object__": {"code": 1}}}`,
			`{"__wazuh_exception__": {"__class__": "OSError", "__object__": {"code": 1}}}`},
		{"code is text", `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": "1"}}}`,
			`{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": "1"}}}`},
		{"code out of range", `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": -1}}}`,
			`{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": -1}}}`},
		{"more behind it", `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 1}}} x`,
			`{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 1}}} x`},
		{"object is a list", `{"__wazuh_exception__": []}`, `{"__wazuh_exception__": []}`},
		{"broken", `{"__wazuh_exception__": `, `{"__wazuh_exception__": `},
		{"too deep", deep, deep},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := Parse([]byte(tc.payload))
			if got.Code != RemoteText || got.Class != ClassCluster || got.Extra != tc.want {
				t.Errorf("got %+v, want text %q", got, tc.want)
			}
		})
	}
}

func TestParse_TextIsCutBetweenCharacters(t *testing.T) {
	got := Parse([]byte("x" + strings.Repeat("é", maxText))).Extra.(string)
	if want := "x" + strings.Repeat("é", (maxText-1)/2); got != want {
		t.Errorf("cut to %d bytes, want %d", len(got), len(want))
	}
	if got := Parse(bytes.Repeat([]byte{0x80}, 2*maxText)).Extra.(string); len(got) > 3*maxText {
		t.Errorf("%d bytes kept", len(got))
	}
}

func TestParse_LargeJSONIsNotDecoded(t *testing.T) {
	e := New(Unspecified, strings.Repeat("x", maxJSON))
	if got := Parse(e.JSON()); got.Code != RemoteText || len(got.Extra.(string)) != maxText {
		t.Errorf("code %d", got.Code)
	}
}

func TestParse_ResourcesAreBounded(t *testing.T) {
	e := &Error{Code: BadLimit, Class: ClassBadRequest, IDs: make([]ID, maxIDs+7)}
	if got := Parse(e.JSON()); len(got.IDs) != maxIDs {
		t.Errorf("%d ids kept, want %d", len(got.IDs), maxIDs)
	}
}

func TestParse_UnknownKeysAreLeftAlone(t *testing.T) {
	got := Parse([]byte(`{"__wazuh_exception__": {"__class__": "WazuhError", "new": 1, "__object__":
		{"title": "Permission Denied", "code": 4000, "new": {}, "ids": ["w9", 7, null]}}}`))
	want := &Error{Code: PermissionDenied, Class: ClassBadRequest, Title: "Permission Denied", IDs: []ID{TextID("w9"), NumberID(7)}}
	if diff := cmp.Diff(want, got, sameID); diff != "" {
		t.Error(diff)
	}
}

// extras draws decoded JSON that is at most four levels deep.
func extras(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.String(), toAny), rapid.Map(rapid.Bool(), toAny),
		rapid.Map(rapid.Int32(), func(n int32) any { return json.Number(fmtInt(n)) }))
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(extras(depth-1), 0, 3), func(l []any) any { return append([]any{}, l...) }),
		rapid.Map(rapid.MapOfN(rapid.String(), extras(depth-1), 0, 3), func(m map[string]any) any { return m }))
}

// sameID lets cmp look at ids by ==.
var sameID = cmp.Comparer(func(a, b ID) bool { return a == b })

func ids() *rapid.Generator[ID] {
	return rapid.OneOf(rapid.Map(rapid.String(), TextID), rapid.Map(rapid.Int64(), NumberID))
}

func toAny[T any](v T) any { return v }

func fmtInt(n int32) string { b, _ := json.Marshal(n); return string(b) }

func TestJSON_ParseGivesItBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &Error{
			Code:  Code(rapid.IntRange(0, 65535).Draw(t, "code")),
			Class: rapid.SampledFrom([]Class{ClassException, ClassInternal, ClassCluster, ClassBadRequest, ClassNotFound}).Draw(t, "class"),
			Extra: extras(4).Draw(t, "extra"),
		}
		if e.Class.hasIDs() {
			e.IDs = rapid.SliceOfN(ids(), 1, 3).Draw(t, "ids")
		}
		if diff := cmp.Diff(e, Parse(e.JSON()), sameID); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestParse_Recorded takes every error that real nodes sent in frames, and
// demands that it survives Parse and JSON byte for byte.
func TestParse_Recorded(t *testing.T) {
	seen := 0
	for _, name := range recording.Glob(t, "golden/*/*.jsonl") {
		for _, payload := range recorded(t, name) {
			seen++
			e := Parse(payload)
			if e.Code == RemoteText {
				t.Errorf("%s: taken for text: %.300s", filepath.Base(name), payload)
			} else if diff := cmp.Diff(string(payload), string(e.JSON())); diff != "" {
				t.Errorf("%s:\n%s", filepath.Base(name), diff)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d recorded errors found", seen)
	}
}

func recorded(t *testing.T, name string) (payloads [][]byte) {
	t.Helper()
	for line := range bytes.Lines(recording.Read(t, name)) {
		var frame struct {
			Payload string `json:"payload_text"`
		}
		if json.Unmarshal(line, &frame) == nil && strings.HasPrefix(frame.Payload, `{"__wazuh_exception__"`) {
			payloads = append(payloads, []byte(frame.Payload))
		}
	}
	return payloads
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("File wasn't correctly received. Checksums aren't equal."))
	f.Add(New(DuplicateName, "w1").JSON())
	f.Add((&Error{Code: 1017, Class: ClassBadRequest, Extra: map[string]any{"node_name": "m"}, IDs: TextIDs("1")}).JSON())
	f.Add([]byte(`{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 1, "extra_message": [1e999, "\ud800"]}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := Parse(payload)
		_ = e.Error()
		if e.Code == RemoteText {
			return
		}
		once := e.JSON()
		again := Parse(once)
		if len(once) <= maxJSON && !bytes.Equal(once, again.JSON()) {
			t.Errorf("not stable:\n%s\n%s", once, again.JSON())
		}
	})
}
