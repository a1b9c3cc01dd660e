package interop

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	rules  = "etc/rules/local_rules.xml"
	lists  = "etc/lists/"
	shared = "etc/shared/"
)

// noise is incompressible and the same each time.
func noise(seed uint64, size int) string {
	b := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = random.Read(b) // never fails
	return string(b)
}

// Many ways in which files can change, one after the other in one cluster.
func TestFiles(t *testing.T) {
	each(t, testFiles, mixedUnder(theirs), mixedUnder(ours))
}

func testFiles(t *testing.T, p plan) {
	c := newCluster(t, p)
	c.start()
	c.waitInStep()
	for _, step := range slices.Concat(fewFiles(c), oddNames(c), manyFiles(c.master)) {
		step.do()
		c.waitEqual()
		t.Log("in step after:", step.name)
	}
	for _, w := range c.workers {
		gone := []string{shared + "web"}
		if w.maker == ours { // a real worker leaves directories of directories
			gone = append(gone, shared+"deep", shared+"thousand")
		}
		for _, path := range gone {
			if w.has(path) {
				t.Errorf("%s still has the directory %s", w, path)
			}
		}
	}
	c.master.remove(shared + "default/x.tmp") // not left behind by anybody
	c.explain(mergedAnew(), explanation{
		who: "our master", line: `Changes are held back from all workers: |Held back files are accepted by the operator`,
		why: "a thousand of its files have gone at once, which an operator has to confirm",
	})
	c.verify()
}

// mergedAnew explains a line of our master where the files of groups change.
func mergedAnew() explanation {
	return explanation{
		who: "our master", line: `'etc/shared/[^']+/merged\.mg': \['changed while it was read; it goes with the next round'\]`,
		why: "it makes the merged file of a group anew while it packs the old one",
	}
}

// step is one change and its name. Steps build on one another.
type step struct {
	name string
	do   func()
}

func fewFiles(c *cluster) []step {
	m := c.master
	return []step{
		{"create", func() {
			m.write("etc/rules/new_rules.xml", "<group/>\n")
			m.write(shared+"web/agent.conf", "<agent_config/>\n")
			m.write(shared+"deep/er/still/file.txt", "deep\n")
			m.write("var/multigroups/abcdef01/merged.mg", "merged\n")
			m.write("var/multigroups/abcdef01/other", "stays here\n")
			m.write(keysFile, "001 agent any 0123456789abcdef\n")
		}},
		{"empty file", func() { m.write(lists+"empty", "") }},
		{"change", func() {
			m.write(rules, "<group name=\"changed\"/>\n")
			m.write(keysFile, "001 agent any 0123456789abcdef\n002 other any 0123456789abcdef\n")
		}},
		{"to empty and back", func() {
			m.write(lists+"empty", "no longer\n")
			m.write("etc/rules/new_rules.xml", "")
		}},
		{"worker's own changes are undone", func() {
			for _, w := range c.workers {
				w.write(rules, "<group name=\"mine\"/>\n")
				w.write("etc/decoders/mine.xml", "<decoder/>\n")
				w.remove(lists + "empty")
			}
		}},
		{"delete", func() { m.remove("etc/rules/new_rules.xml") }},
		{"delete a group", func() { m.remove(shared + "web") }},
		{"delete a group of many levels", func() { m.remove(shared + "deep") }},
	}
}

func oddNames(c *cluster) []step {
	m := c.master
	// A real node takes such a file from a real one for a bundle of others.
	merged := "x.merged"
	if m.maker == theirs && slices.ContainsFunc(c.workers, func(w *node) bool { return w.maker == theirs }) {
		merged = "x.merge"
	}
	return []step{
		{"unusual names", func() {
			for _, name := range []string{
				"grüße-日本-🐢.xml", "two words.xml", " ", "-x", "a'b\"c\\d", "%s%d", "{}[]", merged, ".hidden",
				"|@@//@@|", "a\u0301e\u0308", strings.Repeat("n", 200), "über/ordner datei",
			} {
				m.write(lists+name, "content of "+name+"\n")
			}
		}},
		{"unusual names change", func() {
			m.write(lists+"grüße-日本-🐢.xml", "other\n")
			m.write(lists+merged, "12 name 2020-11-23 10:51:23+00:00\nhello, world")
			m.remove(lists + "two words.xml")
			m.remove(lists + "über")
		}},
		{"names that stay here", func() {
			m.write(lists+"backup~", "x")
			m.write(shared+"default/ar.conf", "x")
			m.write(shared+"default/x.tmp", "x")
			m.write(lists+"one more", "x")
		}},
	}
}

func manyFiles(m *node) []step {
	return []step{
		{"1,000 files", func() {
			for i := range 1000 {
				m.write(fmt.Sprintf("%sthousand/%03d/%d", shared, i/50, i), strings.Repeat(fmt.Sprintf("line of %d\n", i), i%40))
			}
		}},
		{"1,000 files change", func() {
			for i := 0; i < 1000; i += 2 {
				m.write(fmt.Sprintf("%sthousand/%03d/%d", shared, i/50, i), fmt.Sprintf("second %d\n", i))
			}
		}},
		{"1,000 files go", func() {
			m.remove(shared + "thousand")
			m.acceptShrink()
		}},
		{"20 MiB", func() { m.write(lists+"large", noise(1, 20<<20)) }},
		{"20 MiB change", func() { m.write(lists+"large", noise(2, 20<<20)) }},
		{"20 MiB go", func() { m.remove(lists + "large") }},
	}
}

// acceptShrink is the operator's word that so many files were meant to go. Only
// our master asks for it.
func (n *node) acceptShrink() {
	t := n.cluster.t
	t.Helper()
	if n.maker != ours {
		return
	}
	n.waitFor(0, "Changes are held back")
	cmd := exec.Command(n.cluster.program, "files", "--home", n.home, "--accept-shrink")
	cmd.Args[0] = program
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("accept the shrink: %v: %s", err, output)
	}
}
