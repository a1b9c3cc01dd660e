package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// file returns an entry of etc/rules/ whose digest is that of content.
func file(name, content string) Entry {
	return Entry{
		Path: "etc/rules/" + name, ItemKey: "etc/rules/", ModTime: 1700000000.5,
		Digest: DigestOf([]byte(content)), Size: int64(len(content)),
	}
}

func mustNew(t testing.TB, entries ...Entry) *Manifest {
	t.Helper()
	m, err := New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func paths(entries []Entry) string {
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Path, "etc/rules/"))
	}
	return strings.Join(names, " ")
}

func TestNew_SortsAndRefusesDuplicates(t *testing.T) {
	m := mustNew(t, file("b", ""), file("a/x", ""), file("a", ""))
	if got := paths(m.Entries()); got != "a a/x b" {
		t.Errorf("order: %s", got)
	}
	if _, err := New([]Entry{file("b", "1"), file("a", ""), file("b", "2")}); !errors.Is(err, ErrDuplicatePath) {
		t.Errorf("duplicate path: %v", err)
	}
}

func TestManifest_Lookup(t *testing.T) {
	m := mustNew(t, file("b", "1"), file("a", "2"))
	if e, ok := m.Lookup("etc/rules/b"); !ok || e.Digest != DigestOf([]byte("1")) {
		t.Errorf("b: %v %v", e, ok)
	}
	if _, ok := m.Lookup("etc/rules/c"); ok {
		t.Error("found what is not there")
	}
}

func TestManifest_SumIsOverPathKeyAndDigest(t *testing.T) {
	base := mustNew(t, file("a", "1"), file("b", "2"))
	change := func(f func(*Entry)) *Manifest {
		e := file("b", "2")
		f(&e)
		return mustNew(t, file("a", "1"), e)
	}
	cases := map[string]struct {
		m    *Manifest
		same bool
	}{
		"modification time": {change(func(e *Entry) { e.ModTime = 1 }), true},
		"size":              {change(func(e *Entry) { e.Size = SizeUnknown }), true},
		"merged":            {change(func(e *Entry) { e.Merged = true }), true},
		"path":              {change(func(e *Entry) { e.Path += "c" }), false},
		"key":               {change(func(e *Entry) { e.ItemKey = "etc/" }), false},
		"digest":            {change(func(e *Entry) { e.Digest[63]++ }), false},
		"one less":          {mustNew(t, file("a", "1")), false},
	}
	for name, c := range cases {
		if (c.m.Sum() == base.Sum()) != c.same {
			t.Errorf("%s: same sum = %v", name, !c.same)
		}
	}
	if Empty().Sum() != mustNew(t).Sum() || Empty().Len() != 0 {
		t.Error("empty manifests differ")
	}
}

