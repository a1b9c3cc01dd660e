package integrity

import (
	"testing"

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
	for name, rows := range map[string][]filestate.Row{
		"own": ownRows("n", g), "a worker's": pictureOf("n", g, manifest.Difference{}, nil),
	} {
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
