package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestID(t *testing.T) {
	tests := []struct {
		text string
		want ID
		err  error
	}{
		{"0", 0, nil}, {"000", 0, nil}, {"7", 7, nil}, {"007", 7, nil}, {"12345", 12345, nil},
		{"2147483647", 2147483647, nil}, {"0000000002147483647", 2147483647, nil},
		{"2147483648", 0, ErrID}, {"99999999999999999999", 0, ErrID}, {"", 0, ErrID}, {"-1", 0, ErrID},
		{"+1", 0, ErrID}, {"1a", 0, ErrID}, {" 1", 0, ErrID}, {strings.Repeat("0", 33), 0, ErrID},
	}
	for _, tt := range tests {
		if got, err := ParseID(tt.text); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q is %d, %v", tt.text, got, err)
		}
	}
	for id, want := range map[ID]string{0: "000", 7: "007", 1234: "1234"} {
		if id.String() != want {
			t.Errorf("%d is written %s", id, id)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.Int32Min(0).Draw(t, "id"))
		if got, err := ParseID(id.String()); got != id || err != nil {
			t.Fatal(id, got, err)
		}
	})
}

func TestStatus(t *testing.T) {
	for _, s := range Statuses() {
		if !s.Valid() {
			t.Errorf("%q is not valid", s)
		}
	}
	for _, s := range []Status{"", "Active", "never connected"} {
		if s.Valid() {
			t.Errorf("%q is valid", s)
		}
	}
}

func TestCheckGroupName(t *testing.T) {
	for _, name := range []string{"default", "a", "Web-01_x.y", "...", strings.Repeat("g", 255)} {
		if err := CheckGroupName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a b", "a,b", "a/b", "ä", "a\x00", strings.Repeat("g", 256)} {
		if err := CheckGroupName(name); !errors.Is(err, ErrGroupName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestGroupHash(t *testing.T) {
	for text, want := range map[string]string{
		"default": "37a8eec1", "default,web": "5288d400", "web,default": "4b323b42", "web": "4b5e57f6", "": "",
	} {
		if got := GroupHash(text); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
	if got := MultigroupDir(GroupsText([]string{"default", "web"})); got != "var/multigroups/5288d400" {
		t.Error(got)
	}
}

func TestGlobalHash(t *testing.T) {
	g := NewGlobalHash()
	if sum, ok := g.Sum(); ok || sum != "" {
		t.Error(sum, ok)
	}
	for _, h := range []string{"37a8eec1", "", "5288d400", "4b5e57f6"} {
		g.Add(h)
	}
	if sum, ok := g.Sum(); !ok || sum != "335659fa4a06db17336747d02ebc8430513308ba" {
		t.Error(sum, ok)
	}
}

// allKeys are those of a file.
func allKeys(file string, limits KeyLimits) (keys []Key, bad []LineError, err error) {
	bad, err = ReadKeys(strings.NewReader(file), limits, func(k Key) { keys = append(keys, k) })
	return keys, bad, err
}

func TestReadKeys(t *testing.T) {
	const file = "007 web-01 any aa\r\n" +
		"# comment\n" +
		"\n" +
		" 009 x any yy\n" +
		"008 db-01 !10.0.0.0/24 bb\n" +
		"003 !old any cc\n" +
		"004 #older any dd\n" +
		"abc name any topsecret\n" +
		"005 name any\n" +
		"006 " + "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn any topsecret\n" +
		"010 last any ee extra"
	keys, bad, err := allKeys(file, KeyLimits{Line: 60})
	if err != nil {
		t.Fatal(err)
	}
	want := []Key{
		{ID: 7, Text: "007", Name: "web-01", Address: "any", Secret: NewSecret("aa")},
		{ID: 8, Text: "008", Name: "db-01", Address: "10.0.0.0/24", Secret: NewSecret("bb")},
		{ID: 3, Text: "003", Name: "old", Address: "any", Secret: NewSecret("cc"), Removed: true},
		{ID: 4, Text: "004", Name: "older", Address: "any", Secret: NewSecret("dd"), Removed: true},
		{ID: 10, Text: "010", Name: "last", Address: "any", Secret: NewSecret("ee")},
	}
	if d := cmp.Diff(want, keys); d != "" {
		t.Error(d)
	}
	wantBad := []LineError{{8, ErrID}, {9, ErrKeyLine}, {10, ErrKeyLineLong}}
	if d := cmp.Diff(wantBad, bad, cmpopts.EquateErrors()); d != "" {
		t.Error(d)
	}
	if strings.Contains(fmt.Sprint(bad), "secret") {
		t.Error("a report shows a key:", bad)
	}
}

func TestReadKeys_IsBounded(t *testing.T) {
	file := strings.Repeat("1 a any k\n", 3) + strings.Repeat("bad\n", 5)
	if _, _, err := allKeys(file, KeyLimits{Keys: 2}); !errors.Is(err, ErrTooManyKeys) {
		t.Error(err)
	}
	keys, bad, err := allKeys(file, KeyLimits{Keys: 3, Bad: 2})
	if len(keys) != 3 || len(bad) != 2 || err != nil {
		t.Error(len(keys), len(bad), err)
	}
}

func TestSecret_NeverShows(t *testing.T) {
	k := Key{Secret: NewSecret("topsecret")}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k.Secret, "all", k)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k.Secret, "all", k)
	within := struct{ key Key }{k} // nobody can call a method of what is in such a field
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "within", within)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "within", within)
	for _, text := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v", within, within, within), fmt.Sprint(&within, []any{within}), fmt.Sprintf("%+v %#v %q %x %d", k, k, k.Secret, k.Secret, k.Secret), log.String(),
	} {
		if strings.Contains(text, "topsecret") || strings.Contains(text, fmt.Sprintf("%x", "topsecret")) {
			t.Error(text)
		}
	}
	if k.Secret.Reveal() != "topsecret" {
		t.Error("the secret is lost")
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add("007 web-01 any aa\n003 !old any cc\n")
	f.Add("#\n 1\n1 2 3")
	f.Fuzz(func(t *testing.T, file string) {
		keys, bad, err := allKeys(file, KeyLimits{Keys: 50, Line: 100, Bad: 50})
		if err != nil && !errors.Is(err, ErrTooManyKeys) {
			t.Fatal(err)
		}
		if len(keys) > 50 || len(bad) > 50 {
			t.Fatal(len(keys), len(bad))
		}
		for _, k := range keys {
			if k.ID < 0 || k.Secret.Reveal() == "" {
				t.Fatal(k)
			}
		}
	})
}