func TestDigest_Text(t *testing.T) {
	// The digest of an empty file, from docs/integrity.md §3.
	const empty = "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419" +
		"d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce"
	if got := DigestOf(nil).String(); got != empty {
		t.Errorf("empty: %s", got)
	}
	if d, err := ParseDigest(empty); err != nil || d != DigestOf(nil) {
		t.Errorf("parse: %v", err)
	}
	for _, bad := range []string{"", empty[1:], empty + "0", strings.ToUpper(empty), "g" + empty[1:], "\x00" + empty[1:]} {
		if _, err := ParseDigest(bad); !errors.Is(err, ErrDigest) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if !(Digest{}).IsZero() || DigestOf(nil).IsZero() {
		t.Error("IsZero")
	}
}

func TestHasher_InPieces(t *testing.T) {
	h := NewHasher()
	h.Write([]byte("left over"))
	h.Reset()
	h.Write([]byte("<gro"))
	h.Write([]byte("up/>\n"))
	if h.Digest() != DigestOf([]byte("<group/>\n")) {
		t.Error("pieces and whole differ")
	}
	h.Write([]byte("more"))
	if h.Digest() != DigestOf([]byte("<group/>\nmore")) {
		t.Error("writing goes on after Digest")
	}
}

func TestCompare(t *testing.T) {
	cases := []struct {
		name                   string
		master, worker         []Entry
		missing, extra, shared string
	}{
		{"both empty", nil, nil, "", "", ""},
		{"equal", []Entry{file("a", "1")}, []Entry{file("a", "1")}, "", "", ""},
		{"new at the master", []Entry{file("a", "1"), file("b", "")}, []Entry{file("a", "1")}, "b", "", ""},
		{"worker empty", []Entry{file("a", "1"), file("b", "")}, nil, "a b", "", ""},
		{"gone at the master", nil, []Entry{file("a", "1"), file("b", "")}, "", "a b", ""},
		{"changed", []Entry{file("a", "1"), file("b", "1")}, []Entry{file("a", "1"), file("b", "2")}, "", "", "b"},
		{
			"all at once",
			[]Entry{file("a", "1"), file("c", "1"), file("e", "1")},
			[]Entry{file("b", "1"), file("c", "2"), file("f", "1")},
			"a e", "b f", "c",
		},
	}
	for _, c := range cases {
		d := Compare(mustNew(t, c.master...), mustNew(t, c.worker...))
		if paths(d.Missing) != c.missing || paths(d.Extra) != c.extra || paths(d.Shared) != c.shared {
			t.Errorf("%s: missing %q extra %q shared %q", c.name, paths(d.Missing), paths(d.Extra), paths(d.Shared))
		}
		if d.Empty() != (c.missing+c.extra+c.shared == "") {
			t.Errorf("%s: Empty = %v", c.name, d.Empty())
		}
	}
}

func TestCompare_SharedCarriesTheMastersEntry(t *testing.T) {
	master := file("a", "new")
	d := Compare(mustNew(t, master), mustNew(t, file("a", "old")))
	if diff := cmp.Diff([]Entry{master}, d.Shared); diff != "" {
		t.Error(diff)
	}
}

// Applying the difference to the worker's tree gives the master's, whatever
// the trees.
func TestCompare_DifferenceLeadsToTheMaster(t *testing.T) {
	tree := rapid.Custom(func(t *rapid.T) map[string]string {
		return rapid.MapOf(rapid.StringMatching(`[ab/]{1,3}`), rapid.SampledFrom([]string{"1", "2"})).Draw(t, "tree")
	})
	rapid.Check(t, func(t *rapid.T) {
		build := func(files map[string]string) *Manifest {
			var entries []Entry
			for name, content := range files {
				entries = append(entries, file(name, content))
			}
			m, err := New(entries)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		master, worker := build(tree.Draw(t, "master")), build(tree.Draw(t, "worker"))
		d := Compare(master, worker)
		have := map[string]Entry{}
		for _, e := range worker.Entries() {
			have[e.Path] = e
		}
		for _, e := range d.Extra {
			delete(have, e.Path)
		}
		for _, e := range append(d.Missing, d.Shared...) {
			have[e.Path] = e
		}
		var after []Entry
		for _, e := range have {
			after = append(after, e)
		}
		result, err := New(after)
		if err != nil {
			t.Fatal(err)
		}
		if result.Sum() != master.Sum() || !Compare(master, result).Empty() {
			t.Fatal("the trees differ afterwards")
		}
	})
}

func TestDifference_SpareKeepsWhatTheMasterCannotRead(t *testing.T) {
	d := Difference{Extra: []Entry{file("a", ""), file("dir/b", ""), file("dir2/c", ""), file("e", "")}}
	cases := []struct {
		name        string
		paths, dirs []string
		left        string
	}{
		{"nothing unreadable", nil, nil, "a dir/b dir2/c e"},
		{"a file", []string{"etc/rules/e", "etc/rules/a"}, nil, "dir/b dir2/c"},
		{"a directory, not its name's beginning", nil, []string{"etc/rules/dir"}, "a dir2/c e"},
		{"a directory written with a slash", nil, []string{"etc/rules/dir/"}, "a dir2/c e"},
		{"the whole item", nil, []string{"etc/rules/"}, ""},
		{"a directory that is no file", nil, []string{"etc/rules/a"}, "a dir/b dir2/c e"},
		{"elsewhere", []string{"etc/lists/a"}, []string{"etc/lists"}, "a dir/b dir2/c e"},
	}
	for _, c := range cases {
		if got := paths(d.Spare(c.paths, c.dirs).Extra); got != c.left {
			t.Errorf("%s: left %q, want %q", c.name, got, c.left)
		}
	}
	if len(d.Extra) != 4 || d.Extra[0].Path != "etc/rules/a" {
		t.Error("the difference itself was changed")
	}
}

func TestDifference_SpareItemsKeepsExtraValid(t *testing.T) {
	items := DefaultItems()
	d := Difference{Extra: []Entry{file("a", ""), {Path: "etc/lists/l", ItemKey: "etc/lists/"}}}
	if got := d.SpareItems(items); len(got.Extra) != 2 {
		t.Errorf("without extra-valid items: %v", got.Extra)
	}
	items.List[3].ExtraValid = true
	if got := d.SpareItems(items); len(got.Extra) != 1 || got.Extra[0].Path != "etc/lists/l" {
		t.Errorf("with one: %v", got.Extra)
	}
}

// many returns n entries as a large tree has them.
func many(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = file(fmt.Sprintf("group%03d/file%05d.xml", i%100, i), fmt.Sprint(i))
		entries[i].ModTime = 1700000000.1234567 + float64(i)
	}
	return entries
}

func BenchmarkCompare10k(b *testing.B) {
	master, other := many(10000), many(10000)
	for i := 0; i < len(other); i += 1000 {
		other[i].Digest[0]++
	}
	m, w := mustNew(b, master...), mustNew(b, other...)
	b.ReportAllocs()
	for b.Loop() {
		if d := Compare(m, w); len(d.Shared) != 10 {
			b.Fatal(len(d.Shared))
		}
	}
}

func BenchmarkSum10k(b *testing.B) {
	m := mustNew(b, many(10000)...)
	b.ReportAllocs()
	for b.Loop() {
		m.computeSum()
	}
}

func BenchmarkNew10k(b *testing.B) {
	entries := many(10000)
	work := make([]Entry, len(entries))
	b.ReportAllocs()
	for b.Loop() {
		copy(work, entries)
		if _, err := New(work); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash1MiB(b *testing.B) {
	content := make([]byte, 1<<20)
	h := NewHasher()
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		h.Write(content)
		h.Digest()
	}
}
