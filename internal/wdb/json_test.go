package wdb

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDecode_AcceptsAndRefuses(t *testing.T) {
	for text, good := range map[string]bool{
		`{"id":1}`: true, ` [1, 2 ,3] `: true, "\ufeff{}": true, `null`: true, `5`: true, `"x"`: true,
		`01`: true, `5.`: true, `-.5`: true, `1e400`: true, `{"a":1}` + " \n\x01": true,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000): true,
		strings.Repeat("[", 1001) + strings.Repeat("]", 1001): false,
		``: false, ` `: false, `{`: false, `{}}`: false, `[1,]`: false, `{"a":1,}`: false, `{a:1}`: false,
		`+5`: false, `.5`: false, `-`: false, `5e`: false, `5e+`: false, `1-2`: false, `1e2e3`: false, `0x11`: false,
		`NaN`: false, `nullx`: false, `True`: false, `"\x"`: false, `"\ud83d"`: false, `"\udc00"`: false,
		`"\ud83dx"`: false, `"\ud83d\ud83d"`: false, `"\u12g4"`: false, `"\u12`: false, `"x`: false, `"x\`: false,
		`{"a" 1}`: false, `{"a"`: false, `{"a":`: false, `{1:2}`: false, `[1 2]`: false,
	} {
		if _, err := decode(text); (err == nil) != good {
			t.Errorf("decode(%.40q): %v", text, err)
		}
	}
}

func TestDecode_Numbers(t *testing.T) {
	for text, want := range map[string]int32{
		"4.7": 4, "-4.7": -4, "1e3": 1000, "01": 1, "2147483648": 2147483647, "-1e99": -2147483648,
		"1e400": 2147483647, "253402300799": 2147483647, "-0": 0, strings.Repeat("1", 80): 2147483647,
	} {
		v, err := decode(text)
		if err != nil {
			t.Errorf("decode(%s): %v", text, err)
			continue
		}
		if got, ok := v.int(); !ok || got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
}

func TestDecode_Strings(t *testing.T) {
	for text, want := range map[string]string{
		`"a\u0000b"`: "a", `"\ud83d\ude00 \/ \u00e9 \"\\\b\f\n\r\t"`: "\U0001f600 / é \"\\\b\f\n\r\t",
		"\"a\xff\x01\n\"": "a\xff\x01\n", `""`: "", `"\u0041bc"`: "Abc",
	} {
		v, err := decode(text)
		if err != nil {
			t.Errorf("decode(%q): %v", text, err)
			continue
		}
		if got, ok := v.text(); !ok || got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestDecode_Members(t *testing.T) {
	v, err := decode(`{"ID":1,"id":2,"list":[1,"x",{"y":[]}],"na\u006de":"n","last":true}`)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := v.get("id").int(); !ok || id != 1 {
		t.Errorf("the first of two names counts, got %d", id)
	}
	if name, ok := v.get("NAME").text(); !ok || name != "n" {
		t.Errorf("got %q", name)
	}
	if v.get("y").d != nil || !v.get("last").is(kindTrue) || !v.get("list").is(kindList) {
		t.Error("members are not where they should be")
	}
	var kinds []kind
	for m := range v.get("list").each {
		kinds = append(kinds, m.node().kind)
	}
	if len(kinds) != 3 || kinds[0] != kindNumber || kinds[1] != kindString || kinds[2] != kindObject {
		t.Errorf("got %v", kinds)
	}
	for range v.get("absent").each {
		t.Error("an absent value has members")
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]int64{"12": 12, "007x": 7, "\t5": 5, "-3": -3, "+4": 4, "": 0, "x": 0, "-": 0} {
		if got, _ := number(text); got != want {
			t.Errorf("number(%q) = %d, want %d", text, got, want)
		}
	}
}

// Whatever strict JSON is, is read alike.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"id":1,"a":[true,null,"\u00e9"]}`, `[1e5,-0.5]`, `"\ud83d\ude00"`, `{"a":{"a":{}}}`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decode(text)
		var want any
		if len(text) > 1000 || json.Unmarshal([]byte(text), &want) != nil {
			return
		}
		if err != nil && !strings.Contains(text, `\u`) { // half a surrogate pair is no mistake there
			t.Fatalf("refused %q", text)
		}
		if err == nil {
			compare(t, v, want)
		}
	})
}

func compare(t *testing.T, v value, want any) {
	t.Helper()
	switch want := want.(type) {
	case float64:
		if v.node().number != want {
			t.Errorf("number %v, want %v", v.node().number, want)
		}
	case bool:
		if v.is(kindTrue) != want {
			t.Errorf("got kind %v, want %v", v.node().kind, want)
		}
	case []any:
		i := 0
		for m := range v.each {
			compare(t, m, want[i])
			i++
		}
		if i != len(want) || !v.is(kindList) {
			t.Errorf("list of %d, want %d", i, len(want))
		}
	}
}

// What a text makes us hold follows from the values in it, not from what could
// be values.
func TestDecode_RoomFollowsTheValues(t *testing.T) {
	const length, first = requestBytes, 17 + requestBytes/bytesPerNode
	for name, c := range map[string]struct {
		text string
		most int // values there is room for
	}{
		"commas":             {"[" + strings.Repeat(",", length), first},
		"commas in a string": {`["` + strings.Repeat(",", length) + `"]`, first},
		"brackets":           {strings.Repeat("[", length), first},
		"few":                {`[1,2]`, 3},
		"few of many signs":  {`[1,"` + strings.Repeat("[", 700) + `"]`, 16 + 100 + 1},
		"as many as fit":     {"[" + strings.Repeat("1,", length/2) + "1]", length/2 + 2},
	} {
		p := parser{document: newDocument(c.text), text: c.text}
		_, _ = p.value(0) // that some are not JSON is not the point
		if got := cap(p.nodes); got > c.most {
			t.Errorf("%s: room for %d values, want at most %d", name, got, c.most)
		}
	}
	many := "[" + strings.Repeat("1,", length/2) + "1]"
	allocated := testing.AllocsPerRun(5, func() { _, _ = decode(many) })
	if allocated > 5 {
		t.Errorf("%v allocations for many values", allocated)
	}
}

func BenchmarkDecode_Commas(b *testing.B) {
	text := "[" + strings.Repeat(",", requestBytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(text); err == nil {
			b.Fatal("decoded")
		}
	}
}
