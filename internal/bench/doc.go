// Package bench measures whole clusters: real processes over loopback, beside
// what the machine itself can do in the same run.
package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Tree describes the files a measurement moves.
type Tree struct {
	Files        int
	Size         int64 // bytes of each
	Compressible bool  // hexadecimal text instead of random bytes
	Seed         uint64
}

// Bytes is the size of all files together.
func (t Tree) Bytes() int64 { return int64(t.Files) * t.Size }

// perDirectory keeps directories of a size that people have.
const perDirectory = 500

// Path is the path of the i-th file below a home.
func (t Tree) Path(i int) string {
	return fmt.Sprintf("etc/shared/bench-%03d/file-%06d.dat", i/perDirectory, i)
}

// Write makes the files below a home and returns when they are on disk.
func (t Tree) Write(home string) error {
	rng := rand.NewChaCha8([32]byte{byte(t.Seed), byte(t.Seed >> 8)})
	buf := make([]byte, t.Size)
	for i := range t.Files {
		path := filepath.Join(home, t.Path(i))
		if i%perDirectory == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
				return err
			}
		}
		fill(rng, buf, t.Compressible)
		if err := os.WriteFile(path, buf, 0o660); err != nil {
			return err
		}
	}
	return nil
}

func fill(rng *rand.ChaCha8, buf []byte, text bool) {
	_, _ = rng.Read(buf) // never fails
	if !text {
		return
	}
	const digits = "0123456789abcdef"
	for i, b := range buf {
		buf[i] = digits[b&15]
		if i%64 == 63 {
			buf[i] = '\n'
		}
	}
}

// Samples are repeated measurements of one thing, in seconds.
type Samples []float64

// Add takes down one measurement.
func (s *Samples) Add(d time.Duration) { *s = append(*s, d.Seconds()) }

// Median is the middle one, 0 without any.
func (s Samples) Median() float64 { return s.quantile(0.5) }

// P99 is the one that 99 of 100 stay below; with few samples, the largest.
func (s Samples) P99() float64 { return s.quantile(0.99) }

func (s Samples) quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
