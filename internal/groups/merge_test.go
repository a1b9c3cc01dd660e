package groups

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"testudo/internal/recording"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	arText   = "restart-wazuh0 - restart-wazuh - 0\n"
	confText = "<agent_config>\n</agent_config>\n"
)

// The examples of docs/agents.md §12.1.
func TestMerge_Examples(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/ar.conf", arText)
	w.put("etc/shared/default/agent.conf", confText)
	w.put("etc/shared/web/agent.conf", confText)
	w.source.set("default,web", "default")
	if r := w.scan(); r.Groups != 2 || r.Multigroups != 1 || r.Written != 3 {
		t.Errorf("got %+v", r)
	}
	want := "#default\n!35 ar.conf\n" + arText + "!31 agent.conf\n" + confText
	got := w.read("etc/shared/default/merged.mg")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
	if md5Of(got) != "c0d164d9c6ab80ae3d98c24bc7e8d831" {
		t.Errorf("group has MD5 %s", md5Of(got))
	}
	got = w.read("var/multigroups/5288d400/merged.mg")
	want = "#5288d400\n!35 ar.conf\n" + arText + "!140 agent.conf\n" +
		"<!-- Source file: default/agent.conf -->\n" + confText + "<!-- Source file: web/agent.conf -->\n" + confText
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("multigroup (-want +got):\n%s", diff)
	}
	if md5Of(got) != "9622cec8007890ce247bc8c7d648f127" {
		t.Errorf("multigroup has MD5 %s", md5Of(got))
	}
}

// What a real manager pushed to a real agent.
func TestMerge_Recorded(t *testing.T) {
	type line struct {
		Message string `json:"message"`
	}
	var merged, sum string
	for _, m := range recording.Lines[line](t, "golden/agent/agent-000.jsonl") {
		text := m.Message[min(21, len(m.Message)):] // behind random number and counters
		if rest, ok := strings.CutPrefix(text, "#!-up file "); ok {
			sum, _, _ = strings.Cut(rest, " ")
		} else if strings.HasPrefix(text, "#default\n") {
			merged = text
		}
	}
	_, conf, ok := strings.Cut(merged, " agent.conf\n")
	if !ok {
		t.Fatal("the recording holds no merged.mg")
	}
	w := newWorld(t)
	w.put("etc/shared/default/agent.conf", conf)
	w.scan()
	got := w.read("etc/shared/default/merged.mg")
	if got != merged || md5Of(got) != sum {
		t.Errorf("got %q with MD5 %s, recorded was %q with %s", got, md5Of(got), merged, sum)
	}
}

