package rulesetapi

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	for text, want := range map[string][]entry{
		"a:b\nc:d\n":               {{"a", "b"}, {"c", "d"}},
		"a:b":                      {{"a", "b"}},
		"a:\r\n\n b : c \n":        {{"a", ""}, {" b ", " c "}},
		"\"x:y\":\"z:1\"\n":        {{"x:y", "z:1"}},
		"\"x\":z\nx:\"z\"\n":       {{"x", "z"}, {"x", "z"}},
		"10.0.0.:lan\n::1\n":       {{"10.0.0.", "lan"}},
		"a:b:c\n":                  {{"a", "b:c"}}, // as where events are analysed
		"none\n\"open:b\n\"a\"b:c": nil,
		"a:\"open\n":               nil,
		"":                         nil,
	} {
		if diff := cmp.Diff(want, parseList([]byte(text)), cmp.AllowUnexported(entry{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestCheckList(t *testing.T) {
	for text, want := range map[string]string{
		"a:b\n\nc:\n":     "",
		"\"a:b\":\"c:d\"": "",
		"a:b\nc\n":        "no colon: line 2",
		":b\n":            "no key: line 1",
		"  :b\n":          "no key: line 1",
		"a:b:c":           "a second colon stands outside of quotes: line 1",
		"a:b:c\"":         "a second colon stands outside of quotes: line 1",
		"\"a:b":           "a quote is never closed: line 1",
		"\"a\"x:b":        "no colon after the key: line 1",
		"a:\"b":           "a quote is never closed: line 1",
		"\n \n":           errNoEntry.Error(),
	} {
		got := ""
		if err := checkList([]byte(text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGetLists(t *testing.T) {
	w := newWorld(t)
	r := w.list("cdb_list.get_lists", `{"relative_dirname": "etc/lists/amazon"}`)
	sameJSON(t, "list", `{"items": [{"key": "s3", "value": ""}, {"key": "ec2:x", "value": "a:b"}], "relative_dirname": "etc/lists/amazon", "filename": "sources"}`,
		string(r.Items[0]))
	w.write("etc/lists/twice", "a:1\nb:2\na:3\n")
	r = w.list("cdb_list.get_list_file", `{"filename": "twice"}`)
	if want, got := `{"a": "3", "b": "2"}`, string(r.Items[0]); got != want {
		t.Errorf("a key that comes twice: %s, want %s", got, want)
	}
	for args, want := range map[string][]any{
		`{}`:                         {"audit-keys", "twice", "sources"},
		`{"sort_by": ["filename"]}`:  {"audit-keys", "sources", "twice"},
		`{"search_text": "EC2"}`:     {"sources"},
		`{"q": "filename=twice"}`:    {"twice"},
		`{"filename": "audit-keys"}`: {"audit-keys"},
	} {
		if diff := cmp.Diff(want, column(t, w.list("cdb_list.get_lists", args), "filename")); diff != "" {
			t.Errorf("lists of %s (-want +got):\n%s", args, diff)
		}
	}
}

func TestIsListName(t *testing.T) {
	for name, want := range map[string]bool{
		"audit-keys": true, "list.txt": true, "list.cdb": false, "list~": false, ".list": false, "list.swp": false, "list.tmp": false,
	} {
		if got := isListName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// Every text is read; what a list was checked to be, is read back whole.
func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"a:b\nc:d\n", "\"x:y\":\"z\"\n", "a\n:b\n", "\"\":\n", "a:b:c\r\n\r\n", "\xff:\x00", "\"a\":\"b\"c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries := parseList(text)
		for _, e := range entries {
			if strings.TrimSpace(e.key) == "" || strings.ContainsAny(e.key+e.value, "\n") {
				t.Fatalf("%q: entry %q", text, e)
			}
			if strings.Contains(e.key, `"`) {
				continue // has no quoted form
			}
			again, quoted, err := parseEntry(`"` + e.key + `":"` + e.value + `"`)
			if err != nil || !quoted || again != e {
				t.Fatalf("%q: quoted it is %q, %v", e, again, err)
			}
		}
		err := checkList(text)
		lines := 0
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if err == nil && len(entries) != lines {
			t.Fatalf("%q: is a list of %d lines, %d entries", text, lines, len(entries))
		}
		if errors.Is(err, errNoEntry) && len(entries) > 0 {
			t.Fatalf("%q: %v, and %d entries", text, err, len(entries))
		}
		items, _ := readList(file{dir: "etc/lists", name: "x"}, text)
		if !json.Valid(items[0].json) || !json.Valid(objectOf(entries)) {
			t.Fatalf("%q: no JSON: %s", text, items[0].json)
		}
	})
}

// Every file of rules or decoders is refused, or its items are JSON.
func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{
		newRule, `<decoder name="a"><regex offset="x">(a)</regex><order>a</order></decoder>`, `<var name="A">x</var><group><rule id="1" level="1"><match>$A</match></rule></group>`,
		`<group name="a,pci_dss_1,"><rule id="1" level="2" noalert="1"><field name="x">y</field><list field="a">b</list><mitre><id>T1</id></mitre></rule></group>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		where := file{dir: "etc/rules", name: "x.xml"}
		rules, _ := parseRules(where, text)
		for _, r := range rules {
			if !json.Valid(r.json) {
				t.Fatalf("rule %s", r.json)
			}
		}
		decoders, _ := parseDecoders(where, text)
		for _, d := range decoders {
			if !json.Valid(d.json) {
				t.Fatalf("decoder %s", d.json)
			}
		}
		if roots, err := parseXML(text); err == nil && !json.Valid(document(roots)) {
			t.Fatalf("document %s", document(roots))
		}
	})
}
