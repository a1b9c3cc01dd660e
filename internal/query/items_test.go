package query

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/fault"
)

var files = []json.RawMessage{
	json.RawMessage(`{"name":"b.conf","size":10,"tags":["red","big"],"made":"2024-03-01T08:00:00Z","of":{"who":"Ann"}}`),
	json.RawMessage(`{"name":"A.conf","size":9,"tags":[],"made":"2024-03-02T08:00:00Z","of":{"who":"bob"}}`),
	json.RawMessage(`{"name":"c.txt","size":100,"made":"2023-01-01T00:00:00Z","open":true}`),
}

// namesOf gives the names of items, or the items that have none.
func namesOf(t *testing.T, items []json.RawMessage) []string {
	t.Helper()
	list := []string{}
	for _, raw := range items {
		var f struct{ Name string }
		if err := json.Unmarshal(raw, &f); err != nil || f.Name == "" {
			f.Name = string(raw)
		}
		list = append(list, f.Name)
	}
	return list
}

func TestItems(t *testing.T) {
	for name, c := range map[string]struct {
		request Request
		want    []string
		total   int
	}{
		"everything":               {Request{}, []string{"b.conf", "A.conf", "c.txt"}, 3},
		"a piece":                  {Request{Offset: 1, Limit: 1}, []string{"A.conf"}, 3},
		"behind the end":           {Request{Offset: 9, Limit: 1}, []string{}, 3},
		"by text":                  {Request{Sort: &Sort{[]string{"name"}, "asc"}}, []string{"A.conf", "b.conf", "c.txt"}, 3},
		"by number":                {Request{Sort: &Sort{[]string{"size"}, "desc"}}, []string{"c.txt", "b.conf", "A.conf"}, 3},
		"by one that lacks":        {Request{Sort: &Sort{[]string{"of.who"}, "asc"}}, []string{"c.txt", "b.conf", "A.conf"}, 3},
		"lacking, descending":      {Request{Sort: &Sort{[]string{"of.who"}, "desc"}}, []string{"b.conf", "A.conf", "c.txt"}, 3},
		"searched":                 {Request{Search: &Search{Value: "ANN"}}, []string{"b.conf"}, 1},
		"searched in a list":       {Request{Search: &Search{Value: "big"}}, []string{"b.conf"}, 1},
		"not searched":             {Request{Search: &Search{Value: "conf", Negated: true}}, []string{"c.txt"}, 1},
		"searched in a field":      {Request{Search: &Search{Value: "b", In: []string{"name"}}}, []string{"b.conf"}, 1},
		"and before or":            {Request{Q: "name=c.txt,size>9;name~conf"}, []string{"b.conf", "c.txt"}, 2},
		"parentheses mean nothing": {Request{Q: "(name=c.txt,size>9);name~conf"}, []string{"b.conf", "c.txt"}, 2},
		"case counts":              {Request{Q: "name~a"}, []string{}, 0},
		"a number":                 {Request{Q: "size<10"}, []string{"A.conf"}, 1},
		"no number":                {Request{Q: "size<ten"}, []string{}, 0},
		"an element of a list":     {Request{Q: "tags=big"}, []string{"b.conf"}, 1},
		"an element is not":        {Request{Q: "tags!=big"}, []string{"b.conf"}, 1},
		"nested":                   {Request{Q: "of.who=bob"}, []string{"A.conf"}, 1},
		"unknown field":            {Request{Q: "nobody=1"}, []string{}, 0},
		"date":                     {Request{Q: "made>2024-03-01 12:00:00"}, []string{"A.conf"}, 1},
		"truth":                    {Request{Q: "open=true"}, []string{"c.txt"}, 1},
		"selected":                 {Request{Select: []string{"size"}, Limit: 1}, []string{`{"size": 10}`}, 3},
		"selected within":          {Request{Select: []string{"of.who"}, Limit: 1}, []string{`{"of": {"who": "Ann"}}`}, 3},
		"distinct":                 {Request{Select: []string{"open"}, Distinct: true}, []string{`{}`, `{"open": true}`}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			items, total, err := Items(&c.request, files, Rules{})
			if err != nil {
				t.Fatal(err)
			}
			got := namesOf(t, items)
			for i := range got { // JSON of ours has blanks or not
				got[i], c.want[i] = compact(got[i]), compact(c.want[i])
			}
			if d := cmp.Diff(c.want, got); d != "" || total != c.total {
				t.Errorf("%d of %d (-want +got)\n%s", total, c.total, d)
			}
		})
	}
}

