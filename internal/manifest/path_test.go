package manifest

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestItems_Match(t *testing.T) {
	items := DefaultItems()
	long := strings.Repeat("x", MaxName)
	cases := []struct{ path, key, reason string }{
		{"etc/client.keys", "etc/", ""},
		{"etc/rules/local_rules.xml", "etc/rules/", ""},
		{"etc/rules/deep/er/a.xml", "etc/rules/", ""},
		{"etc/rules/.hidden", "etc/rules/", ""},
		{"etc/rules/a b", "etc/rules/", ""},
		{"etc/rules/äö", "etc/rules/", ""},
		{"etc/rules/..x", "etc/rules/", ""},
		{"etc/rules/" + long, "etc/rules/", ""},
		{"etc/shared/default/agent.conf", "etc/shared/", ""},
		{"etc/shared/x.merged", "etc/shared/", ""},
		{"var/multigroups/ab12/merged.mg", "var/multigroups/", ""},
		{"", "", "empty"},
		{"/etc/rules/a", "", "absolute"},
		{"etc/rules/../../../x", "", "leads upwards"},
		{"etc/rules/..", "", "leads upwards"},
		{"../etc/rules/x", "", "leads upwards"},
		{"etc//rules/x", "", "not clean"},
		{"etc/./rules/x", "", "not clean"},
		{"etc/rules/", "", "not clean"},
		{"etc/rules", "", "not among the files of its directory that are synchronised"},
		{"etc/rules/a\x00b", "", "holds a control character"},
		{"etc/rules/a\nb", "", "holds a control character"},
		{"etc/rules/a\u0085b", "", "holds a control character"},
		{"etc/rules/a\xffb", "", "not valid UTF-8"},
		{"etc/rules/" + long + "x", "", "a name in it is too long"},
		{"etc/rules" + strings.Repeat("/x", MaxPath/2), "", "too long"},
		{"etc/ossec.conf", "", "not among the files of its directory that are synchronised"},
		{"etc/sub/client.keys", "", "below a directory that is not synchronised recursively"},
		{"etc/rulesx/a", "", "below a directory that is not synchronised recursively"},
		{"etc/rules/x.swp", "", "excluded from synchronisation"},
		{"etc/rules/x~", "", "excluded from synchronisation"},
		{"etc/rules/.a.xml.tmp", "", "excluded from synchronisation"},
		{"etc/shared/ar.conf", "", "excluded from synchronisation"},
		{"var/multigroups/ab12/other", "", "not among the files of its directory that are synchronised"},
		{"queue/db/global.db", "", "outside every synchronised directory"},
		{"files_metadata.json", "", "outside every synchronised directory"},
		{"bin/x", "", "outside every synchronised directory"},
	}
	for _, c := range cases {
		item, err := items.Match(c.path)
		if c.reason == "" {
			if err != nil || item.Key != c.key {
				t.Errorf("%q: item %q, %v", c.path, item.Key, err)
			}
			continue
		}
		var pe *PathError
		if !errors.As(err, &pe) || pe.Reason != c.reason || pe.Path != c.path {
			t.Errorf("%q: %v, want reason %q", c.path, err, c.reason)
		}
	}
}

func TestItems_MatchTakesTheLongestKeyThatAccepts(t *testing.T) {
	items := Items{List: []Item{
		{Key: "data/sub/", Files: []string{"only"}},
		{Key: "data/", Files: []string{AllFiles}, Recursive: true},
	}}
	for path, want := range map[string]string{
		"data/a": "data/", "data/sub/only": "data/sub/", "data/sub/other": "data/", "data/sub/x/only": "data/",
	} {
		if item, err := items.Match(path); err != nil || item.Key != want {
			t.Errorf("%s: %q %v, want %q", path, item.Key, err, want)
		}
	}
}

func TestItems_Check(t *testing.T) {
	items := DefaultItems()
	cases := []struct{ name, path, key, reason string }{
		{"a good entry", "etc/rules/a", "etc/rules/", ""},
		{"client.keys", "etc/client.keys", "etc/", ""},
		{"key of another item", "etc/rules/a", "etc/lists/", "outside the directory of its cluster_item_key"},
		{"key unknown", "etc/rules/a", "etc/rules", "unknown cluster_item_key"},
		{"key that contains the path", "etc/rules/a", "etc/", "below a directory that is not synchronised recursively"},
		{"no key", "etc/rules/a", "", "unknown cluster_item_key"},
		{"excluded", "etc/rules/a.tmp", "etc/rules/", "excluded from synchronisation"},
		{"climbing", "etc/rules/../x", "etc/rules/", "leads upwards"},
	}
	for _, c := range cases {
		reason := ""
		if pe := (*PathError)(nil); errors.As(items.Check(Entry{Path: c.path, ItemKey: c.key}), &pe) {
			reason = pe.Reason
		}
		if reason != c.reason {
			t.Errorf("%s: %q, want %q", c.name, reason, c.reason)
		}
	}
}

func TestPathError_QuotesThePath(t *testing.T) {
	err := CheckPath("etc/rules/a\n2026/01/01 00:00:00 INFO: " + strings.Repeat("x", MaxPath))
	if text := err.Error(); strings.ContainsAny(text, "\n") || len(text) > 400 {
		t.Errorf("text of %d bytes: %s", len(text), text)
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"etc/rules/a", "etc/client.keys", "../x", "etc//rules/a", "etc/rules/\xff", "/etc/rules/a"} {
		f.Add(s)
	}
	items := DefaultItems()
	f.Fuzz(func(t *testing.T, p string) {
		item, err := items.Match(p)
		if err != nil {
			return
		}
		switch {
		case path.Clean("/"+p) != "/"+p:
			t.Errorf("%q is not clean", p)
		case !strings.HasPrefix(p, item.Key):
			t.Errorf("%q is outside %q", p, item.Key)
		case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
			t.Errorf("%q cannot travel", p)
		case items.Excluded(path.Base(p)) || !items.Accepts(item, path.Base(p)):
			t.Errorf("%q is excluded", p)
		case items.Check(Entry{Path: p, ItemKey: item.Key}) != nil:
			t.Errorf("%q: Match and Check disagree", p)
		}
	})
}
