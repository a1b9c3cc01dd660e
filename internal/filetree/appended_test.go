package filetree

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"testudo/internal/manifest"
)

// While it is appended to a file counts as it was when its reading began; then its
// new end is read, too.
func TestScan_FileThatIsAppendedToWhileRead(t *testing.T) {
	for name, size := range map[string]int{"less than a block": 10, "a block": blockSize, "more": 2*blockSize + 7} {
		t.Run(name, func(t *testing.T) {
			content := strings.Repeat("a key\n", size/6+1)
			h := newHome(t).write("etc/client.keys", content)
			tree := h.open(func(o *Options) { o.Workers = 1 })
			scan(t, tree)
			add := func() {
				content += "another\n"
				f, err := os.OpenFile(h.path("etc/client.keys"), os.O_WRONLY|os.O_APPEND, 0)
				h.must(err)
				_, err = f.WriteString("another\n")
				h.must(errors.Join(err, f.Close()))
			}
			add()
			began := content
			s, err := tree.Scan(meddler{context.Background(), add})
			h.must(err)
			wantProblems(t, s.Unreadable)
			if e, _ := s.Manifest.Lookup("etc/client.keys"); e.Digest != manifest.DigestOf([]byte(began)) || int(e.Size) != len(began) {
				t.Errorf("%d bytes, not the %d of the beginning", e.Size, len(began))
			}
			if s.Steady {
				t.Error("it is taken for what it will stay")
			}
			s = scan(t, tree)
			if e, _ := s.Manifest.Lookup("etc/client.keys"); e.Digest != manifest.DigestOf([]byte(content)) {
				t.Error("the new end was not read")
			}
		})
	}
}

// A file that grows because it is written anew is none that is appended to.
func TestScan_FileThatIsWrittenAnewWhileRead(t *testing.T) {
	h := newHome(t).write("etc/client.keys", "one\n")
	tree := h.open(func(o *Options) { o.Workers = 1 })
	known := scan(t, tree).Manifest
	h.write("etc/client.keys", "other\n")
	n := 1
	s, err := tree.Scan(meddler{context.Background(), func() { n++; h.write("etc/client.keys", strings.Repeat("other\n", n)) }})
	h.must(err)
	wantProblems(t, s.Unreadable, "etc/client.keys: changes while")
	if s.Manifest != known {
		t.Error("the manifest changed")
	}
}
