package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"testudo/internal/recording"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func hashOf(content string) string { return DigestOf([]byte(content)).String() }

// meta is the JSON of one entry.
func meta(path, content string) string {
	return fmt.Sprintf(`%q: {"mod_time": 1700000000.5, "cluster_item_key": "etc/rules/", "merged": false, "hash": %q}`,
		path, hashOf(content))
}

func TestWriteJSON_Bytes(t *testing.T) {
	e := Entry{Path: "etc/rules/a.xml", ItemKey: "etc/rules/", ModTime: 1700000000.1234567, Digest: DigestOf(nil), Merged: true, Size: 9}
	odd := Entry{Path: "etc/rules/ä\"\\\U0001f422\x7f\t", ItemKey: "etc/rules/", ModTime: 1700000000}
	var b strings.Builder
	if err := mustNew(t, e, odd).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"etc/rules/a.xml": {"mod_time": 1700000000.1234567, "cluster_item_key": "etc/rules/", "merged": false, "hash": "` +
		hashOf("") + `"}, "etc/rules/\u00e4\"\\\ud83d\udc22` + "\x7f" + `\t": {"mod_time": 1700000000.0, ` +
		`"cluster_item_key": "etc/rules/", "merged": false, "hash": "` + strings.Repeat("0", 128) + `"}}`
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
}

func TestWriteJSON_Difference(t *testing.T) {
	var b strings.Builder
	d := Difference{Extra: []Entry{file("x", "1")}}
	if err := d.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if want := `{"missing": {}, "extra": {` + meta("etc/rules/x", "1") + `}, "shared": {}}`; b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
	b.Reset()
	if err := (Difference{}).WriteJSON(&b); err != nil || b.String() != `{"missing": {}, "extra": {}, "shared": {}}` {
		t.Errorf("empty: %s %v", b.String(), err)
	}
}

func TestWriteJSON_ModTimes(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 1700000000: "1700000000.0", 1795347342.2915015: "1795347342.2915015", -1.5: "-1.5",
		1e-9: "1e-09", 1e18: "1e+18", math.NaN(): "0.0", math.Inf(1): "0.0",
	} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}

func TestWriteJSON_ReportsTheWritersError(t *testing.T) {
	broken := errors.New("disk full")
	w := iotest.TruncateWriter(io.Discard, 0)
	if err := mustNew(t, many(1000)...).WriteJSON(w); err != nil {
		t.Errorf("a writer that swallows: %v", err)
	}
	if err := mustNew(t, many(1000)...).WriteJSON(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestRead(t *testing.T) {
	h := hashOf("1")
	one := Entry{Path: "a", ItemKey: "k/", Digest: DigestOf([]byte("1")), Size: SizeUnknown}
	with := func(f func(*Entry)) []Entry {
		e := one
		f(&e)
		return []Entry{e}
	}
	cases := []struct {
		name, text string
		want       []Entry
	}{
		{"nothing", ` { } `, nil},
		{"the least", `{"a":{"cluster_item_key":"k/","hash":"` + h + `"}}`, []Entry{one}},
		{"merged with its keys", `{"a":{"mod_time":1,"cluster_item_key":"k/","merged":true,"merge_type":"TYPE","merge_name":"/x","hash":"` + h + `"}}`,
			with(func(e *Entry) { e.Merged, e.ModTime = true, 1 })},
		{"unknown keys of every kind", `{"a":{"x":[1,[],{}, {"y":null}],"z":"\u00e4\n","t":true,"f":false,"n":-1.5e+3,"cluster_item_key":"k/","hash":"` + h + `"}}`, []Entry{one}},
		{"escapes", `{"\u00e4\/\ud83D\uDc22\t":{"cluster_item_key":"\u006b/","hash":"` + h + `"}}`,
			with(func(e *Entry) { e.Path = "ä/\U0001f422\t" })},
		{"raw UTF-8", `{"ä🐢":{"cluster_item_key":"k/","hash":"` + h + `"}}`, with(func(e *Entry) { e.Path = "ä🐢" })},
		{"a name the original could not write", `{"x\udcff":{"cluster_item_key":"k/","hash":"` + h + `"},"a":{"cluster_item_key":"k/","hash":"` + h + `"}}`, []Entry{one}},
		{"a half pair before an escape", `{"x\ud83d\n":{"cluster_item_key":"k/","hash":"` + h + `"}}`, nil},
		{"unsorted", `{"b":{"cluster_item_key":"k/","hash":"` + h + `"},"a":{"cluster_item_key":"k/","hash":"` + h + `"}}`,
			[]Entry{one, {Path: "b", ItemKey: "k/", Digest: one.Digest, Size: SizeUnknown}}},
		{"an empty path", `{"":{"cluster_item_key":"k/","hash":"` + h + `"}}`, with(func(e *Entry) { e.Path = "" })},
	}
	for _, c := range cases {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.text), "byte by byte": iotest.OneByteReader(strings.NewReader(c.text)),
			"data with the end": iotest.DataErrReader(strings.NewReader(c.text)),
		} {
			m, err := Read(r, Limits{})
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, name, err)
			} else if diff := cmp.Diff(c.want, m.Entries(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %s: %s", c.name, name, diff)
			}
		}
	}
}

