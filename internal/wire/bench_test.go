package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

var benchSizes = []int{10, 4 << 10, 256 << 10, 1 << 20, Chunk}

func eachSize(b *testing.B, run func(b *testing.B, k *Key, payload []byte)) {
	k := newKey(b, exampleKey)
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			run(b, k, bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n])
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	eachSize(b, func(b *testing.B, k *Key, payload []byte) {
		var dst []byte
		for b.Loop() {
			dst = k.Seal(dst[:0], payload)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	eachSize(b, func(b *testing.B, k *Key, payload []byte) {
		token, dst := k.Seal(nil, payload), []byte(nil)
		for b.Loop() {
			var err error
			if dst, err = k.Open(dst[:0], token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	eachSize(b, func(b *testing.B, k *Key, payload []byte) {
		var dst []byte
		for b.Loop() {
			var err error
			if dst, err = AppendFrame(dst[:0], k, Frame{Counter: 1, Command: "file_upd", Payload: payload}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	eachSize(b, func(b *testing.B, k *Key, payload []byte) {
		frame, err := AppendFrame(nil, k, Frame{Counter: 1, Command: "file_upd", Payload: payload})
		if err != nil {
			b.Fatal(err)
		}
		d := NewDecoder(&endless{frame: frame}, k, DefaultLimits())
		for b.Loop() {
			f, err := d.Next()
			if err != nil {
				b.Fatal(err)
			}
			d.Recycle(f.Payload)
		}
	})
}

// endless gives the same frame again and again, in reads as a socket gives.
type endless struct {
	frame []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), 256<<10)], e.frame[e.at:])
	e.at = (e.at + n) % len(e.frame)
	return n, nil
}

var _ io.Reader = (*endless)(nil)
