package keystore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// lines is a client.keys of so many agents.
func lines(count int) string {
	var b strings.Builder
	for n := 1; n <= count; n++ {
		fmt.Fprintf(&b, "%03d agent-%06d any %064x\n", n, n, n)
	}
	return b.String()
}

func stamps(count int) string {
	var b strings.Builder
	for n := 1; n <= count; n++ {
		fmt.Fprintf(&b, "%03d agent-%06d any 2026-01-02 03:04:05\n", n, n)
	}
	return b.String()
}

func fill(b testing.TB, dir string, count int) {
	b.Helper()
	for name, text := range map[string]string{keysPath: lines(count), timestampsPath: stamps(count)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, count := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			root, dir := home(b)
			fill(b, dir, count)
			b.ReportAllocs()
			for b.Loop() {
				s, err := Open(root, Options{})
				if err != nil || s.Len() != count {
					b.Fatal(err)
				}
				s.Close()
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, count := range []int{0, 100_000} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("present=%d/callers=%d", count, callers), func(b *testing.B) {
				root, dir := home(b)
				fill(b, dir, count)
				s, _ := start(b, root, Options{})
				if _, err := s.Add(b.Context(), newcomer("first", "any")); err != nil { // with the mark
					b.Fatal(err)
				}
				unix.Sync()
				b.ResetTimer()
				var n atomic.Int64
				b.SetParallelism(max(callers/2, 1)) // of two processors
				if callers == 1 {
					for b.Loop() {
						if _, err := s.Add(b.Context(), newcomer(fmt.Sprint("new-", n.Add(1)), "any")); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := s.Add(b.Context(), newcomer(fmt.Sprint("new-", n.Add(1)), "any")); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	root, dir := home(b)
	fill(b, dir, 100_000)
	s, _ := start(b, root, Options{})
	old, _ := s.ByID("500")
	for b.Loop() {
		a := newcomer(old.Name, "any")
		a.Replace = []Entry{old}
		var err error
		if old, err = s.Add(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
