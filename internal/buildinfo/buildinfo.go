// Package buildinfo says which build of the program is running, from what the
// Go tool wrote into the binary.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// devel is the version of a binary that was not built from a tagged module.
const devel = "devel"

// Info is what is known of the build. What is not known is empty.
type Info struct {
	Version  string `json:"version"`            // "v1.2.0", or "devel"
	Revision string `json:"revision,omitempty"` // of the version control, 12 characters
	Time     string `json:"time,omitempty"`     // of the revision, RFC 3339
	Modified bool   `json:"modified,omitempty"` // built from files that differ from the revision
	Go       string `json:"go"`                 // version of the Go tool
}

// Read gives what is known of the running binary.
func Read() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{Version: devel}
	}
	return from(build)
}

// Version is Read().String(): the version in one word, such as
// "devel+3f9a51c02b11.modified".
func Version() string { return Read().String() }

func from(build *debug.BuildInfo) Info {
	info := Info{Version: build.Main.Version, Go: build.GoVersion}
	if info.Version == "" || info.Version == "(devel)" {
		info.Version = devel
	}
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.Revision = setting.Value[:min(len(setting.Value), 12)]
		case "vcs.time":
			info.Time = setting.Value
		case "vcs.modified":
			info.Modified = setting.Value == "true"
		}
	}
	return info
}

// String gives version, revision and whether files were modified, in one word.
// A version that the Go tool made up from the revision is not given it again.
func (i Info) String() string {
	var b strings.Builder
	b.WriteString(i.Version)
	if i.Revision != "" && !strings.Contains(i.Version, i.Revision) {
		b.WriteString("+" + i.Revision)
	}
	if i.Modified && !strings.Contains(i.Version, "+dirty") {
		b.WriteString(".modified")
	}
	return b.String()
}
