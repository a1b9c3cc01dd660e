package filetree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"testudo/internal/manifest"
)

func TestStage_Put(t *testing.T) {
	h := newHome(t)
	stage, err := h.open().NewStage("queue/cluster/w1/x")
	h.must(err)
	defer stage.Close()
	_, err = h.open().NewStage("queue/cluster/w1/x")
	if want := "making a stage in queue/cluster/w1: file exists"; !errors.Is(err, fs.ErrExist) || err.Error() != want {
		t.Errorf("the same stage again: %v, want %s", err, want) // without its own name: it is new each time
	}
	for _, dir := range []string{"../x", "/x", "queue/../../x", ""} {
		if _, err := h.open().NewStage(dir); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q as a stage: %v", dir, err)
		}
	}
	var pe *manifest.PathError
	if _, err := stage.Put("../../x", iotest.ErrReader(errors.New("read"))); !errors.As(err, &pe) {
		t.Errorf("a path that is not synchronised: %v", err)
	}
	broken := errors.New("connection reset")
	for name, end := range map[string]error{"broken": broken, "cut": io.ErrUnexpectedEOF} {
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", blockSize+5)), iotest.ErrReader(end))
		if n, err := stage.Put("etc/rules/a", r); !errors.Is(err, end) || n != blockSize+5 {
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
	if _, err := stage.Put("etc/rules/a", neverEnding{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	for _, content := range []string{"first", "second", strings.Repeat("z", 2*blockSize)} {
		r := iotest.OneByteReader(strings.NewReader(content))
		if n, err := stage.Put("etc/rules/a", r); n != int64(len(content)) || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if m := stage.members["etc/rules/a"]; m.digest != manifest.DigestOf([]byte(content)) {
			t.Error("wrong digest")
		}
	}
	left, err := os.ReadDir(h.path("queue/cluster/w1/x"))
	h.must(err)
	if len(left) != 1 {
		t.Errorf("%d files in the stage", len(left))
	}
	h.must(stage.Close())
	if h.exists("queue/cluster/w1/x") {
		t.Error("the stage is left")
	}
}

type neverEnding struct{}

func (neverEnding) Read([]byte) (int, error) { return 0, nil }

func TestCleanTemporary(t *testing.T) {
	h := newHome(t).write(
		"etc/rules/.a.xml.tmp", "1", "etc/shared/.a.ABCDEFGH2345.tmp~", "1", "etc/rules/dir/.b.tmp", "1", "etc/.client.keys.tmp", "1", "var/multigroups/g/.merged.mg.tmp", "1",
		"etc/.other.tmp", "stays", "etc/rules/a.tmp", "stays", "etc/rules/.tmp", "stays", "etc/rules/.hidden", "stays",
		"etc/sub/.client.keys.tmp", "stays", "var/multigroups/g/.other.tmp", "stays", "etc/rules/.a.swp.tmp", "stays", "queue/.a.tmp", "stays",
	)
	h.must(os.Mkdir(h.path("etc/rules/.dir.tmp"), 0o770))
	h.remove("etc/lists")
	n, err := h.open().CleanTemporary(context.Background())
	if n != 5 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	for path, want := range map[string]bool{
		"etc/rules/.a.xml.tmp": false, "etc/rules/dir/.b.tmp": false, "etc/.client.keys.tmp": false, "var/multigroups/g/.merged.mg.tmp": false,
		"etc/.other.tmp": true, "etc/rules/a.tmp": true, "etc/rules/.tmp": true, "etc/rules/.hidden": true, "etc/sub/.client.keys.tmp": true,
		"var/multigroups/g/.other.tmp": true, "etc/rules/.a.swp.tmp": true, "queue/.a.tmp": true, "etc/rules/.dir.tmp": true,
	} {
		if h.exists(path) != want {
			t.Errorf("%s: exists %v", path, !want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.open().CleanTemporary(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
