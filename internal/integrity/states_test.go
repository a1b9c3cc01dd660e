package integrity

import (
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/filestate"
	"testudo/internal/manifest"
)

// A file that changes all the time is in the manifest, as it was last, and
// among the unreadable ones. It must not stand in a picture twice.
func TestPictures_ChangingFileStandsOnce(t *testing.T) {
	m, err := manifest.New([]manifest.Entry{{Path: "etc/rules/a"}, {Path: "etc/rules/b"}})
	if err != nil {
		t.Fatal(err)
	}
	g := &generation{number: 1, manifest: m, unreadable: map[string]string{"etc/rules/a": "changing", "etc/rules/aa": "denied"}}
	for name, picture := range map[string]iter.Seq[filestate.Row]{
		"own": ownRows("n", g), "a worker's": pictureOf("n", g, manifest.Difference{}, nil),
	} {
		rows := slices.Collect(picture)
		if len(rows) != 3 {
			t.Errorf("%s: %d rows, want 3", name, len(rows))
		}
		for i := 1; i < len(rows); i++ {
			if rows[i-1].File >= rows[i].File {
				t.Errorf("%s: %s is followed by %s", name, rows[i-1].File, rows[i].File)
			}
		}
	}
}

func TestPictures_OfADifference(t *testing.T) {
	entry := func(path string, content byte) manifest.Entry {
		return manifest.Entry{Path: path, Digest: manifest.Digest{content}}
	}
	ours, err := manifest.New([]manifest.Entry{entry("b", 1), entry("d", 1), entry("f", 1), entry("h", 1)})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := manifest.New([]manifest.Entry{entry("a", 1), entry("b", 1), entry("c", 1), entry("f", 2), entry("i", 1)})
	if err != nil {
		t.Fatal(err)
	}
	g := &generation{number: 1, manifest: ours, unreadable: map[string]string{"e": "denied"}}
	picture := pictureOf("w", g, manifest.Compare(ours, theirs), map[string]string{"h": "full", "b": "not asked for", "c": "busy"})
	want := []filestate.Row{
		{Node: "w", File: "a", State: filestate.ToBeDeleted, Digest: manifest.Digest{1}},
		{Node: "w", File: "b", State: filestate.Synchronized, Digest: manifest.Digest{1}},
		{Node: "w", File: "c", State: filestate.ToBeDeleted, Digest: manifest.Digest{1}, Reason: "busy"},
		{Node: "w", File: "d", State: filestate.Pending, Digest: manifest.Digest{1}},
		{Node: "w", File: "e", State: filestate.Failed, Reason: "denied"},
		{Node: "w", File: "f", State: filestate.Pending, Digest: manifest.Digest{1}},
		{Node: "w", File: "h", State: filestate.Failed, Digest: manifest.Digest{1}, Reason: "full"},
		{Node: "w", File: "i", State: filestate.ToBeDeleted, Digest: manifest.Digest{1}},
	}
	for range 2 { // it may be walked more than once, and not to its end
		for range picture {
			break
		}
		if diff := cmp.Diff(want, slices.Collect(picture)); diff != "" {
			t.Error(diff)
		}
	}
}