func TestRead_Refuses(t *testing.T) {
	h := hashOf("1")
	ok := `"cluster_item_key":"k/","hash":"` + h + `"`
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, text := range map[string]string{
		"no text":                    ``,
		"an array":                   `[]`,
		"null":                       `null`,
		"cut off":                    `{"a":{` + ok,
		"cut off in a string":        `{"a`,
		"something behind":           `{} {}`,
		"a path twice":               `{"a":{` + ok + `},"a":{` + ok + `}}`,
		"a key twice":                `{"a":{` + ok + `,"hash":"` + h + `"}}`,
		"no hash":                    `{"a":{"cluster_item_key":"k/"}}`,
		"no key":                     `{"a":{"hash":"` + h + `"}}`,
		"entry is text":              `{"a":"x"}`,
		"entry is null":              `{"a":null}`,
		"hash is a number":           `{"a":{"cluster_item_key":"k/","hash":1}}`,
		"hash too short":             `{"a":{"cluster_item_key":"k/","hash":"` + h[2:] + `"}}`,
		"hash in capitals":           `{"a":{"cluster_item_key":"k/","hash":"` + strings.ToUpper(h) + `"}}`,
		"mod_time is text":           `{"a":{"mod_time":"1",` + ok + `}}`,
		"mod_time is infinite":       `{"a":{"mod_time":Infinity,` + ok + `}}`,
		"mod_time out of range":      `{"a":{"mod_time":1e999,` + ok + `}}`,
		"mod_time without end":       `{"a":{"mod_time":1.,` + ok + `}}`,
		"mod_time with leading zero": `{"a":{"mod_time":01,` + ok + `}}`,
		"mod_time of many digits":    `{"a":{"mod_time":` + strings.Repeat("1", 600) + `,` + ok + `}}`,
		"merged is a number":         `{"a":{"merged":0,` + ok + `}}`,
		"merged is nearly true":      `{"a":{"merged":trux,` + ok + `}}`,
		"half a pair as the key":     `{"a":{"cluster_item_key":"\ud800","hash":"` + h + `"}}`,
		"a comma too many":           `{"a":{` + ok + `},}`,
		"no colon":                   `{"a" {` + ok + `}}`,
		"a raw line feed":            "{\"a\n\":{" + ok + `}}`,
		"invalid UTF-8":              "{\"a\xff\":{" + ok + `}}`,
		"an unknown escape":          `{"a\x":{` + ok + `}}`,
		"a bad unicode escape":       `{"a\u12g4":{` + ok + `}}`,
		"an unknown value too deep":  `{"a":{"x":` + deep + `,` + ok + `}}`,
	} {
		for kind, r := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
			if m, err := Read(r, Limits{}); !errors.Is(err, ErrMetadata) || m != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
}

func TestRead_Limits(t *testing.T) {
	text := `{` + meta("a", "1") + `, ` + meta("bb", "2") + `}`
	for name, c := range map[string]struct {
		l  Limits
		ok bool
	}{
		"just enough":      {Limits{Entries: 2, PathBytes: 10, Bytes: int64(len(text))}, true},
		"too many entries": {Limits{Entries: 1}, false},
		"a path too long":  {Limits{PathBytes: 1}, false},
		"too many bytes":   {Limits{Bytes: int64(len(text)) - 1}, false},
	} {
		_, err := Read(strings.NewReader(text), c.l)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := `{"a":{"x":"` + strings.Repeat("y", maxText+1) + `"}}`
	if _, err := Read(strings.NewReader(long), Limits{}); !errors.Is(err, ErrLimit) {
		t.Errorf("a long unknown value: %v", err)
	}
}

// endless gives a path without end, or entries without end.
func TestRead_StopsAtTheLimitOfAnEndlessStream(t *testing.T) {
	for name, part := range map[string]string{"string": "x", "white space": " ", "number": "1", "array": "["} {
		start := map[string]string{"string": `{"`, "white space": `{`, "number": `{"a":{"mod_time":`, "array": `{"a":{"x":`}[name]
		r := io.MultiReader(strings.NewReader(start), &repeat{part: []byte(part)})
		if _, err := Read(r, Limits{Bytes: 1 << 20}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type repeat struct{ part []byte }

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.part[i%len(r.part)]
	}
	return len(p), nil
}

func TestRead_PassesOnTheReadersError(t *testing.T) {
	broken := errors.New("connection reset")
	for _, text := range []string{``, `{`, `{"a`, `{"a":{"mod_time":1`, `{"a":{"merged":tr`, `{}`} {
		r := io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		if _, err := Read(r, Limits{}); !errors.Is(err, broken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadDifference(t *testing.T) {
	text := `{"shared": {` + meta("s", "1") + `}, "later": [1], "missing": {` + meta("m2", "1") + `, ` + meta("m1", "1") + `}, "extra": {}}`
	d, err := ReadDifference(strings.NewReader(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if paths(d.Missing) != "m1 m2" || paths(d.Shared) != "s" || len(d.Extra) != 0 {
		t.Errorf("%+v", d)
	}
	for name, bad := range map[string]string{
		"a class missing":          `{"missing": {}, "extra": {}}`,
		"nothing":                  `{}`,
		"a class twice":            `{"missing": {}, "extra": {}, "shared": {}, "extra": {}}`,
		"a class is a list":        `{"missing": [], "extra": {}, "shared": {}}`,
		"a path in two classes":    `{"missing": {` + meta("a", "1") + `}, "extra": {` + meta("a", "1") + `}, "shared": {}}`,
		"a path twice in one":      `{"missing": {` + meta("a", "1") + `,` + meta("a", "2") + `}, "extra": {}, "shared": {}}`,
		"a worker's metadata":      `{` + meta("a", "1") + `}`,
		"a class and then the end": `{"missing": {}`,
	} {
		if _, err := ReadDifference(strings.NewReader(bad), Limits{}); !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadDifference(strings.NewReader(text), Limits{Entries: 2}); !errors.Is(err, ErrLimit) {
		t.Errorf("entries are counted over all classes: %v", err)
	}
}

func TestJSON_ThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.StringN(0, 12, -1), rapid.ID).Draw(t, "names")
		var entries []Entry
		for _, name := range names {
			entries = append(entries, Entry{
				Path: name, ItemKey: rapid.SampledFrom([]string{"etc/", "ä/"}).Draw(t, "key"),
				ModTime: rapid.Float64().Draw(t, "time"), Digest: DigestOf([]byte(name)), Size: SizeUnknown,
			})
		}
		m, err := New(entries)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := m.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b.Bytes()) {
			t.Fatalf("no JSON: %s", b.Bytes())
		}
		back, err := Read(&b, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m.Entries(), back.Entries()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What real nodes sent is read, and each entry is written as they wrote it.
func TestJSON_Recordings(t *testing.T) {
	type content struct {
		Dir     string
		Entries []struct{ Name, Text string }
	}
	seen := map[string]int{}
	for _, zip := range recording.Lines[content](t, "golden/cluster/main-worker.zips.jsonl") {
		text := zip.Entries[len(zip.Entries)-1].Text
		var entries []Entry
		if zip.Dir == "c2s" {
			m, err := Read(strings.NewReader(text), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			entries = m.Entries()
		} else {
			d, err := ReadDifference(strings.NewReader(text), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			entries = append(append(append(entries, d.Missing...), d.Extra...), d.Shared...)
		}
		if len(entries) != strings.Count(text, "cluster_item_key") {
			t.Errorf("%d entries of %s", len(entries), text)
		}
		for _, e := range entries {
			if !strings.Contains(text, string(appendEntry(nil, &e))) {
				t.Errorf("%s is not in %s", appendEntry(nil, &e), text)
			}
			if err := DefaultItems().Check(e); err != nil {
				t.Error(err)
			}
		}
		seen[zip.Dir] += len(entries)
	}
	if seen["c2s"] == 0 || seen["s2c"] == 0 {
		t.Errorf("entries seen: %v", seen)
	}
}

func TestReadDifference_WhereverTheBufferEnds(t *testing.T) {
	var d Difference
	for i := range 300 {
		d.Missing = append(d.Missing, Entry{
			Path: fmt.Sprintf("etc/shared/group-%03d/file-%06d.conf", i/500, i), ItemKey: "etc/shared/",
			ModTime: 1795387761.098952 + float64(i)*0.0137, Digest: DigestOf([]byte{byte(i), byte(i >> 8)}),
		})
	}
	var text bytes.Buffer
	if err := d.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	for step := 1; step < 700; step += 3 {
		got, err := ReadDifference(&shortReader{text.Bytes(), step}, Limits{})
		if err != nil || len(got.Missing) != len(d.Missing) {
			t.Fatalf("reads of %d bytes: %d entries, %v", step, len(got.Missing), err)
		}
	}
}

// shortReader gives at most step bytes a time.
type shortReader struct {
	rest []byte
	step int
}

func (r *shortReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
