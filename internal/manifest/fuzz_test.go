package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// oracle reads a manifest by encoding/json. ok is false when it is not what
// Read takes.
func oracle(data []byte) (map[string]Entry, bool) {
	if !json.Valid(data) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	out := map[string]Entry{}
	for dec.More() {
		name, _ := dec.Token()
		fields, ok := members(dec)
		if !ok {
			return nil, false
		}
		e := Entry{Size: SizeUnknown}
		for key, target := range map[string]any{"mod_time": &e.ModTime, "cluster_item_key": &e.ItemKey, "merged": &e.Merged} {
			if raw, given := fields[key]; given && (string(raw) == "null" || json.Unmarshal(raw, target) != nil) {
				return nil, false
			}
		}
		text, err := strconv.Unquote(string(fields["hash"]))
		if _, given := fields["cluster_item_key"]; err != nil || !given {
			return nil, false
		}
		if e.Digest, err = ParseDigest(text); err != nil {
			return nil, false
		}
		e.Path = name.(string)
		out[e.Path] = e
	}
	return out, true
}

// members reads an object; ok is false for what is none, or has a key twice
// that Read reads.
func members(dec *json.Decoder) (fields map[string]json.RawMessage, ok bool) {
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	fields = map[string]json.RawMessage{}
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		_, twice := fields[key.(string)]
		if twice && memberBit([]byte(key.(string))) != 0 || dec.Decode(&value) != nil {
			return nil, false
		}
		fields[key.(string)] = value
	}
	_, err := dec.Token()
	return fields, err == nil
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"a":{"hash":7,"cluster_item_key":"k","hash":"` + hashOf("") + `"}}`))
	f.Add([]byte(`{"a":{"hash":"` + hashOf("") + `","cluster_item_key":"k","hash":7}}`))
	f.Add([]byte(`{` + meta("a", "1") + `, ` + meta("b/\u00e4", "2") + `}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"a":{"x":[1,{"y":null}],"cluster_item_key":"\u006b\ud83d\udc22","mod_time":-1.5e3,"merged":true,"hash":"` + hashOf("") + `"}}`))
	f.Add([]byte(`{"x\udcff":{"cluster_item_key":"k/","hash":"` + hashOf("") + `"}}`))
	f.Add([]byte("{\"\xff\":{}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, err := Read(bytes.NewReader(data), Limits{})
		pieces, err2 := Read(iotest.OneByteReader(bytes.NewReader(data)), Limits{})
		if (err == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, byte by byte: %v", err, err2)
		}
		step := 1 + len(data)%40
		if _, err3 := Read(&shortReader{data, step}, Limits{}); (err == nil) != (err3 == nil) {
			t.Fatalf("whole: %v, %d bytes a time: %v", err, step, err3)
		}
		want, ok := oracle(data)
		if err != nil {
			// Stricter than the oracle: duplicates, invalid UTF-8, depth, length.
			plain := bytes.IndexByte(data, '\\') < 0 && bytes.IndexFunc(data, func(r rune) bool { return r > 126 }) < 0
			if ok && plain && len(data) < 4000 && !strings.Contains(err.Error(), "twice") && !strings.Contains(err.Error(), "deep") &&
				!strings.Contains(err.Error(), "out of range") {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !ok {
			t.Fatalf("accepted what encoding/json does not")
		}
		if diff := cmp.Diff(whole.Entries(), pieces.Entries()); diff != "" {
			t.Fatal(diff)
		}
		for _, e := range whole.Entries() {
			if diff := cmp.Diff(want[e.Path], e); diff != "" {
				t.Fatal(diff)
			}
		}
		var b bytes.Buffer
		if err := whole.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		back, err := Read(&b, Limits{})
		if err != nil || back.Sum() != whole.Sum() {
			t.Fatalf("not the same after writing: %v", err)
		}
	})
}

func FuzzReadDifference(f *testing.F) {
	f.Add([]byte(`{"missing": {` + meta("a", "1") + `}, "extra": {` + meta("b", "1") + `}, "shared": {` + meta("c", "1") + `}}`))
	f.Add([]byte(`{"missing": {}, "extra": {}, "shared": {}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadDifference(bytes.NewReader(data), Limits{})
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := d.WriteJSON(&first); err != nil {
			t.Fatal(err)
		}
		again, err := ReadDifference(bytes.NewReader(first.Bytes()), Limits{})
		if err != nil {
			t.Fatalf("not read back: %v", err)
		}
		if err := again.WriteJSON(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%s\n%s", first.Bytes(), second.Bytes())
		}
	})
}