func TestMerge_WhatTakesPart(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("d", 99) + "/" + strings.Repeat("e", 100) // 200 characters
	for name, text := range map[string]string{
		"b.txt": "b without end of line", "a/z": "az\n", "a/inner/y": "ay\n", "a.conf": "ac\n", "empty": "", "a-b": "ab\n",
		".hidden": "h", ".dir/x": "h", "merged.mg.old": "m", "a/merged.mg": "m", "binary": "x\x00y\n", "umlaut-ü": "u\n",
		long: "long\n", long + "x": "too long\n", "tail~": "t\n", "x.tmp": "tmp\n",
	} {
		w.put("etc/shared/default/"+name, text)
	}
	for name, target := range map[string]string{
		"link-inside": "b.txt", "link-across": "../ar-source", "link-out": w.path("secret"), "link-dir": "a", "link-lost": "nowhere",
	} {
		if err := os.Symlink(target, w.path("etc/shared/default/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	w.put("etc/shared/ar-source", "across\n")
	w.put("secret", "secret\n")
	w.scan()
	title, members := readMerged(t, w.read("etc/shared/default/merged.mg"))
	var got []string
	for _, m := range members {
		got = append(got, m.name)
	}
	want := []string{
		"a/inner/y", "a/z", "a-b", "a.conf", "b.txt", long, "empty", "link-across", "link-inside", "tail~", "umlaut-ü", "x.tmp",
	}
	// A directory is entered where its own name stands: "a" comes before "a-b".
	if diff := cmp.Diff(want, got); diff != "" || title != "default" {
		t.Errorf("%s holds (-want +got):\n%s", title, diff)
	}
}

func TestMerge_LaterGroupsOverwrite(t *testing.T) {
	w := newWorld(t)
	w.put("etc/shared/default/agent.conf", "D")
	w.put("etc/shared/default/only-d", "d\n")
	w.put("etc/shared/default/both", "from default\n")
	w.put("etc/shared/default/sub/both", "from default\n")
	w.put("etc/shared/web/agent.conf", "W")
	w.put("etc/shared/web/both", "from web\n")
	w.put("etc/shared/web/sub/both", "from web\n")
	w.put("etc/shared/web/a-first", "w\n")
	w.put("etc/shared/db/both", "nul \x00 in db\n")
	w.put("etc/shared/db/agent.conf", "B")
	w.source.set("default,web", "web,default", "default,web,db")
	w.scan()
	head := func(group string) string { return "<!-- Source file: " + group + "/agent.conf -->\n" }
	tests := []struct {
		hash string
		want []merged
	}{
		{"5288d400", []merged{
			{"a-first", "w\n"}, {"agent.conf", head("default") + "D" + head("web") + "W"},
			{"both", "from web\n"}, {"only-d", "d\n"}, {"sub/both", "from web\n"},
		}},
		{"4b323b42", []merged{
			{"a-first", "w\n"}, {"agent.conf", head("web") + "W" + head("default") + "D"},
			{"both", "from default\n"}, {"only-d", "d\n"}, {"sub/both", "from default\n"},
		}},
	}
	for _, test := range tests {
		title, got := readMerged(t, w.read("var/multigroups/"+test.hash+"/merged.mg"))
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(merged{})); diff != "" || title != test.hash {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

type merged struct{ name, content string }

// readMerged reads a merged.mg as an agent does: by the sizes.
func readMerged(t rapid.TB, text string) (title string, members []merged) {
	t.Helper()
	title, rest, ok := strings.Cut(text, "\n")
	if !ok || title[0] != '#' {
		t.Fatalf("no title: %.40q", text)
	}
	for rest != "" {
		header, body, ok := strings.Cut(rest, "\n")
		size, name, two := strings.Cut(header, " ")
		n, err := strconv.Atoi(strings.TrimPrefix(size, "!"))
		if !ok || !two || err != nil || header[0] != '!' || n > len(body) {
			t.Fatalf("no header: %.60q", rest)
		}
		members = append(members, merged{name, body[:n]})
		rest = body[n:]
	}
	return title[1:], members
}

// Whatever the files are: what comes out holds each of them once, in the order
// of a walk.
func TestMerge_HoldsWhatGoesIn(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		content := map[string]string{}
		tr := &tree{}
		group := fmt.Sprint("g", round)
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c](/[a-c]|-[a-c]){0,2}\.x`), 0, 8, rapid.ID).Draw(t, "names") {
			text := rapid.StringOf(rapid.SampledFrom([]rune("!# \n1a"))).Draw(t, "text")
			content[name] = text
			full := group + "/" + name
			if i := strings.LastIndexByte(full, '/'); i > 0 {
				if err := root.MkdirAll(full[:i], 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := root.WriteFile(full, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			tr.files = append(tr.files, file{name: name, stamp: stamp{size: int64(len(text))}})
		}
		s := planOfMany("h", []string{group}, map[string]*tree{group: tr}, nil).open(root)
		defer s.Close()
		data, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		_, members := readMerged(t, string(data))
		for i, m := range members {
			if content[m.name] != m.content {
				t.Fatalf("%s holds %q, not %q", m.name, m.content, content[m.name])
			}
			if i > 0 && slices.Compare(strings.Split(members[i-1].name, "/"), strings.Split(m.name, "/")) >= 0 {
				t.Fatalf("%s stands behind %s", m.name, members[i-1].name)
			}
		}
		if len(members) != len(content) {
			t.Fatalf("%d members of %d files", len(members), len(content))
		}
	})
}

func TestStream_FileThatChanges(t *testing.T) {
	w := newWorld(t)
	shared, err := w.root.OpenRoot(sharedDir)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	for name, size := range map[string]int64{"grown": 3, "shrunk": 5, "gone": 4} {
		w.put("etc/shared/default/"+name, "four")
		if name == "gone" {
			if err := os.Remove(w.path("etc/shared/default/gone")); err != nil {
				t.Fatal(err)
			}
		}
		s := planOf("default", &tree{files: []file{{name: name, stamp: stamp{size: size}}}}, nil).open(shared)
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
