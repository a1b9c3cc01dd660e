package keyhistory

import (
	"strings"
)

// Final is what a node has in the end.
type Final struct {
	Node string
	Keys []byte  // its client.keys
	Rows []Entry // of its database; nil when not looked at. Address is register_ip
}

// file is a client.keys.
type file struct {
	live, gone []Entry
	bad        []string // lines that are none
}

// readFile reads a client.keys. It stands here a second time on purpose: nothing of
// the programs under test looks at what they wrote.
func readFile(content []byte) (f file) {
	for line := range strings.Lines(string(content)) {
		text, whole := strings.CutSuffix(line, "\n")
		if strings.HasPrefix(text, "#") {
			continue
		}
		e, ok := readLine(text)
		name, removed := strings.CutPrefix(e.Name, "!")
		switch {
		case !ok || !whole || !isNumber(e.ID):
			f.bad = append(f.bad, hideKey(text))
		case removed:
			e.Name = name
			f.gone = append(f.gone, e)
		default:
			f.live = append(f.live, e)
		}
	}
	return f
}

func isNumber(id string) bool {
	return id != "" && len(id) <= 8 && strings.Trim(id, "0123456789") == ""
}

// hideKey leaves out what may be a key.
func hideKey(line string) string {
	if len(line) > 40 {
		return line[:40] + "..."
	}
	return line
}

// bare is an address without the length of its prefix.
func bare(address string) string {
	address, _, _ = strings.Cut(address, "/")
	return address
}
