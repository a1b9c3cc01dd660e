package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestInfo_String(t *testing.T) {
	vcs := func(revision, modified string) []debug.BuildSetting {
		return []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision},
			{Key: "vcs.time", Value: "2026-11-22T11:00:00Z"}, {Key: "vcs.modified", Value: modified},
		}
	}
	const revision = "3f9a51c02b117d6e0b1c9f52a3c1f0d9e8b7a6f5"
	tests := []struct {
		name  string
		build debug.BuildInfo
		want  string
	}{
		{"no version control", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel"},
		{"nothing known", debug.BuildInfo{}, "devel"},
		{"tagged", debug.BuildInfo{Main: debug.Module{Version: "v1.2.0"}}, "v1.2.0"},
		{"tree", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs(revision, "false")}, "devel+3f9a51c02b11"},
		{"changed tree", debug.BuildInfo{Settings: vcs(revision, "true")}, "devel+3f9a51c02b11.modified"},
		{"version made from the revision", debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20261122110000-3f9a51c02b11+dirty"}, Settings: vcs(revision, "true")},
			"v0.0.0-20261122110000-3f9a51c02b11+dirty"},
		{"short revision", debug.BuildInfo{Settings: vcs("abc", "false")}, "devel+abc"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := from(&tc.build).String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRead_KnowsTheGoVersion(t *testing.T) {
	if got := Read(); got.Go == "" || Version() == "" {
		t.Errorf("got %+v", got)
	}
}
