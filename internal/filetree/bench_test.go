package filetree

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/manifest"
)

const large = 10_000

func BenchmarkScanUnchanged10k(b *testing.B) {
	h := newHome(b)
	manyFiles(h, large)
	tree := h.open()
	first := scan(b, tree)
	b.ReportAllocs()
	start := cpuTime(b)
	n := 0
	for b.Loop() {
		if s := scan(b, tree); s.Manifest != first.Manifest {
			b.Fatal("changed")
		}
		n++
	}
	b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(n)/1000, "cpu-ms/op")
}

func BenchmarkScanOneChanged10k(b *testing.B) {
	h := newHome(b)
	manyFiles(h, large)
	tree := h.open()
	scan(b, tree)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		h.write("etc/shared/group00/file00000.conf", fmt.Sprint(n))
		if s := scan(b, tree); s.Hashed != 1 {
			b.Fatal(s.Hashed)
		}
	}
}

func BenchmarkScanNew10k(b *testing.B) {
	h := newHome(b)
	manyFiles(h, large)
	b.ReportAllocs()
	for b.Loop() {
		tree := h.open(func(o *Options) { o.CacheFile = "" })
		if s := scan(b, tree); s.Hashed != large {
			b.Fatal(s.Hashed)
		}
		tree.Close()
	}
}

func BenchmarkScanRestart10k(b *testing.B) {
	h := newHome(b)
	manyFiles(h, large)
	scan(b, h.open())
	b.ReportAllocs()
	for b.Loop() {
		tree := h.open()
		if s := scan(b, tree); s.Hashed != 0 {
			b.Fatal(s.Hashed)
		}
		tree.Close()
	}
}

func BenchmarkHash20MiB(b *testing.B) {
	const size = 20 << 20
	h := newHome(b).write("etc/rules/a", strings.Repeat("x", size))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		tree := h.open(func(o *Options) { o.CacheFile = "" })
		scan(b, tree)
		tree.Close()
	}
}

// The first synchronisation of a large tree: stage and apply.
func BenchmarkApply10k(b *testing.B) {
	d, contents := firstSync(large)
	b.ReportAllocs()
	var put, apply time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		h := newHome(b)
		tree := h.open()
		b.StartTimer()
		start := time.Now()
		stage := putAll(b, tree, d.Missing, contents)
		put += time.Since(start)
		start = time.Now()
		done, err := stage.Apply(context.Background(), d)
		apply += time.Since(start)
		if err != nil || done.Created != large {
			b.Fatal(done, err)
		}
		if err := stage.Close(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if s := scan(b, tree); s.Hashed != 0 || s.Manifest.Len() != large {
			b.Fatalf("hashed %d of %d", s.Hashed, s.Manifest.Len())
		}
		tree.Close()
		b.StartTimer()
		n++
	}
	b.ReportMetric(float64(put.Milliseconds())/float64(n), "put-ms/op")
	b.ReportMetric(float64(apply.Milliseconds())/float64(n), "apply-ms/op")
}

// What the machine needs for the same files at least: write, one sync, rename.
func BenchmarkMachineLimit10k(b *testing.B) {
	_, contents := firstSync(large)
	for b.Loop() {
		h := newHome(b)
		n := 0
		for path, content := range contents {
			h.must(os.MkdirAll(filepath.Dir(h.path(path)), 0o770))
			h.must(os.WriteFile(h.path(fmt.Sprint("queue/cluster/", n)), []byte(content), 0o660))
			n++
		}
		dir, err := os.Open(h.dir)
		h.must(err)
		h.must(syncFileSystem(int(dir.Fd())))
		dir.Close()
		n = 0
		for path := range contents {
			h.must(os.Rename(h.path(fmt.Sprint("queue/cluster/", n)), h.path(path)))
			n++
		}
	}
}

func firstSync(n int) (manifest.Difference, map[string]string) {
	var d manifest.Difference
	contents := map[string]string{}
	for i := range n {
		path := fmt.Sprintf("etc/shared/group%02d/file%05d.conf", i/200, i)
		contents[path] = strings.Repeat(fmt.Sprintf("%08x", uint32(i)*2654435761), 256)
		d.Missing = append(d.Missing, manifest.Entry{
			Path: path, ItemKey: "etc/shared/", Digest: manifest.DigestOf([]byte(contents[path])),
		})
	}
	return d, contents
}

func putAll(tb testing.TB, tree *Tree, entries []manifest.Entry, contents map[string]string) *Stage {
	tb.Helper()
	stage, err := tree.NewStage("queue/cluster/w1/bundledir")
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if _, err := stage.Put(e.Path, strings.NewReader(contents[e.Path])); err != nil {
			tb.Fatal(err)
		}
	}
	return stage
}
