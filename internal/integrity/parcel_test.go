package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"testudo/internal/bundle"
	"testudo/internal/manifest"
)

// folder is a Tree of which files can only be opened.
type folder struct {
	Tree
	dir string
}

func (f folder) OpenFile(path string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(f.dir, path))
}

// entry writes a file and gives its entry.
func (f folder) entry(t *testing.T, path, content string) manifest.Entry {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	h := manifest.NewHasher()
	_, _ = h.Write([]byte(content))
	return manifest.Entry{Path: path, Digest: h.Digest(), Size: int64(len(content))}
}

func newPacker(t *testing.T) (*packer, folder) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spool, err := bundle.OpenSpool(root, "spool", 1<<30, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spool.Close(); _ = root.Close() })
	f := folder{dir: t.TempDir()}
	return &packer{f, spool}, f
}

// written gives the members of a parcel and the paths its metadata names.
func written(t *testing.T, p *parcel) (members, announced []string) {
	t.Helper()
	var buf bytes.Buffer
	if err := p.writeTo(t.Context(), &buf, 1); err != nil {
		t.Fatal(err)
	}
	err := bundle.Read(t.Context(), &buf, bundle.Limits{}, func(path string, content io.Reader) error {
		if path != bundle.MetadataName {
			members = append(members, path)
			return nil
		}
		d, err := manifest.ReadDifference(content, manifest.Limits{})
		for _, e := range slices.Concat(d.Shared, d.Missing) {
			announced = append(announced, e.Path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return members, announced
}

// What turns out not to go while the package is on its way is not in its
// metadata either.
func TestParcel_LeavesOutWhatItCannotSend(t *testing.T) {
	pack, f := newPacker(t)
	var d manifest.Difference
	for i := range 3 * batchFiles {
		d.Missing = append(d.Missing, f.entry(t, fmt.Sprintf("file-%03d", i), fmt.Sprint("content ", i)))
	}
	d.Shared = []manifest.Entry{f.entry(t, "large", strings.Repeat("x", largeFile+1)), f.entry(t, "shared", "x")}
	f.entry(t, "file-070", "changed since")
	if err := os.Remove(filepath.Join(f.dir, "file-150")); err != nil {
		t.Fatal(err)
	}
	d.Missing[3].Size = 1 << 30
	p, err := pack.pack(t.Context(), d, 64<<20, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	if len(p.left) != 1 || len(p.ready) != 1 {
		t.Errorf("before it is announced: left out %v, %d large files ready", p.left, len(p.ready))
	}
	members, announced := written(t, p)
	if !slices.Equal(members, announced) || len(members) != 3*batchFiles-3+2 || members[0] != "large" {
		t.Errorf("%d members, %d announced, first %q", len(members), len(announced), members[:1])
	}
	for path, reason := range map[string]string{"file-070": reasonChanged, "file-150": reasonChanged, "file-003": "too large: 1073741824 bytes, the package limit is 67108864"} {
		if p.left[path] != reason || slices.Contains(members, path) {
			t.Errorf("%s: %q", path, p.left[path])
		}
	}
}

// A file that has been appended to since goes as it was.
func TestParcel_FileThatHasGrown(t *testing.T) {
	pack, f := newPacker(t)
	var d manifest.Difference
	for _, size := range []int{1, 1000, largeFile + 1} {
		path, was := fmt.Sprint("keys-", size), strings.Repeat("k", size)
		d.Shared = append(d.Shared, f.entry(t, path, was))
		f.entry(t, path, was+"another key")
	}
	p, err := pack.pack(t.Context(), d, 64<<20, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	if members, announced := written(t, p); len(members) != 3 || !slices.Equal(members, announced) || len(p.left) > 0 {
		t.Errorf("%d members, %d announced, left out %v", len(members), len(announced), p.left)
	}
}

func TestParcel_EndsAtTheLimit(t *testing.T) {
	pack, f := newPacker(t)
	var d manifest.Difference
	for i := range 2 * batchFiles {
		d.Missing = append(d.Missing, f.entry(t, fmt.Sprintf("file-%03d", i), fmt.Sprint("content ", i)))
	}
	p, err := pack.pack(t.Context(), d, 1000, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	members, announced := written(t, p)
	if !slices.Equal(members, announced) || len(members) == 0 || len(members) > 1000/24 || len(p.left) > 0 || !p.cut {
		t.Errorf("%d members, %d announced, left out %v", len(members), len(announced), p.left)
	}
}

// A transfer that breaks off gives all up and leaves nothing running.
func TestParcel_BreaksOff(t *testing.T) {
	pack, f := newPacker(t)
	var d manifest.Difference
	for i := range 4 * batchFiles {
		d.Missing = append(d.Missing, f.entry(t, fmt.Sprintf("file-%03d", i), strings.Repeat(fmt.Sprint(i), 1000)))
	}
	p, err := pack.pack(t.Context(), d, 1<<30, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	broken := errors.New("broken")
	if err := p.writeTo(t.Context(), brokenWriter{broken}, 1); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.writeTo(ctx, io.Discard, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
