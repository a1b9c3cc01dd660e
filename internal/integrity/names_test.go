package integrity

import (
	"testing"

	"testudo/internal/manifest"
)

func TestIsOddlyNamed(t *testing.T) {
	for _, c := range []struct {
		why, path, key string
		want           bool
	}{
		{"line end", "etc/lists/a\nb", "etc/lists/", true},
		{"tab, further down", "etc/shared/group/a\tb", "etc/shared/", true},
		{"a good name", "etc/lists/a", "etc/lists/", false},
		{"of another directory", "etc/rules/a\nb", "etc/lists/", false},
		{"unknown key", "etc/lists/a\nb", "etc/other/", false},
		{"leads upwards", "etc/lists/../a\nb", "etc/lists/", false},
		{"leads far upwards", "../a\nb", "etc/lists/", false},
		{"absolute", "/etc/lists/a\nb", "etc/lists/", false},
		{"beside the keys", "etc/a\nb", "etc/", false},
		{"excluded", "etc/lists/a~", "etc/lists/", false},
	} {
		if got := isOddlyNamed(manifest.DefaultItems(), manifest.Entry{Path: c.path, ItemKey: c.key}); got != c.want {
			t.Errorf("%s: %q of %s: %v", c.why, c.path, c.key, got)
		}
	}
}
