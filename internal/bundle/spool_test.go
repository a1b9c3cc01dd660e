package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"testudo/internal/manifest"
)

func openSpool(t testing.TB, maxBytes int64) (*Spool, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenSpool(root, "queue/spool", maxBytes, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), root.Close()); err != nil {
			t.Error(err)
		}
		if left := filesIn(t, filepath.Join(dir, "queue/spool")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return s, filepath.Join(dir, "queue/spool")
}

func filesIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// opens gives an open function for content that counts its calls.
func opens(content []byte, count *atomic.Int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		count.Add(1)
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

func get(t testing.TB, s *Spool, content []byte) *Packed {
	t.Helper()
	p, err := s.Get(t.Context(), manifest.DigestOf(content), opens(content, new(atomic.Int64)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func checkContent(t testing.TB, p *Packed, content []byte) {
	t.Helper()
	var b bytes.Buffer
	if n, err := p.WriteTo(&b); err != nil || n != p.Size() || n != int64(b.Len()) || p.Clear() != int64(len(content)) {
		t.Fatalf("%d bytes written, size %d, clear %d of %d: %v", n, p.Size(), p.Clear(), len(content), err)
	}
	checkPacked(t, b.Bytes(), content)
}

func TestSpool_CompressesOnce(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	for name, content := range adversarial() {
		var count atomic.Int64
		for range 3 {
			p, err := s.Get(t.Context(), manifest.DigestOf(content), opens(content, &count))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkContent(t, p, content)
			p.Release()
		}
		if count.Load() != 1 {
			t.Errorf("%s: opened %d times", name, count.Load())
		}
	}
	if s.Bytes() == 0 {
		t.Error("no bytes")
	}
}

func TestSpool_OneFlightForAll(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	content := prose(1000)
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		start := make(chan struct{})
		slow := func() (io.ReadCloser, error) { <-start; return opens(content, &count)() }
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				p, err := s.Get(t.Context(), manifest.DigestOf(content), slow)
				if err != nil {
					t.Error(err)
					return
				}
				defer p.Release()
				checkContent(t, p, content)
			})
		}
		synctest.Wait()
		close(start)
		all.Wait()
		if count.Load() != 1 {
			t.Errorf("opened %d times", count.Load())
		}
	})
}

// A file being packed does not hold up another.
func TestSpool_OthersGoOnMeanwhile(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	slow, quick := noise(5*segment), noise(6*segment)
	r, w := io.Pipe()
	done := make(chan *Packed)
	go func() {
		p, err := s.Get(t.Context(), manifest.DigestOf(slow), func() (io.ReadCloser, error) { return r, nil })
		if err != nil {
			t.Error(err)
		}
		done <- p
	}()
	if _, err := w.Write(slow[:3*segment]); err != nil {
		t.Fatal(err)
	}
	p := get(t, s, quick)
	checkContent(t, p, quick)
	p.Release()
	if _, err := w.Write(slow[3*segment:]); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if p = <-done; p != nil {
		checkContent(t, p, slow) // in two places of the file
		p.Release()
	}
}

