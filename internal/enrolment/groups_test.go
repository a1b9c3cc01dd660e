package enrolment

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
)

// TestCheckGroups_Refused has every tail of docs/enrolment.md §4, and the order
// in which they are found.
func TestCheckGroups_Refused(t *testing.T) {
	long := strings.Repeat("g", 256)
	shown := long[:255] + "... "
	const prohibited = `characters '\/:*?"<>|,' are prohibited`
	many := strings.Repeat("abcdefg,", 8192) // 65536 bytes
	tests := []struct{ list, want string }{
		{"", "Empty Group"},
		{long, shown + "group is too large"},
		{long + "?", shown + "group is too large"},
		{many, many[:255] + "... multigroup is too large"},
		{many[1:], many[1:256] + "... cannot start or end with ','"},
		{many[:65535] + "x", many[:255] + "... multigroup is too large"},
		{"a,b c,,", "a,b c,,... white spaces are not allowed"},
		{"a,b c," + long, ("a,b c," + long)[:255] + "... white spaces are not allowed"},
		{"a," + long + ",b c", shown + "group is too large"},
		{",,a?", ",,a?... consecutive ',' are not allowed"},
		{",,,", ",,,... consecutive ',' are not allowed"},
		{",", ",... " + prohibited},
		{",a?", ",a?... cannot start or end with ','"},
		{"a,", "a,... cannot start or end with ','"},
		{"a b", "a b... " + prohibited},
		{"a/b", "a/b... " + prohibited},
		{"a,b?", "a,b?... " + prohibited},
		{"ä", "ä... " + prohibited},
		{"a\xff", "a\xff... " + prohibited},
		{"a\n", "a\n... " + prohibited},
	}
	for _, tc := range tests {
		names, err := CheckGroups(tc.list)
		if text := textOf(t, err); text != "Invalid group name: "+tc.want || names != nil {
			t.Errorf("%.60q: %.300q, want %.300q", tc.list, text, tc.want)
		}
	}
}

func TestCheckGroups(t *testing.T) {
	tests := map[string][]string{
		"default": {"default"}, "b,a": {"b", "a"}, "a,b,a": {"a", "b"},
		"a.:;_-=+!@(),Z9":        {"a.:;_-=+!@()", "Z9"},
		strings.Repeat("g", 255): {strings.Repeat("g", 255)},
	}
	for list, want := range tests {
		got, err := CheckGroups(list)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(list, err, d)
		}
	}
}

// TestSplitGroups_ManyNames: only the first 127 names are told apart.
func TestSplitGroups_ManyNames(t *testing.T) {
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint("g", i)
	}
	if got := SplitGroups(agent.GroupsText(names)); !slices.Equal(got, names) {
		t.Error(len(got), "of 200")
	}
	same := strings.Repeat("a,", 199) + "a" // 127 pieces and a rest of 73 names
	if got := SplitGroups(same); len(got) != 1+73 {
		t.Error(len(got))
	}
	if got := SplitGroups(strings.Repeat("a,", 127) + "a"); !slices.Equal(got, []string{"a"}) {
		t.Error("the 128th is a piece like the others:", got)
	}
	if got := SplitGroups(strings.Repeat("a,", 126) + "b,c"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Error(got)
	}
}

func TestSplitGroups_EmptyNamesDoNotCount(t *testing.T) {
	for list, want := range map[string][]string{"": nil, ",": nil, "a,,b,": {"a", "b"}, "a b": {"a b"}} {
		if got := SplitGroups(list); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %q", list, got)
		}
	}
}

func FuzzCheckGroups(f *testing.F) {
	for _, list := range []string{
		"default,web", "a,,b", ",", "a b", "a,b c", "b,a,b", "a:;@()", "g\x00", strings.Repeat("a,", 127) + "a", strings.Repeat("a,", 128) + "a",
		strings.Repeat("g", 256) + ",a",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		names, err := CheckGroups(list)
		if textOf(t, err); err != nil {
			return
		}
		if len(names) == 0 {
			t.Fatalf("%q passes and holds no name", list)
		}
		for i, name := range names {
			if name == "" || len(name) > maxGroupName || strings.ContainsAny(name, ", '") {
				t.Fatalf("%q holds %q", list, name)
			}
			if strings.Count(list, ",") < agent.MaxGroups && slices.Index(names, name) < i {
				t.Fatalf("%q holds %q twice", list, name)
			}
		}
	})
}
