package arch

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestHouse holds the whole module to the rules.
func TestHouse(t *testing.T) {
	const root = "../.."
	module, err := modulePath(root)
	if err != nil {
		t.Fatal(err)
	}
	h, err := load(os.DirFS(root), module)
	if err != nil {
		t.Fatal(err)
	}
	floors, err := os.ReadFile("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePlan(string(floors))
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := os.ReadFile("libraries.txt")
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseOwners(string(libraries))
	if err != nil {
		t.Fatal(err)
	}
	for rule, problems := range map[string][]string{
		"floors":    h.checkFloors(p),
		"libraries": h.checkLibraries(o),
		"docs":      h.checkDocs(),
		"sizes":     h.checkSizes(),
		"habits":    h.checkHabits(),
	} {
		t.Run(rule, func(t *testing.T) {
			for _, problem := range problems {
				t.Error(problem)
			}
		})
	}
	for _, line := range h.checkUnused(p) {
		t.Log(line) // harmless, and true while a package is being written
	}
}

// build makes a house of these files, in module m.
func build(t *testing.T, files map[string]string) *house {
	t.Helper()
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	h, err := load(root, "m")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func code(name string, imports ...string) string {
	text := fmt.Sprintf("// Package %s is.\npackage %s\n", name, name)
	for _, i := range imports {
		text += fmt.Sprintf("import _ %q\n", i)
	}
	return text
}

const testPlan = `
# comment
floor 0: a b memory
floor 1: c d
floor 2: trial
tests: memory trial
c -> d: because
`

func TestCheckFloors(t *testing.T) {
	p, err := parsePlan(testPlan)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file string
		imports    []string
		want       string
	}{
		{"down", "internal/c/x.go", []string{"m/internal/a", "fmt"}, ""},
		{"same floor with a reason", "internal/c/x.go", []string{"m/internal/d"}, ""},
		{"same floor the other way", "internal/d/x.go", []string{"m/internal/c"}, "imports internal/c, of its own floor 1, without a reason in internal/arch/floors.txt"},
		{"up", "internal/a/x.go", []string{"m/internal/c"}, "imports internal/c, which is on floor 1, above its own floor 0"},
		{"up in a test", "internal/a/x_test.go", []string{"m/internal/c", "m/internal/memory"}, ""},
		{"what is for tests", "internal/c/x.go", []string{"m/internal/memory"}, "imports internal/memory, which is for tests only"},
		{"what is for tests, by another such", "internal/trial/x.go", []string{"m/internal/memory", "m/internal/c"}, ""},
		{"not listed", "internal/c/x.go", []string{"m/internal/zzz"}, "imports internal/zzz, which is not in internal/arch/floors.txt"},
		{"from above all", "cmd/m/x.go", []string{"m/internal/c"}, ""},
		{"what is for tests, from above all", "cmd/m/x.go", []string{"m/internal/trial"}, "imports internal/trial, which is for tests only"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := build(t, map[string]string{tc.file: code("x", tc.imports...)}).checkFloors(p)
			if tc.want == "" {
				expect(t, got)
			} else {
				expect(t, got, tc.file+": "+tc.want)
			}
		})
	}
	got := build(t, map[string]string{"internal/new/x.go": code("new", "m/internal/c")}).checkFloors(p)
	expect(t, got, "internal/new: not in internal/arch/floors.txt")
}

func TestCheckUnused(t *testing.T) {
	p, err := parsePlan(testPlan)
	if err != nil {
		t.Fatal(err)
	}
	const listed = "internal/arch/floors.txt: c -> d is listed but not used"
	expect(t, build(t, map[string]string{"internal/c/x.go": code("c"), "internal/d/x.go": code("d")}).checkUnused(p), listed)
	expect(t, build(t, map[string]string{"internal/c/x.go": code("c", "m/internal/d"), "internal/d/x.go": code("d")}).checkUnused(p))
	expect(t, build(t, map[string]string{"internal/c/x.go": code("c")}).checkUnused(p)) // d is not built yet
}

