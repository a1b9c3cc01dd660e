package bundle

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"testudo/internal/manifest"
)

// benchFiles are n files of size bytes, each different.
func benchFiles(n, size int, loud bool) (files [][]byte, digests []manifest.Digest) {
	for i := range n {
		b := prose(size + 100)[i%100 : i%100+size]
		if loud {
			b = noise(size)
		}
		b = append([]byte(fmt.Sprintf("%8d", i)), b[8:]...)
		files = append(files, b)
		digests = append(digests, manifest.DigestOf(b))
	}
	return files, digests
}

var benchCases = []struct {
	name    string
	n, size int
	loud    bool
}{
	{"1000x2KiB", 1000, 2 << 10, false},
	{"10MiB", 1, 10 << 20, false},
	{"100MiBrandom", 1, 100 << 20, true},
}

func BenchmarkPack(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			files, _ := benchFiles(c.n, c.size, c.loud)
			b.SetBytes(int64(c.n * c.size))
			b.ReportAllocs()
			for b.Loop() {
				w := NewWriter(io.Discard, 1)
				for i, f := range files {
					if err := w.Add(fmt.Sprint("etc/lists/", i), bytes.NewReader(f)); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(func(io.Writer) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnpack(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			files, _ := benchFiles(c.n, c.size, c.loud)
			var pack bytes.Buffer
			w := NewWriter(&pack, 1)
			for i, f := range files {
				_ = w.Add(fmt.Sprint("etc/lists/", i), bytes.NewReader(f))
			}
			_ = w.Close(func(io.Writer) error { return nil })
			b.SetBytes(int64(c.n * c.size))
			b.ReportAllocs()
			for b.Loop() {
				err := Read(b.Context(), bytes.NewReader(pack.Bytes()), Limits{}, func(_ string, content io.Reader) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSpool packs into an empty spool, with digests checked.
func BenchmarkSpool(b *testing.B) {
	for _, c := range benchCases {
		files, digests := benchFiles(c.n, c.size, c.loud)
		b.Run(c.name, func(b *testing.B) {
			root, err := os.OpenRoot(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer root.Close()
			b.SetBytes(int64(c.n * c.size))
			b.ReportAllocs()
			for b.Loop() {
				s, err := OpenSpool(root, "spool", 1<<30, 1)
				if err != nil {
					b.Fatal(err)
				}
				for i, f := range files {
					p, err := s.Get(b.Context(), digests[i], func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f)), nil })
					if err != nil {
						b.Fatal(err)
					}
					p.Release()
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSpoolToPackage writes packages of what the spool has already.
func BenchmarkSpoolToPackage(b *testing.B) {
	for _, c := range benchCases {
		files, digests := benchFiles(c.n, c.size, c.loud)
		b.Run(c.name, func(b *testing.B) {
			s, _ := openSpool(b, 1<<30)
			b.SetBytes(int64(c.n * c.size))
			b.ReportAllocs()
			for b.Loop() {
				w := NewWriter(io.Discard, 1)
				for i, f := range files {
					p, err := s.Get(b.Context(), digests[i], func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f)), nil })
					if err != nil {
						b.Fatal(err)
					}
					if err := w.AddPacked(fmt.Sprint("etc/lists/", i), p); err != nil {
						b.Fatal(err)
					}
					p.Release()
				}
				if err := w.Close(func(io.Writer) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
