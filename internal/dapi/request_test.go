package dapi

import (
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
)

const anyFunction = `"f": {"__callable__": {"__name__": "get_agents", "__module__": "wazuh.agent", "__qualname__": "get_agents", "__type__": "function"}}`

// A request with everything is sent on as it came, and says everything when it
// came with little.
func TestRequest_JSON(t *testing.T) {
	const full = `{` + anyFunction + `, "f_kwargs": {"limit": 10, "at": {"__wazuh_datetime__": "2024-01-02"}, "select": null}, "request_type": "distributed_master",
		"wait_for_complete": true, "from_cluster": true, "is_async": true, "local_client_arg": "lc", "basic_services": ["wazuh-db"],
		"rbac_permissions": {"rbac_mode": "white", "agent:read": {"agent:id:*": "allow", "agent:id:001": "deny"}}, "current_user": "wazuh",
		"broadcasting": true, "nodes": ["m3", "w3"], "api_timeout": 12.5}`
	const least = `{` + anyFunction + `, "f_kwargs": {}, "request_type": "local_master", "wait_for_complete": false, "from_cluster": false,
		"is_async": false, "local_client_arg": null, "basic_services": null, "rbac_permissions": {"rbac_mode": "black"}, "current_user": "",
		"broadcasting": false, "nodes": [], "api_timeout": 10}`
	for given, want := range map[string]string{
		full:                       full,
		`{` + anyFunction + `}`:    least,
		` {` + anyFunction + ` } `: least,
		`{` + anyFunction + `, "f_kwargs": null, "rbac_permissions": null, "nodes": null, "api_timeout": null, "debug": true, "remove_denied_nodes": true}`: least,
	} {
		r, err := DecodeRequest([]byte(given), 1<<20)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if d := same(t, r.JSON(), []byte(want)); d != "" {
			t.Errorf("%s (-want +got)\n%s", given, d)
		}
	}
}

func TestRequest_Timeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"null": 10 * time.Second, "3": 10 * time.Second, "-1": 10 * time.Second, "60": time.Minute, "0.5": 10 * time.Second,
		"1e300": maxTimeout, "12.5": 12500 * time.Millisecond,
	} {
		r, err := DecodeRequest([]byte(`{`+anyFunction+`, "api_timeout": `+text+`}`), 1<<20)
		if err != nil || r.Timeout != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}

// Lists and texts are read the same with and without the short way.
func TestReadTexts(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`: nil, `[ ]`: {}, `["a"]`: {"a"}, `["a", "b"]`: {"a", "b"}, `["a","b"]`: {"a", "b"}, `[ "a" , "b" ]`: {"a", "b"},
		`["\u0061"]`: {"a"}, `["a\"b", "c"]`: {`a"b`, "c"}, `["é"]`: {"é"}, `[""]`: {""}, `["", ""]`: {"", ""}, `["]", "["]`: {"]", "["},
	} {
		var got []string
		if err := readTexts([]byte(text), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`"a"`, `[1]`, `["a", 1]`, `{}`, `["a", ["b"]]`, `7`} {
		if err := readTexts([]byte(text), new([]string)); err == nil {
			t.Errorf("%s is a list of texts", text)
		}
	}
	for text, want := range map[string]string{`"a"`: "a", `""`: "", `"\n"`: "\n", `"a\\"`: `a\`} {
		var got string
		if err := readText([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// hostile is what a peer may send instead of a request.
var hostile = map[string]string{
	"nothing":             ``,
	"no JSON":             `{`,
	"a list":              `[]`,
	"a number":            `7`,
	"two values":          `{` + anyFunction + `} {}`,
	"no UTF-8":            "{\"f\": \"\xff\"}",
	"deep":                strings.Repeat(`{"f_kwargs": `, 10_000) + `1` + strings.Repeat("}", 10_000),
	"deep lists":          `{` + anyFunction + `, "f_kwargs": {"a": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`,
	"no function":         `{"f_kwargs": {}}`,
	"function null":       `{"f": null}`,
	"a function by name":  `{"f": "x"}`,
	"half a function":     `{"f": {"__callable__": {"__name__": "x"}}}`,
	"code for a name":     `{"f": {"__callable__": {"__name__": "__import__('os').system('id')", "__module__": "os", "__qualname__": "x", "__type__": "function"}}}`,
	"an unhandled error":  `{"f": {"__unhandled_exc__": {"__class__": "exit", "__args__": []}}}`,
	"a key too many":      `{` + anyFunction + `, "zzz": 1}`,
	"a node":              `{` + anyFunction + `, "node": "x"}`,
	"a logger":            `{` + anyFunction + `, "logger": {}}`,
	"arguments in a list": `{` + anyFunction + `, "f_kwargs": [1]}`,
	"a type that is none": `{` + anyFunction + `, "request_type": 7}`,
	"a text for a bool":   `{` + anyFunction + `, "is_async": "yes"}`,
	"no mode":             `{` + anyFunction + `, "rbac_permissions": {}}`,
	"a mode of its own":   `{` + anyFunction + `, "rbac_permissions": {"rbac_mode": "gray"}}`,
	"permissions in text": `{` + anyFunction + `, "rbac_permissions": "all"}`,
	"a number as node":    `{` + anyFunction + `, "nodes": [1]}`,
	"too many nodes":      `{` + anyFunction + `, "nodes": [` + strings.Repeat(`"a",`, maxNames) + `"a"]}`,
	"a long name":         `{` + anyFunction + `, "current_user": "` + strings.Repeat("a", maxNameText+1) + `"}`,
	"a long daemon":       `{` + anyFunction + `, "basic_services": ["` + strings.Repeat("a", maxNameText+1) + `"]}`,
	"too many arguments":  `{` + anyFunction + `, "f_kwargs": {` + manyMembers(maxNames+1) + `}}`,
	"a timeout in text":   `{` + anyFunction + `, "api_timeout": "10"}`,
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strings.Repeat("a", i%7) + string(rune('a'+i%26)) + time.Duration(i).String() + `": 1`)
	}
	return b.String()
}

func TestDecodeRequest_Hostile(t *testing.T) {
	for name, text := range hostile {
		r, err := DecodeRequest([]byte(text), 1<<20)
		if !fault.Has(err, fault.Unspecified) {
			t.Errorf("%s: %+v, %v", name, r, err)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	if _, err := DecodeRequest([]byte(`{`+anyFunction+`}`), 20); !fault.Has(err, fault.Unspecified) {
		t.Errorf("too many bytes: %v", err)
	}
}

// Whatever is decoded can be sent on and says the same there.
func FuzzDecodeRequest(f *testing.F) {
	for _, text := range hostile {
		if len(text) < 4096 {
			f.Add([]byte(text))
		}
	}
	f.Add(ask{"a.b", `{"x": 1}`, LocalAny, everybody}.JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRequest(data, 1<<16)
		if err != nil {
			if !fault.Has(err, fault.Unspecified) {
				t.Fatalf("%v", err)
			}
			return
		}
		sent := r.JSON()
		again, err := DecodeRequest(sent, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", sent, err)
		}
		if got := again.JSON(); string(got) != string(sent) {
			t.Fatalf("%s became %s", sent, got)
		}
		_, _ = targetsOf(r.Args)
	})
}
