package integrity

import (
	"errors"
	"testing"

	"testudo/internal/filetree"
	"testudo/internal/manifest"
)

func keysEntry(content string) manifest.Entry {
	return manifest.Entry{Path: "etc/client.keys", ItemKey: "etc/", Digest: manifest.DigestOf([]byte(content))}
}

// with is a tree of a rule and of client.keys.
func with(t *testing.T, rule, keys string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.New([]manifest.Entry{
		keysEntry(keys), {Path: "etc/rules/local_rules.xml", ItemKey: "etc/rules/", Digest: manifest.DigestOf([]byte(rule))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A file that this node has added to counts as the master's copy of it for as
// long as nobody else has changed it, and only that file.
func TestAhead(t *testing.T) {
	added := true
	a := ahead{Ahead: Ahead{Path: "etc/client.keys", Is: func() bool { return added }}}
	check := func(what string, own, want *manifest.Manifest) {
		t.Helper()
		if got := a.compared(own); got.Sum() != want.Sum() {
			t.Errorf("%s: compared as %v, want %v", what, got.Entries(), want.Entries())
		}
	}
	first, more := with(t, "rule", "1"), with(t, "rule", "1, 2")
	check("no copy of the master's is known", more, more)
	a.inStep(first)
	check("a key was added", more, first)
	if once := a.compared(more); once != a.compared(more) {
		t.Error("the same tree is compared as two")
	}
	check("a rule was changed as well", with(t, "other rule", "1, 2"), with(t, "other rule", "1"))
	added = false
	check("somebody else has changed it", more, more)
	added = true
	check("it is as the master's", first, first)

	given := manifest.Difference{Shared: []manifest.Entry{keysEntry("2")}}
	a.applied(given, []filetree.Problem{{Path: "etc/client.keys", Err: errors.New("no room")}})
	check("the master's next copy was not applied", more, first)
	a.applied(given, nil)
	check("the master's next copy", more, with(t, "rule", "2"))
	a.applied(manifest.Difference{Extra: []manifest.Entry{keysEntry("2")}}, nil)
	check("the master has none", more, more)
}

func TestAhead_NoSuchFile(t *testing.T) {
	var a ahead
	m := with(t, "rule", "1")
	a.inStep(m)
	if got := a.compared(with(t, "rule", "1, 2")); got.Sum() == m.Sum() {
		t.Error("a change is not seen")
	}
}
