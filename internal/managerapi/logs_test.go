package managerapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// TestParseLine has what a real node makes of each line (measured).
func TestParseLine(t *testing.T) {
	tests := []struct{ text, tag, level, description string }{
		{"2026/11/22 12:00:00 wazuh-remoted: INFO: (1410): Reading.", "wazuh-remoted", "info", " (1410): Reading."},
		{"2026/11/22 12:00:01 wazuh-modulesd:syscollector: WARNING: x", "wazuh-modulesd:syscollector", "warning", " x"},
		{"2026/11/22 12:00:02 rootcheck: ERROR: bad thing: more: INFO: x", "wazuh-rootcheck", "error", " bad thing: more: INFO: x"},
		{"2026/11/22 12:00:02 wazuh-syscheckd:rootcheck: ERROR: bad", "wazuh-rootcheck", "error", " bad"},
		{"2026/11/22 12:00:03 wazuh-db[123] file.c:12 at main(): DEBUG: dbg", "wazuh-db", "debug", " dbg"},
		{"2026/11/22 12:00:05 sca: CRITICAL:no space", "sca", "critical", "no space"},
		{"2026/11/22 12:00:06 sca: CRITICAL:", "sca", "critical", ""},
		{"2026/11/22 12:00:11 sca: INFO: trailing  ", "sca", "info", " trailing  "},
		{text: "2026/11/22 12:00:03 wazuh-db[123] file.c:12 at main(): DEBUG2: dbg"},
		{text: "   continuation line"},
		{text: "2026/11/22 12:00:07 sca: FATAL: x"},
		{text: "2026-11-22 12:00:08 sca: INFO: x"},
		{text: "2026/11/22 12:00:09 a b: INFO: x"},
		{text: "2026/11/22 12:00:09 a: info: x"},
		{text: "2026/11/22  12:00:12  sca:  INFO:  double"},
		{text: "junk 2026/11/22 12:00:13 sca: INFO: inner"},
		{text: "2026/13/45 99:00:10 sca: INFO: no date"}, // fails the whole request on a real node
	}
	for _, test := range tests {
		line, ok := parseLine([]byte(test.text))
		if ok != (test.tag != "") || line.Tag != test.tag || line.Level != test.level || line.Description != test.description {
			t.Errorf("%q: got %+v, %v", test.text, line, ok)
		}
	}
}