func compact(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestItems_Texts(t *testing.T) {
	items := []json.RawMessage{json.RawMessage(`"web"`), json.RawMessage(`"Local"`)}
	got, _, err := Items(&Request{Sort: &Sort{Order: "asc"}}, items, Rules{})
	if err != nil || string(got[0]) != `"Local"` {
		t.Errorf("%s %v", got, err)
	}
	got, total, err := Items(&Request{Search: &Search{Value: "WE"}}, items, Rules{})
	if err != nil || total != 1 {
		t.Errorf("%s %v", got, err)
	}
}

func TestItems_Wrong(t *testing.T) {
	rules := Rules{Sort: []string{"name"}, Select: []string{"name", "of"}, Always: []string{"name"}}
	for _, c := range []struct {
		request Request
		want    fault.Code
	}{
		{Request{Sort: &Sort{[]string{"zzz"}, "asc"}}, fault.BadSortField},
		{Request{Select: []string{"name", "zzz"}}, fault.BadSelect},
		{Request{Q: "name%=x"}, fault.BadQuery},
		{Request{Q: "name==x"}, fault.BadOperator},
	} {
		if _, _, err := Items(&c.request, files, rules); !errors.Is(err, fault.New(c.want, nil)) {
			t.Errorf("%+v: %v, want error %d", c.request, err, c.want)
		}
	}
	if items, _, err := Items(&Request{Select: []string{"of.who"}, Limit: 1}, files, rules); err != nil || compact(string(items[0])) != `{"name":"b.conf","of":{"who":"Ann"}}` {
		t.Errorf("%s %v", items, err)
	}
}

func TestArgs_Request(t *testing.T) {
	for text, want := range map[string]fault.Code{
		`{"offset":-1}`: fault.BadOffset, `{"offset":1.5}`: fault.BadOffset, `{"offset":9999999999999999999}`: fault.DatabaseRefused,
		`{"limit":0}`: fault.LimitZero, `{"limit":-1}`: fault.BadLimit, `{"limit":100001}`: fault.LimitTooHigh,
		`{"limit":9999999999999999999}`: fault.LimitTooHigh, `{"sort":{"fields":["a"],"order":"up"}}`: fault.BadSortOrder,
	} {
		var a Args
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Request(500); !errors.Is(err, fault.New(want, nil)) {
			t.Errorf("%s: %v, want error %d", text, err, want)
		}
	}
	var a Args
	if err := json.Unmarshal([]byte(`{"offset":3,"select":[],"sort_by":["name"],"sort_ascending":false,"search_text":"x","complementary_search":true}`), &a); err != nil {
		t.Fatal(err)
	}
	got, err := a.Request(500)
	want := Request{Offset: 3, Limit: 500, Sort: &Sort{[]string{"name"}, "desc"}, Search: &Search{Value: "x", Negated: true}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

// No query takes the engine down, whatever the item.
func FuzzItems(f *testing.F) {
	f.Add("a.b=1;c~x", `{"a":{"b":1},"c":["x",{"d":null}]}`)
	f.Add("a>2024-01-01", `[1,"2024-01-02",true]`)
	f.Fuzz(func(t *testing.T, q, item string) {
		if !json.Valid([]byte(item)) {
			return
		}
		r := Request{Q: q, Sort: &Sort{Fields: []string{"a"}, Order: "asc"}, Select: []string{"a.b"}, Distinct: true}
		items, total, err := Items(&r, []json.RawMessage{json.RawMessage(item), json.RawMessage(item)}, Rules{})
		if err == nil && len(items) != total {
			t.Fatalf("%d of %d", len(items), total)
		}
	})
}
