package filestate

import (
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"testudo/internal/manifest"
)

// tree is a picture of n files, all in the same state.
func tree(n int, state State, content string) iter.Seq[Row] {
	d := manifest.DigestOf([]byte(content))
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("etc/rules/local_rules_number_%06d.xml", i)
	}
	return func(yield func(Row) bool) {
		for _, name := range names {
			if !yield(Row{File: name, State: state, Digest: d}) {
				return
			}
		}
	}
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "cluster.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

const benchFiles = 10_000

// BenchmarkSet_Same is a round in which nothing changed.
func BenchmarkSet_Same(b *testing.B) {
	s, rows := benchStore(b), tree(benchFiles, Synchronized, "a")
	b.ReportAllocs()
	for b.Loop() {
		s.Set("w1", rows)
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSet_AllChange is every file of a node in another state than before.
func BenchmarkSet_AllChange(b *testing.B) {
	s := benchStore(b)
	states := []iter.Seq[Row]{tree(benchFiles, Pending, "a"), tree(benchFiles, Synchronized, "a")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Set("w1", states[i%2])
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSet_First is the first picture of a node.
func BenchmarkSet_First(b *testing.B) {
	s, rows := benchStore(b), tree(benchFiles, Pending, "a")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Set(fmt.Sprintf("w%d", i), rows)
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSet_OneOf500000 is one changed file in a cluster of 50 workers of
// 10,000 files, after a restart: the node's rows are walked.
func BenchmarkSet_OneOf500000(b *testing.B) {
	s := benchStore(b)
	for i := range 50 {
		s.Set(fmt.Sprintf("w%d", i), tree(benchFiles, Synchronized, "a"))
	}
	if err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	trees := []iter.Seq[Row]{tree(benchFiles+1, Synchronized, "a"), tree(benchFiles, Synchronized, "a")}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Set("w7", trees[i%2])
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, f := range map[string]Filter{"all": {}, "none": {State: Failed}, "node": {Node: "w7"}} {
		b.Run("read/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := Walk(b.Context(), s.path, f, func(Row) error { n++; return nil })
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n), "rows")
			}
		})
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if err := s.database().QuickCheck(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Counts(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