func TestLogs_JSON(t *testing.T) {
	h := newHouse(t)
	h.serve(comSocket, always(`ok {"logging": {"plain": "no", "json": "yes"}}`))
	h.write(jsonLog, `{"timestamp":"2026/11/22 12:00:01","tag":"rootcheck","level":"ERROR","description":" x","extra":1}
{"timestamp":"2026/11/22 12:00:02","tag":"wazuh-db","level":"debug2","description":"<d>"}
{"timestamp":"2026/11/22 12:00:03","tag":"wazuh-db","level":"debug"}
not json
{"timestamp":"2026-11-22T12:00:04Z","tag":"wazuh-db","level":"info","description":"d"}
{"timestamp":5,"tag":7,"level":"info","description":"d"}
[]
`)
	const want = `[{"timestamp":"2026-11-22T12:00:02Z","tag":"wazuh-db","level":"debug2","description":"\u003cd\u003e"}]`
	if got := h.items(h.call("wazuh.manager.ossec_log", `{"level": "debug2"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got := h.items(h.call("wazuh.manager.ossec_log_summary", `{}`))
	if !strings.Contains(got, `{"wazuh-db":{"all":1,"info":0,"error":0,"critical":0,"warning":0,"debug":1}}`) {
		t.Errorf("summary %s", got)
	}
}

func TestLogs_Asked(t *testing.T) {
	const log = "2026/11/22 12:00:00 aa: INFO: one\n2026/11/22 12:00:01 bb: ERROR: two\n2026/11/22 12:00:02 aa: ERROR: three\n"
	tests := []struct{ name, kwargs, want string }{
		{"level and tag", `{"level": "error", "tag": "aa"}`, "three"},
		{"a query beside the level", `{"level": "error", "q": "tag=bb"}`, "two"},
		{"a comma is not bound", `{"level": "error", "q": "tag=aa,level=info"}`, "one three"},
		{"search", `{"search_text": "THREE"}`, "three"},
		{"search for what is not", `{"search_text": "three", "complementary_search": true}`, "one two"},
		{"the newest", `{"sort_by": ["timestamp"], "sort_ascending": false, "limit": 1}`, "three"},
		{"a page", `{"offset": 1, "limit": 1}`, "two"},
		{"of another case", `{"level": "Error"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.serve(comSocket, always(`ok {"logging": {"plain": "yes", "json": "yes"}}`))
			h.write(plainLog, log)
			o := h.call("wazuh.manager.ossec_log", test.kwargs)
			var got []string
			for _, item := range o.Result.(*result.Affected).Items {
				var line logLine
				if err := json.Unmarshal(item, &line); err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.TrimSpace(line.Description))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for kwargs, code := range map[string]fault.Code{
		`{"select": ["nope"]}`: fault.BadSelect, `{"sort_by": ["nope"]}`: fault.BadSortField, `{"limit": 0}`: fault.LimitZero,
		`{"limit": 100001}`: fault.LimitTooHigh, `{"q": "level"}`: fault.BadQuery,
	} {
		h := newHouse(t)
		h.serve(comSocket, always(`ok {"logging": {"plain": "yes"}}`))
		h.write(plainLog, log)
		if got := h.failure(h.call("wazuh.manager.ossec_log", kwargs)); got.Code != code {
			t.Errorf("%s: error %v, want %d", kwargs, got, code)
		}
	}
}

func TestLogs_Files(t *testing.T) {
	h := newHouse(t)
	h.serve(comSocket, always(`ok {"logging": {"plain": "yes"}}`))
	if got := h.failure(h.call("wazuh.manager.ossec_log", `{}`)); got.Code != fault.NoLogFile {
		t.Errorf("no file: %v, want 1020", got)
	}
	h = newHouse(t)
	h.pure()
	h.write(jsonLog, `{"timestamp":"2026/11/22 12:00:00","tag":"aa","level":"info","description":"x"}`)
	if got := h.items(h.call("wazuh.manager.ossec_log", `{"select": ["tag"]}`)); got != `[{"tag":"aa"}]` {
		t.Errorf("a pure home: %s", got)
	}
}

// Only the end of a log is looked at, and long lines are cut.
func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var b bytes.Buffer
	for i := range 3*mostLines + 7 {
		fmt.Fprintf(&b, "line %d %s\n", i, strings.Repeat("x", i%200))
	}
	long := strings.Repeat("y", 3*lineCut)
	b.WriteString("long " + long + "\nlast")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := lastLines(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != mostLines {
		t.Fatalf("%d lines, want %d", len(lines), mostLines)
	}
	if got := string(lines[mostLines-1]); got != "last" {
		t.Errorf("last line %q", got)
	}
	if got := string(lines[mostLines-2]); len(got) != lineCut || !strings.HasPrefix(got, "long yyy") {
		t.Errorf("long line has %d bytes and begins %.10q", len(got), got)
	}
	for i, line := range lines[:mostLines-2] {
		n := 3*mostLines + 7 - (mostLines - 2) + i
		if want := fmt.Sprintf("line %d %s", n, strings.Repeat("x", n%200)); string(line) != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
}

func TestLastLines_Odd(t *testing.T) {
	for text, want := range map[string]int{"": 0, "\n": 0, "a": 1, "a\n": 1, "a\r\nb": 2, "x\n\na": 3} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := lastLines(path)
		if err != nil || len(lines) != want {
			t.Errorf("%q: %q, %v", text, lines, err)
		}
	}
	// A log without any line end is looked at for a while only.
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(4 * mostLog); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := lastLines(path)
	if err != nil || len(lines) != 1 || len(lines[0]) != lineCut {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if _, err := lastLines(t.TempDir()); err == nil {
		t.Error("a directory is read as a log")
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("2026/11/22 12:00:03 wazuh-db[123] file.c:12 at main(): DEBUG: dbg"))
	f.Add([]byte("2026/11/22 12:00:02 rootcheck: ERROR: \xff\x00"))
	f.Add([]byte(`{"timestamp":"2026/11/22 12:00:02","tag":"wazuh-db","level":"debug2","description":"d"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) (logLine, bool){parseLine, parseJSONLine} {
			line, ok := parse(text)
			if !ok {
				continue
			}
			item, err := line.json()
			if err != nil || !json.Valid(item) || !utf8.Valid(item) {
				t.Errorf("%q: %s, %v", text, item, err)
			}
		}
	})
}

// Pieces of any size give the lines of the whole.
func FuzzTail(f *testing.F) {
	f.Add("one\ntwo\n\nthree", uint8(2))
	f.Add("\n\n", uint8(1))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		step := int(size)%17 + 1
		in := tail{}
		for end := len(text); end > 0 && !in.full(); end -= step {
			in.take([]byte(text[max(end-step, 0):end]))
		}
		whole := tail{}
		whole.take([]byte(text))
		got, want := fmt.Sprintf("%q", in.lines()), fmt.Sprintf("%q", whole.lines())
		if text != "" && got != want {
			t.Errorf("%q by %d: got %s, want %s", text, step, got, want)
		}
	})
}
