package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"testudo/internal/recording"

	"github.com/google/go-cmp/cmp"
)

// Every package of the recorded connection, joined from its pieces, holds the
// files that were recorded as its content.
func TestRecordings(t *testing.T) {
	packages := make(map[string][]byte)
	type message struct {
		Command string `json:"command"`
		Payload []byte `json:"payload_base64"`
		Text    string `json:"payload_text"`
	}
	for _, m := range recording.Lines[message](t, "golden/cluster/main-worker.jsonl") {
		if m.Command != "file_upd" {
			continue
		}
		if m.Payload == nil {
			m.Payload = []byte(m.Text)
		}
		name, bytes, _ := bytes.Cut(m.Payload, []byte(" "))
		packages[string(name)] = append(packages[string(name)], bytes...)
	}
	type unpacked struct {
		Dest    string `json:"dest"`
		Size    int    `json:"zip_bytes"`
		Entries []struct {
			Name string `json:"name"`
			Size int    `json:"size"`
			Text string `json:"text"`
		} `json:"entries"`
	}
	seen := 0
	for _, u := range recording.Lines[unpacked](t, "golden/cluster/main-worker.zips.jsonl") {
		seen++
		sent := packages[u.Dest]
		if len(sent) != u.Size {
			t.Fatalf("%s: %d bytes in the frames, %d recorded", u.Dest, len(sent), u.Size)
		}
		got, err := readAll(bytes.NewReader(sent), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", u.Dest, err)
		}
		var want []file
		for _, e := range u.Entries {
			want = append(want, file{e.Name, e.Text})
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", u.Dest, d)
		}
		if d := cmp.Diff(want, cutAsOriginal(t, written(t, 1, got))); d != "" {
			t.Errorf("%s, written again: %s", u.Dest, d)
		}
	}
	if seen == 0 {
		t.Error("no package in the recording")
	}
}

// cutAndInflate is a receiver as the interpreter of the original sees one.
const cutAndInflate = `
import sys, json, zlib, base64
out = []
for part in sys.stdin.buffer.read().split(b"|@@//@@|"):
    path, packed = part.split(b"|//@@//|", 1)
    z = zlib.decompressobj()
    content = z.decompress(packed) + z.flush()
    assert z.eof, path
    out.append({"Path": path.decode(), "Content": base64.b64encode(content).decode()})
json.dump(out, sys.stdout)
`

func TestPython_ReadsOurPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("large files for another program: not with -short")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	var files []file
	for name, content := range adversarial() {
		files = append(files, file{"etc/lists/" + name, string(content)})
	}
	// Longer than what the original reads at a time.
	files = append(files, file{"etc/lists/large", string(noise(11 << 20))}, file{MetadataName, "{}"})
	for _, level := range []int{1, 9} {
		cmd := exec.CommandContext(t.Context(), python, "-c", cutAndInflate)
		cmd.Stdin = bytes.NewReader(written(t, level, files))
		cmd.Stderr = os.Stderr
		answer, err := cmd.Output()
		if err != nil {
			t.Fatalf("level %d: %v", level, err)
		}
		var got []struct{ Path, Content string }
		if err := json.Unmarshal(answer, &got); err != nil || len(got) != len(files) {
			t.Fatalf("level %d: %d files, want %d: %v", level, len(got), len(files), err)
		}
		for i, f := range files {
			if content, _ := base64.StdEncoding.DecodeString(got[i].Content); got[i].Path != f.Path || string(content) != f.Content {
				t.Errorf("level %d: %s differs", level, f.Path)
			}
		}
	}
}
