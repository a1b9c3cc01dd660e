package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	fileSeparator = "|@@//@@|"
	pathSeparator = "|//@@//|"
)

// withSeparators are contents that compress to themselves, with what divides a
// package inside.
func withSeparators() map[string]string {
	return map[string]string{
		"one":        noise(3, 40) + fileSeparator + noise(4, 5000),
		"both":       noise(5, 100) + pathSeparator + fileSeparator + fileSeparator + noise(6, 5000),
		"many":       noise(7, 64) + strings.Repeat(fileSeparator+"@@|//", 60) + strings.Repeat(noise(8, 7)+fileSeparator, 60),
		"at the end": noise(9, 3000) + fileSeparator,
		"across":     noise(10, 70_000) + "|@@//@@" + fileSeparator + "@@//@@|" + noise(11, 70_000),
		"plain":      fileSeparator,
	}
}

// What divides the files of a package may stand in a file of our master's.
func TestSeparators_FromOurs(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		c.start()
		c.waitInStep()
		for name, content := range withSeparators() {
			c.master.write(lists+"separator "+name, content)
		}
		c.master.write(lists+"large", noise(12, 23<<20)+fileSeparator+noise(13, 1000))
		c.waitInStep()
		c.verify()
	}, mixedUnder(ours))
}

// A real master does not keep its files apart, so that its own workers cannot
// read such a package. Ours reads each file to its own end.
func TestSeparators_FromTheirs(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		c := newCluster(t, p)
		c.start()
		c.waitInStep()
		for name, content := range withSeparators() {
			c.master.write(lists+"separator "+name, content)
		}
		c.master.write(rules, "<group name=\"beside them\"/>\n")
		c.waitInStep()
		c.verify()
	}, oursUnderTheirs)
}

// A real master does not look at a file whose time is the same, and goes on
// announcing an old digest. Our worker gets the file all the same, and says what
// helps.
func TestOldDigest(t *testing.T) {
	each(t, func(t *testing.T, p plan) {
		const file = lists + "old"
		c := newCluster(t, p)
		c.explain(explanation{"our worker", `The master sends files each round`, "the master announces another digest than the file has"})
		c.master.write(file, "first\n")
		c.start()
		c.waitInStep()
		full := filepath.Join(c.master.home, file)
		info, err := os.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		c.master.write(file, "other\n")
		if err := os.Chtimes(full, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		c.workers[0].write(file, "a worker's own")
		c.waitEqual()
		c.workers[0].waitFor(0, `The master sends files each round`)
		c.master.write(file, "other\n")
		c.waitInStep()
		c.verify()
	}, oursUnderTheirs)
}

// A file beyond the limit of a package goes between ours, and is told of where
// it cannot go; all others get there, in several packages.
func TestTooLarge(t *testing.T) {
	each(t, testTooLarge, mixedUnder(ours), mixedUnder(theirs))
}

func testTooLarge(t *testing.T, p plan) {
	c := newCluster(t, p, func(s map[string]string) {
		s["intervals.communication.max_zip_size"] = "2000000"
		s["intervals.communication.min_zip_size"] = "1000000"
	})
	c.explain(
		explanation{"their master", `\[Integrity sync\] .*(File too large|Maximum zip size exceeded)`, "the limit is lowered"},
		explanation{"our master", `\[Integrity sync\] .*too large: `, "the limit is lowered"},
	)
	c.start()
	c.waitInStep()
	const large = lists + "large"
	c.master.write(large, noise(14, 3<<20))
	for i := range 40 {
		c.master.write(lists+string(rune('a'+i%26))+strings.Repeat("x", i/26), noise(uint64(100+i), 150_000))
	}
	for _, w := range c.workers {
		wait(t, patience, func() string {
			if why := w.differs(); why != "" && !strings.Contains(why, large) {
				return why + w.tail()
			}
			return ""
		})
		if w.maker == ours && c.master.maker == ours {
			wait(t, patience, w.differs)
		} else if w.has(large) {
			t.Errorf("%s has the large file", w)
		}
	}
	if c.master.maker == ours {
		wait(t, patience, func() string { return c.failedState(large, "w2", "too large") })
	}
	c.master.remove(large)
	c.waitInStep()
	c.verify()
}

// failedState looks for a reason in what our master shows of a file.
func (c *cluster) failedState(file, node, reason string) string {
	cmd := exec.Command(c.program, "files", "--home", c.master.home, "--node", node, "--state", "failed", "--json")
	cmd.Args[0] = program
	output, err := cmd.Output()
	if err != nil {
		return "testudo files: " + err.Error()
	}
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, file) && strings.Contains(line, reason) {
			return ""
		}
	}
	if !json.Valid(output) {
		return "testudo files: no JSON: " + string(output)
	}
	return "testudo files does not show that " + file + " is " + reason + ": " + string(output)
}

// Names that we do not have are a matter of their file alone: everything else
// goes on, and a master of either maker removes them from the other's workers.
func TestNamesThatDoNotTravel(t *testing.T) {
	each(t, testNamesThatDoNotTravel, theirsUnderOurs, oursUnderTheirs)
}

func testNamesThatDoNotTravel(t *testing.T, p plan) {
	c := newCluster(t, p)
	names := `(line|tab|bell|not |their)`
	c.explain(
		explanation{"our worker", `Can't read metadata from file etc/lists/` + names, "it says why a file of its own is left alone"},
		explanation{"our worker", `Error processing missing file 'etc/lists/their`, "it does not take a file of such a name"},
	)
	c.start()
	c.waitInStep()
	w := c.workers[0]
	own := []string{"line\nend", "tab\tstop", "bell\a", "not \xff utf-8"}
	for _, name := range own {
		w.write(lists+name, "a worker's own")
	}
	if c.master.maker == theirs {
		c.master.write(lists+"their\ttab", "a master's own")
	}
	c.master.write(rules, "<group name=\"beside them\"/>\n")
	c.master.write(lists+"beside", "them\n")
	wait(t, patience, func() string {
		for _, path := range []string{rules, lists + "beside"} {
			if w.read(path) != c.master.read(path) {
				return path + " does not arrive" + w.tail() + c.master.tail()
			}
		}
		return ""
	})
	for _, name := range own {
		path := lists + name
		// A name that is no text cannot be told to a worker by ours.
		if w.maker == theirs && !strings.Contains(name, "\xff") {
			wait(t, patience, func() string {
				if w.has(path) {
					return strconv.Quote(path) + " is still there"
				}
				return ""
			})
		}
		w.remove(path)
	}
	c.master.remove(lists + "their\ttab")
	c.waitInStep()
	c.verify()
}