func TestParsePlan_Refusals(t *testing.T) {
	for _, text := range []string{
		"floor 0", "floor 0:", "floor x: a", "floor 0: a a", "floor 0: a\nfloor 1: a", "tests: a", "a -> b: c",
		"floor 0: a\nfloor 1: b\na -> b: reason", "floor 0: a b\na -> b:", "floor 0: a b\na to b: reason",
	} {
		if _, err := parsePlan(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestCheckLibraries(t *testing.T) {
	o, err := parseOwners("# comment\nexample.org/lib a\nexample.org/check tests\n")
	if err != nil {
		t.Fatal(err)
	}
	got := build(t, map[string]string{
		"internal/a/x.go":      code("a", "example.org/lib/v2/sub", "golang.org/x/sync/errgroup", "fmt", "m/internal/b"),
		"internal/b/x.go":      code("b", "example.org/lib", "example.org/check", "example.org/unknown", "example.org/library"),
		"internal/b/x_test.go": code("b", "example.org/lib", "example.org/check"),
	}).checkLibraries(o)
	expect(t, got,
		"internal/b/x.go: imports example.org/lib, which only internal/a may",
		"internal/b/x.go: imports example.org/check, which is for tests only",
		"internal/b/x.go: imports example.org/unknown, which is not in internal/arch/libraries.txt",
		"internal/b/x.go: imports example.org/library, which is not in internal/arch/libraries.txt")
	for _, text := range []string{"example.org/lib", "example.org/lib a b", "l a\nl b"} {
		if _, err := parseOwners(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestCheckDocs(t *testing.T) {
	got := build(t, map[string]string{
		"cmd/m/main.go":             "// Command m is.\npackage main\n",
		"internal/a/x.go":           "// Package a is.\npackage a\n",
		"internal/b/x.go":           "package b\n",
		"internal/c/x.go":           "// Package d is.\npackage c\n",
		"internal/d/a.go":           "package d\n",
		"internal/d/b.go":           "// Package d is.\npackage d\n",
		"internal/util/x.go":        "// Package util is.\npackage util\n",
		"internal/a/testdata/x.go":  "package x\n",
		"internal/a/_old/x.go":      "not Go at all",
		"internal/a/.x.go":          "not Go at all",
		"tools/t.go":                "package t\n",
		"internal/a/models/text.go": "// Package text is.\npackage text\n",
	}).checkDocs()
	const missing = `: no file has a comment that begins with "Package" or "Command" and the name`
	expect(t, got,
		"internal/a/models: a package called text may hold anything",
		"internal/b"+missing, "internal/c"+missing,
		"internal/util: a package called util may hold anything")
}

func TestCheckSizes(t *testing.T) {
	long := func(lines int) string {
		return "package a\n\nfunc f() {" + strings.Repeat("\n", lines-1) + "}\n"
	}
	got := build(t, map[string]string{
		"a.go":         long(maxFunctionLines),
		"b.go":         long(maxFunctionLines + 1),
		"c.go":         "package a\n" + strings.Repeat("\n", maxFileLines-1),
		"d.go":         "package a\n" + strings.Repeat("\n", maxFileLines),
		"generated.go": "// Code generated by hand. DO NOT EDIT.\n\n" + long(maxFileLines),
	}).checkSizes()
	expect(t, got, "b.go:3: f has 81 lines, at most 80", "d.go: 501 lines, at most 500")
}

func TestCheckHabits(t *testing.T) {
	sleep := func(imports string) string {
		return "package a\nimport \"time\"\n" + imports + "\nfunc f() { time.Sleep(1) }\n"
	}
	got := build(t, map[string]string{
		"a/a.go":      "package a\nfunc init() {}\nfunc (t T) init() {}\n",
		"a/b.go":      sleep(""),
		"a/c_test.go": sleep(""),
		"b/d_test.go": sleep("import _ \"testing/synctest\""),
		"b/e_test.go": sleep(""),
	}).checkHabits()
	expect(t, got,
		"a/a.go:2: init runs on import; compose at the root instead",
		"a/c_test.go:4: a test sleeps; wait for the event, or use testing/synctest")
}

func TestModulePath(t *testing.T) {
	dir := t.TempDir()
	if _, err := modulePath(dir); err == nil {
		t.Error("no go.mod is no error")
	}
	if err := os.WriteFile(dir+"/go.mod", []byte("go 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := modulePath(dir); err == nil {
		t.Error("a go.mod without a module is no error")
	}
}
