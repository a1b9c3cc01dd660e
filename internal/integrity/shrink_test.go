package integrity

import (
	"strings"
	"testing"

	"testudo/internal/manifest"
)

func treeWithKeys(t *testing.T, keys string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.New([]manifest.Entry{
		{Path: keysFile, Digest: manifest.DigestOf([]byte(keys)), Size: int64(len(keys))},
		{Path: "etc/rules/local_rules.xml"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShrinkGuard_KeysThatAreLost(t *testing.T) {
	all := strings.Repeat("001 web01 any 0123456789abcdef\n", 10)
	removed := false
	g := &shrinkGuard{ratio: 0.5, accepted: treeWithKeys(t, all), keysRemoved: func() bool { return removed }}
	for _, step := range []struct {
		keys    string
		removed bool // as they should be
		want    string
	}{
		{all[:len(all)/5], false, ""}, // fewer keys are no accident
		{"", true, ""},
		{"", false, "has become empty"},
		{all[:len(all)/10], false, "most of its keys are still missing"},
		{all[:len(all)/10], true, ""},
		{all[:len(all)*3/5], false, ""},
		{all, false, ""},
	} {
		removed = step.removed
		if got := g.suspicion(treeWithKeys(t, step.keys)); !strings.Contains(got, step.want) || (got == "") != (step.want == "") {
			t.Errorf("%d bytes, removed %v: %q, want %q", len(step.keys), step.removed, got, step.want)
		}
	}
}
