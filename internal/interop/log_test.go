package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// explanation says why a line at level warning or error is right.
type explanation struct {
	who  string // "our master", "their worker", …; a prefix of it is enough
	line string // regular expression
	why  string
}

// lines is the node's log so far.
func (n *node) lines() []string {
	content, err := os.ReadFile(filepath.Join(n.home, "logs/cluster.log"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(content), "\n"), "\n")
}

// count is how many lines of the log match.
func (n *node) count(pattern string) int {
	re := regexp.MustCompile(pattern)
	count := 0
	for _, line := range n.lines() {
		if re.MatchString(line) {
			count++
		}
	}
	return count
}

// waitFor waits until a line has been written more than before times.
func (n *node) waitFor(before int, pattern string) {
	n.cluster.t.Helper()
	wait(n.cluster.t, patience, func() string {
		if n.count(pattern) > before {
			return ""
		}
		return n.String() + " does not log " + pattern + n.tail()
	})
}

// tail is the end of the log and of the output, for a failure.
func (n *node) tail() string {
	lines := n.lines()
	text := "\n--- " + n.String() + ":\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
	if output, err := os.ReadFile(n.outputPath()); err == nil {
		lines = strings.Split(strings.TrimSpace(string(output)), "\n")
		text += "\n--- its output:\n" + strings.Join(lines[max(0, len(lines)-5):], "\n")
	}
	return text
}

var (
	logLine = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ([A-Z]+2?): `)
	fatal   = regexp.MustCompile(`panic:|goroutine \d|DATA RACE`)
	// What a real database daemon complains of.
	databaseTrouble = regexp.MustCompile(`(ERROR|WARNING|CRITICAL): `)
	unhandled       = regexp.MustCompile(`^Unhandled exception|never retrieved`)
)

// unexplained gives the lines that need an explanation and have none: those at
// level warning and error, those that are no log lines (a traceback belongs to
// the line before it), and what looks like a crash in the output.
func (n *node) unexplained(known []explanation) []string {
	var bad []string
	explained := false // the last log line
	for i, line := range n.lines() {
		if n.leaving > 0 && i == n.leaving {
			known = append(slices.Clone(known), parting()...)
		}
		level := logLine.FindStringSubmatch(line)
		switch {
		case level == nil && (explained || strings.TrimSpace(line) == ""):
		case level == nil:
			bad = append(bad, line)
		case level[1] != "ERROR" && level[1] != "WARNING" && level[1] != "CRITICAL":
			explained = false
		default:
			explained = n.isKnown(line, known)
			if !explained {
				bad = append(bad, line)
			}
		}
	}
	return append(append(bad, n.crashes(known)...), n.databaseComplaints(known)...)
}

// parting explains the lines of nodes that are being ended, or whose peer is.
func parting() []explanation {
	return []explanation{
		{
			"our master", `Error during connection with '[^']+': (connection reset by peer|broken pipe)\.$`,
			"a real worker that is ended leaves unread what has just been sent to it",
		},
		{
			"their master", `Error during connection with '[^']+': \[Errno 104\] Connection reset by peer\.$`,
			"the same under a real master",
		},
		{theirs.node(), `Error while trying to terminate the process with ID \d+\.$`, "it ended by itself in the same instant"},
	}
}

// crashes gives the lines of the output, outside the log, that tell of one. A
// real node writes a traceback of many lines for each, all with the same text.
func (n *node) crashes(known []explanation) []string {
	output, err := os.ReadFile(n.outputPath())
	if err != nil {
		return nil
	}
	pattern := fatal
	if n.maker == theirs {
		pattern = unhandled
	}
	var bad []string
	for line := range strings.SplitSeq(string(output), "\n") {
		if pattern.MatchString(line) && !n.isKnown(line, known) && !slices.Contains(bad, "(output) "+line) {
			bad = append(bad, "(output) "+line)
		}
	}
	return bad
}

func (n *node) isKnown(line string, known []explanation) bool {
	return slices.ContainsFunc(known, func(e explanation) bool {
		return strings.HasPrefix(n.kind(), e.who) && matches(e.line, line)
	})
}

// patience is how long anything may take. Things take a second or two; the
// machine may be busy.
const patience = 2 * time.Minute

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
