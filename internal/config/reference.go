package config

import (
	"fmt"
	"strings"
)

const referenceHead = `# Settings of Testudo itself. What the cluster is (its key, its port, who is
# master) stands in ossec.conf; periods and synchronised directories stand in
# cluster.json. Every line below is commented out and shows the default.
#
# Sizes: bytes, or with KiB, MiB, GiB, TiB. Times: 500ms, 30s, 10m, 1h.
# An unknown key is an error. "testudo node -t -v" shows what is in force.
`

// Reference gives a testudo.yaml that names and explains every setting and sets
// those in set, by their paths, to the given values as YAML writes them.
func Reference(set map[string]string) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	defaults := Default("")
	section := ""
	fields := settingFields()
	for i := range fields {
		f := &fields[i]
		parent, name, indent := parentOf(f.path), f.path, ""
		if parent != "" {
			name, indent = f.path[len(parent)+1:], "  "
		}
		if parent != section {
			section = parent
			fmt.Fprintf(&b, "\n%s:\n", section)
		} else if parent == "" {
			b.WriteString("\n")
		}
		for line := range strings.SplitSeq(f.doc, "\n") {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		if value, ok := set[f.path]; ok {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, value)
			continue
		}
		fmt.Fprintf(&b, "%s#%s: %s\n", indent, name, show(f.at(defaults)))
	}
	return b.String()
}
