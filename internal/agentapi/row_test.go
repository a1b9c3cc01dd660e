package agentapi

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/query"
)

// values is a row of integers, texts and nils.
type values []any

func (v values) Null(column int) bool { return v[column] == nil }

func (v values) Int64(column int) int64 {
	n, _ := v[column].(int)
	return int64(n)
}

func (v values) AppendText(dst []byte, column int) []byte {
	s, _ := v[column].(string)
	return append(dst, s...)
}

func TestRowWriter(t *testing.T) {
	fields := func(names ...string) []*query.Field {
		table := New(Config{}).agentTable()
		list := make([]*query.Field, len(names))
		for i, name := range names {
			list[i] = table.Field(name)
		}
		return list
	}
	for _, tt := range []struct {
		names []string
		row   values
		want  string
	}{
		{[]string{"id", "name"}, values{7, "a"}, `{"id":"007","name":"a"}`},
		{[]string{"os.name", "os.version", "id"}, values{"x", nil, 12345}, `{"os":{"name":"x"},"id":"12345"}`},
		{[]string{"os.name", "os.version", "id"}, values{nil, nil, 1}, `{"id":"001"}`},
		{[]string{"os.name"}, values{"x"}, `{"os":{"name":"x"}}`},
		{[]string{"os.name", "os.version"}, values{nil, "1"}, `{"os":{"version":"1"}}`},
		{[]string{"name"}, values{nil}, `{}`},
		{[]string{"name"}, values{""}, `{"name":""}`},
		{[]string{"name"}, values{"a\"b\\c\n<é>\xff"}, `{"name":"a\"b\\c\n<é>\ufffd"}`},
		{[]string{"name", "version"}, values{"é", nil}, `{"name":"é"}`},
		{[]string{"group"}, values{"default,we\"b"}, `{"group":["default","we\"b"]}`},
		{[]string{"status_code", "disconnection_time", "name"}, values{0, 0, "z"}, `{"status_code":0,"name":"z"}`},
		{[]string{"lastKeepAlive"}, values{253402300799}, `{"lastKeepAlive":{"__wazuh_datetime__":"9999-12-31T23:59:59+00:00"}}`},
		{[]string{"lastKeepAlive"}, values{253402300800}, `{}`},
		{[]string{"lastKeepAlive"}, values{-1}, `{}`},
	} {
		got := newRowWriter(fields(tt.names...)).append(nil, tt.row)
		if !json.Valid(got) {
			t.Errorf("%v: no JSON: %s", tt.row, got)
		}
		if d := cmp.Diff(tt.want, string(got)); d != "" {
			t.Errorf("%v (-want +got)\n%s", tt.row, d)
		}
	}
	got := newRowWriter(fields("os.name", "name")).unknown().append(nil, values{nil, nil})
	if want := `{"os":{"name":"unknown"},"name":"unknown"}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCalendar(t *testing.T) {
	var c calendar
	for _, at := range []int64{0, 59, 86399, 86400, 86399, 951782400, 1700000000, 1700000001, lastMoment} {
		want := time.Unix(at, 0).UTC().Format(`{"__wazuh_datetime__":"2006-01-02T15:04:05+00:00"}`)
		if got := string(c.append(nil, at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, id := range []int64{0, 7, 42, 99, 100, 999, 1000, 12345} {
		if got, want := string(appendID(nil, id)), agent.ID(id).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// However many texts are kept, none changes another.
func TestShelf(t *testing.T) {
	var s shelf
	var kept [][]byte
	for i := range 3000 {
		kept = append(kept, s.add(func(dst []byte) []byte { return appendID(dst, int64(i*i)) }))
	}
	kept[5] = append(kept[5], "overflow"...)
	for i, text := range kept {
		if want := string(appendID(nil, int64(i*i))); i != 5 && string(text) != want {
			t.Fatalf("text %d is %q", i, text)
		}
	}
	if large := s.add(func(dst []byte) []byte { return append(dst, make([]byte, 2*mostPiece)...) }); len(large) != 2*mostPiece {
		t.Error("a large text is cut")
	}
}

// A text stands in JSON as it is when it has neither quotes, backslashes nor
// control characters and is UTF-8, wherever in it something else may stand.
func TestPlain(t *testing.T) {
	for size := range 20 {
		text := bytes.Repeat([]byte("a"), size)
		if !plain(text) {
			t.Errorf("%q", text)
		}
		for at := range size {
			for c := range 256 {
				text[at] = byte(c)
				want := c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf
				if got := plain(text); got != want {
					t.Errorf("%q: %v", text, got)
				}
			}
			text[at] = 'a'
		}
		if text = append(append(text, "é世"...), bytes.Repeat([]byte("z"), size)...); !plain(text) {
			t.Errorf("%q", text)
		}
	}
}