func TestSpool_NoticesChanges(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	d := manifest.DigestOf([]byte("old"))
	var count atomic.Int64
	if _, err := s.Get(t.Context(), d, opens([]byte("new"), &count)); !errors.Is(err, ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	p, err := s.Get(t.Context(), d, opens([]byte("old"), &count))
	if err != nil {
		t.Fatal(err)
	}
	checkContent(t, p, []byte("old"))
	p.Release()
}

func TestSpool_ErrorsOfOpening(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	_, err := s.Get(t.Context(), manifest.Digest{}, func() (io.ReadCloser, error) { return nil, fs.ErrPermission })
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, manifest.Digest{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The one who packs goes away; who waited takes over.
func TestSpool_LeaderCancelled(t *testing.T) {
	s, _ := openSpool(t, 1<<30)
	content := noise(3 * segment)
	d := manifest.DigestOf(content)
	synctest.Test(t, func(t *testing.T) {
		leader, cancel := context.WithCancel(t.Context())
		start := make(chan struct{})
		var count atomic.Int64
		var all sync.WaitGroup
		all.Go(func() {
			_, err := s.Get(leader, d, func() (io.ReadCloser, error) { <-start; return opens(content, &count)() })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("leader: %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			p, err := s.Get(t.Context(), d, opens(content, &count))
			if err != nil {
				t.Error(err)
				return
			}
			checkContent(t, p, content)
			p.Release()
		})
		impatient, giveUp := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := s.Get(impatient, d, opens(content, &count)); !errors.Is(err, context.Canceled) {
				t.Errorf("impatient: %v", err)
			}
		})
		synctest.Wait()
		giveUp()
		synctest.Wait()
		cancel()
		close(start)
		all.Wait()
		if count.Load() != 2 {
			t.Errorf("opened %d times, want 2", count.Load())
		}
	})
}

func TestSpool_BoundedBytes(t *testing.T) {
	const limit = 1 << 20
	s, dir := openSpool(t, limit)
	first := noise(100_000)
	kept := get(t, s, first)
	for i := range 60 {
		get(t, s, noise(100_000+i)).Release()
		if n := s.Bytes(); n > limit+limit/generations {
			t.Fatalf("%d bytes after %d files", n, i)
		}
		var onDisk int64
		for _, name := range filesIn(t, dir) {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			onDisk += info.Size()
		}
		if onDisk != s.Bytes() {
			t.Fatalf("%d bytes on disk, %d counted", onDisk, s.Bytes())
		}
	}
	if len(s.entries) > 12 {
		t.Errorf("%d entries remembered", len(s.entries))
	}
	checkContent(t, kept, first) // its generation is long gone
	kept.Release()
	kept.Release()
	if _, err := kept.WriteTo(io.Discard); !errors.Is(err, ErrReleased) {
		t.Errorf("after release: %v", err)
	}
	if err := kept.entry.gen.file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("its file is still open: %v", err)
	}
}

// Many tiny files are bounded too, by their place in memory.
func TestSpool_BoundedEntries(t *testing.T) {
	s, _ := openSpool(t, 100*entryCost)
	for i := range 1000 {
		get(t, s, fmt.Append(nil, i)).Release()
	}
	if len(s.entries) > 100+100/generations {
		t.Errorf("%d entries remembered", len(s.entries))
	}
}

// A full disk gets back what is kept for later, and the file is packed all the same.
func TestSpool_FullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no device that is always full:", err)
	}
	s, dir := openSpool(t, 1<<20)
	kept := get(t, s, []byte("before"))
	first := s.gens[0]
	disk := first.file
	first.file = full
	content := noise(5000)
	p := get(t, s, content)
	checkContent(t, p, content)
	p.Release()
	if names := filesIn(t, dir); len(names) != 1 || len(s.entries) != 1 {
		t.Errorf("files %v, %d entries", names, len(s.entries))
	}
	first.file = disk
	checkContent(t, kept, []byte("before"))
	kept.Release()
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}

func TestSpool_FileLargerThanAll(t *testing.T) {
	s, _ := openSpool(t, 1<<20)
	large := noise(3 << 20)
	p := get(t, s, large)
	checkContent(t, p, large)
	p.Release()
	get(t, s, []byte("small")).Release()
	if n := s.Bytes(); n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
}

func TestOpenSpool_RemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{spoolPrefix + "1" + spoolSuffix, spoolPrefix + "77" + spoolSuffix, "of others"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, err := OpenSpool(root, ".", 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left := strings.Join(filesIn(t, dir), ","); left != "of others" {
		t.Errorf("left: %s", left)
	}
}

func TestSpool_Closed(t *testing.T) {
	s, dir := openSpool(t, 1<<20)
	content := noise(5000)
	p := get(t, s, content)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	checkContent(t, p, content)
	p.Release()
	if _, err := s.Get(t.Context(), manifest.Digest{}, nil); !errors.Is(err, ErrSpoolClosed) {
		t.Errorf("%v, want ErrSpoolClosed", err)
	}
}

func TestSpool_DirectoryGone(t *testing.T) {
	s, dir := openSpool(t, 1<<20)
	if err := os.Rename(dir, dir+"x"); err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	if _, err := s.Get(t.Context(), manifest.DigestOf(content), opens(content, new(atomic.Int64))); !errors.Is(err, fs.ErrNotExist) || err.Error() != "writing to the spool: no such file or directory" {
		t.Errorf("%v", err) // the file's name is no one's business
	}
	if err := os.Rename(dir+"x", dir); err != nil {
		t.Fatal(err)
	}
	p := get(t, s, content)
	checkContent(t, p, content)
	p.Release()
}

// Everything at once, for the race detector, and into packages.
func TestSpool_ConcurrentPackages(t *testing.T) {
	s, _ := openSpool(t, 300_000)
	var files []file
	for i := range 20 {
		files = append(files, file{fmt.Sprintf("etc/lists/%d", i), string(joined(noise(1000*i), prose(1000)))})
	}
	files = append(files, file{MetadataName, "{}"})
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			var b bytes.Buffer
			w := NewWriter(&b, 1)
			for _, f := range files[:20] {
				p, err := s.Get(t.Context(), manifest.DigestOf([]byte(f.Content)), opens([]byte(f.Content), new(atomic.Int64)))
				if err == nil {
					err = w.AddPacked(f.Path, p)
					p.Release()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			if err := w.Close(func(w io.Writer) error { _, err := io.WriteString(w, "{}"); return err }); err != nil {
				t.Error(err)
			}
			got := cutAsOriginal(t, b.Bytes())
			for i := range files {
				if got[i] != files[i] {
					t.Errorf("%s differs", files[i].Path)
				}
			}
		})
	}
	all.Wait()
	if len(s.flights) > 0 {
		t.Errorf("%d flights left", len(s.flights))
	}
}
