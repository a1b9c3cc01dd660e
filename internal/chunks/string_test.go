package chunks

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func bytesOf(texts ...string) [][]byte {
	list := make([][]byte, 0, len(texts))
	for _, t := range texts {
		list = append(list, []byte(t))
	}
	return list
}

func textsOf(list [][]byte) []string {
	texts := make([]string, 0, len(list))
	for _, c := range list {
		texts = append(texts, string(c))
	}
	return texts
}

func TestEncode_AsTheOriginalDoes(t *testing.T) {
	got := Encode("global sync-agent-info-set", "{}", bytesOf(`[{"id":1,"name":"a"}]`, "[\"ü\U0001F600\\n\x7f\"]\n", "\xff"))
	want := `{"set_data_command": "global sync-agent-info-set", "payload": {}, "chunks": ["[{\"id\":1,\"name\":\"a\"}]", "[\"\u00fc\ud83d\ude00\\n\u007f\"]\n", "\ufffd"]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Encode("c", "{}", nil); string(got) != `{"set_data_command": "c", "payload": {}, "chunks": []}` {
		t.Errorf("without chunks: %s", got)
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string][]string{
		`{"chunks":[]}`: {},
		` { "payload" : {"a":[1,-2.5e3,true,false,null,{"\"":"\\"}]} , "chunks" : [ "a" , "" ] , "x":"y"} `:         {"a", ""},
		`{"chunks":["\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00ä","\ud83d","\ud83dx","\ude00\ud83d\ude00","\ud83d\u0041"]}`: {"\"\\/\b\f\n\r\tä\U0001F600ä", "�", "�x", "�\U0001F600", "�A"},
		`{"chunks":["first"],"chunks":["second"]}`:                                                                  {"second"},
		`{"\u0063hunks":["named oddly"]}`:                                                                           {"named oddly"},
	} {
		got, err := Decode([]byte(text))
		if diff := cmp.Diff(want, textsOf(got.Chunks)); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	got, err := Decode([]byte(`{"set_data_command": "global sql delete", "chunks": []}`))
	if err != nil || got.Command != "global sql delete" {
		t.Errorf("command %q, %v", got.Command, err)
	}
}

func TestDecode_Refused(t *testing.T) {
	for _, text := range []string{
		``, ` `, `null`, `[]`, `"chunks"`, `{`, `{"chunks"`, `{"chunks":`, `{"chunks":[`, `{"chunks":["`, `{"chunks":["a`, `{"chunks":["a"`,
		`{"chunks":["a"]`, `{"chunks":["a",]}`, `{"chunks":["a" "b"]}`, `{"chunks":[1]}`, `{"chunks":{}}`, `{"chunks":null}`, `{"chunks":["a"]}x`,
		`{"chunks":["\x"]}`, `{"chunks":["\u12"]}`, `{"chunks":["\u12g4"]}`, `{"chunks":["\"]}`, `{"chunks":["` + "\n" + `"]}`,
		`{"a":tru,"chunks":[]}`, `{"a":-,"chunks":[]}`, `{"a":,"chunks":[]}`, `{"a":"\`, `{a:1}`, `{"a" 1}`,
		`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,"chunks":[]}`,
	} {
		var syntax *SyntaxError
		if _, err := Decode([]byte(text)); !errors.As(err, &syntax) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	if _, err := Decode([]byte(`{"payload":{}}`)); !errors.Is(err, ErrNoChunks) {
		t.Errorf("without chunks: %v", err)
	}
	many := `{"chunks":["` + strings.Repeat(`","`, MaxChunks-1) + `"`
	if _, err := Decode([]byte(many + `]}`)); err != nil {
		t.Errorf("%d chunks: %v", MaxChunks, err)
	}
	if _, err := Decode([]byte(many + `,""]}`)); !errors.Is(err, ErrTooMany) {
		t.Errorf("more than %d chunks: %v", MaxChunks, err)
	}
}

func TestDecode_OfEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.String()).Draw(t, "texts")
		encoded := Encode("c", `{"mode": "override"}`, bytesOf(texts...))
		var other struct {
			Chunks []string `json:"chunks"`
		}
		if err := json.Unmarshal(encoded, &other); err != nil {
			t.Fatal(err)
		}
		got, err := Decode(encoded)
		if err != nil || got.Command != "c" {
			t.Fatalf("%q, %v", got.Command, err)
		}
		for i, want := range texts {
			if !utf8.ValidString(want) {
				want = strings.ToValidUTF8(want, "�")
			}
			if string(got.Chunks[i]) != want || other.Chunks[i] != want {
				t.Fatalf("chunk %d is %q and %q, was %q", i, got.Chunks[i], other.Chunks[i], want)
			}
		}
	})
}

func TestParseGroups(t *testing.T) {
	for text, want := range map[string]Groups{
		`[{"data":[{"id":1,"groups":["default"]}]}]`:            {Data: []byte(`[{"id":1,"groups":["default"]}]`)},
		`[{"data":[],"hash":"ab"}]`:                             {Data: []byte(`[]`), HasHash: true, Hash: "ab"},
		`[{"hash":null,"data":[]}]`:                             {Data: []byte(`[]`), HasHash: true},
		`[{"x":{"y":[1]},"data":[{"\"":"\u00e4"}]},{"data":1}]`: {Data: []byte(`[{"\"":"\u00e4"}]`)},
	} {
		got, err := ParseGroups([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for _, text := range []string{``, `{}`, `[]`, `[1]`, `[{}]`, `[{"data":{}}]`, `[{"data":null}]`, `[{"data":[`, `[{"data":[]}]x`} {
		if got, err := ParseGroups([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// Whatever comes, what we take is what another reader takes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"set_data_command": "c", "payload": {}, "chunks": ["[{\"id\":1}]", "\ud83d\ude00\u00e4"]}`))
	f.Add([]byte(`{"chunks":["a"],"x":[{"y":"\""}],"chunks":["b","c"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var other map[string]json.RawMessage
		otherErr := json.Unmarshal(data, &other)
		got, err := Decode(bytes.Clone(data))
		if otherErr != nil || !utf8.Valid(data) {
			return // numbers are not checked, nor is what is no UTF-8
		}
		var texts []*string
		strictErr := json.Unmarshal(other["chunks"], &texts)
		if err != nil {
			var syntax *SyntaxError
			if strictErr == nil && texts != nil && !errors.As(err, &syntax) {
				t.Errorf("%v for %q", err, data)
			}
			return
		}
		if strictErr != nil || len(texts) != len(got.Chunks) {
			t.Fatalf("%d chunks, another reader has %d, %v", len(got.Chunks), len(texts), strictErr)
		}
		for i, want := range texts {
			if want == nil || string(got.Chunks[i]) != *want {
				t.Fatalf("chunk %d is %q", i, got.Chunks[i])
			}
		}
	})
}

func FuzzParseGroups(f *testing.F) {
	f.Add([]byte(`[{"data":[{"id":1,"groups":["default","web"]}],"hash":"2196d34b90177314d288df2ea5be4822b7dd8c67"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseGroups(bytes.Clone(data))
		if err == nil && (len(got.Data) < 2 || got.Data[0] != '[' || len(got.Hash) > 64) {
			t.Errorf("%+v", got)
		}
	})
}

func FuzzParseResult(f *testing.F) {
	f.Add([]byte(`{"updated_chunks": 1, "error_messages": ["Error 2003 - x"], "time_spent": 0.0012574359998325235}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseResult(data)
		if err != nil {
			return
		}
		again, err := ParseResult(r.JSON())
		if err != nil || again.Chunks != r.Chunks || len(again.Errors) != len(r.Errors) || again.String != strings.ToValidUTF8(r.String, "�") {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

// agentInfo is n agents as they are sent, in chunks of some 64 kB.
func agentInfo(n int) (list [][]byte) {
	const row = `{"id":1,"name":"agent-000001","ip":"10.0.0.1","os_name":"Debian GNU/Linux","os_version":"12","os_major":"12","os_minor":"5","os_codename":"bookworm","os_platform":"debian","os_uname":"Linux |agent-1 |6.1.0-18-amd64 |#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) |x86_64","os_arch":"x86_64","version":"Wazuh v4.7.5","config_sum":"ab73af41699f13fdd81903b5f23d8d00","merged_sum":"4a8724b20dee0124ff9656783c490c4e","manager_host":"manager01","node_name":"w1","last_keepalive":1795347345,"connection_status":"active","disconnection_time":0,"group_config_status":"synced","status_code":0}`
	const rows = 65_000 / len(row)
	for ; n > 0; n -= rows {
		list = append(list, []byte("["+strings.Repeat(row+",", min(n, rows)-1)+row+"]"))
	}
	return list
}

func BenchmarkEncode(b *testing.B) {
	list := agentInfo(100_000)
	b.SetBytes(int64(len(Encode("c", "{}", list))))
	b.ReportAllocs()
	for b.Loop() {
		Encode("c", "{}", list)
	}
}

func BenchmarkDecode(b *testing.B) {
	text := Encode("c", "{}", agentInfo(100_000))
	data := make([]byte, len(text))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		copy(data, text)
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// The same by encoding/json, to compare.
func BenchmarkDecodeByEncodingJSON(b *testing.B) {
	text := Encode("c", "{}", agentInfo(100_000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var s struct {
			Chunks []string `json:"chunks"`
		}
		if err := json.Unmarshal(text, &s); err != nil {
			b.Fatal(err)
		}
	}
}
