package manifest

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkWriteJSON10k(b *testing.B) {
	m := mustNew(b, many(10000)...)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.WriteJSON(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead10k(b *testing.B) {
	var text bytes.Buffer
	if err := mustNew(b, many(10000)...).WriteJSON(&text); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(bytes.NewReader(text.Bytes()), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
