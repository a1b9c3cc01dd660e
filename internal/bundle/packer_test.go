package bundle

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// noise is n bytes that do not shrink.
func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = rnd.Read(b)
	return b
}

// prose is n bytes that shrink.
func prose(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<rule id=\"%d\" level=\"%d\"><match>%d</match></rule>\n", i, i%16, i*7919)
	}
	return b.Bytes()[:n]
}

func joined(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// contents that make a naive package unreadable (docs/integrity.md §5.3), and
// their neighbours.
func adversarial() map[string][]byte {
	border := noise(3 * segment)
	copy(border[segment-4:], fileSeparator)
	copy(border[2*segment-1:], fileSeparator)
	blocks := noise(segment)
	copy(blocks[maxStored-3:], fileSeparator)
	copy(blocks, fileSeparator)
	copy(blocks[len(blocks)-separatorSize:], fileSeparator)
	late := noise(10 * segment)
	for i := segment; i+8 < len(late); i += 3 * segment / 2 {
		copy(late[i:], fileSeparator)
	}
	return map[string][]byte{
		"empty":                     nil,
		"separator in noise":        joined(noise(40), fileSeparator, noise(5000)),
		"all separators":            joined(noise(40), pathSeparator, fileSeparator, fileSeparator, noise(5000)),
		"120 separators":            joined(noise(50), strings.Repeat(fileSeparator, 60), strings.Repeat(fileSeparator[1:], 60), noise(500)),
		"separator only":            []byte(fileSeparator),
		"separator first and last":  joined(fileSeparator, noise(3000), fileSeparator),
		"nearly one at the end":     joined(noise(3000), fileSeparator[:7]),
		"half of one at the end":    joined(noise(3000), fileSeparator[:4]),
		"rest of one at the start":  joined(fileSeparator[1:], noise(3000)),
		"across segments":           border,
		"across blocks":             blocks,
		"in untried segments":       late,
		"prose":                     prose(3 * segment),
		"prose and separators":      joined(prose(5000), fileSeparator, prose(5000)),
		"prose around noise":        joined(prose(segment), noise(100), fileSeparator, noise(2*segment), prose(segment), fileSeparator),
		"noise that repeats":        bytes.Repeat(joined(noise(1000), fileSeparator), 300),
		"one byte":                  []byte("x"),
		"exactly a segment":         noise(segment),
		"exactly a segment of text": prose(segment),
	}
}

func pack(t testing.TB, level int, content io.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	p := newPacker(level)
	p.start(&out, nil)
	if err := p.readFrom(context.Background(), content); err != nil {
		t.Fatal(err)
	}
	if err := p.finish(); err != nil {
		t.Fatal(err)
	}
	if p.packed != int64(out.Len()) {
		t.Errorf("%d bytes packed, %d counted", out.Len(), p.packed)
	}
	return out.Bytes()
}

// checkPacked holds packed to being a zlib stream of content in which, and
// across whose end, there is no file separator.
func checkPacked(t testing.TB, packed, content []byte) {
	t.Helper()
	if i := bytes.Index(joined(packed, fileSeparator), []byte(fileSeparator)); i != len(packed) {
		t.Fatalf("file separator at %d of %d", i, len(packed))
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("inflated to %d bytes, want %d: %v", len(got), len(content), err)
	}
}

// Row 30 of docs/wire.md §11.
func TestPacker_NeverASeparator(t *testing.T) {
	if testing.Short() {
		t.Skip("many bytes for one goroutine: not with -short")
	}
	for name, content := range adversarial() {
		t.Run(name, func(t *testing.T) {
			for level := 0; level <= 9; level++ {
				packed := pack(t, level, bytes.NewReader(content))
				checkPacked(t, packed, content)
				if limit := len(content) + len(content)/500 + 100 + 10*bytes.Count(content, []byte(fileSeparator)); len(packed) > limit {
					t.Errorf("level %d: %d bytes became %d", level, len(content), len(packed))
				}
			}
		})
	}
}

// The proof that the above is needed: without the check the separator is there.
func TestPacker_PlainCompressionHasSeparators(t *testing.T) {
	content := adversarial()["separator in noise"]
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(content)
	_ = w.Close()
	if !bytes.Contains(out.Bytes(), []byte(fileSeparator)) {
		t.Skip("this compressor does not store what does not shrink")
	}
}

func TestPacker_Property(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([][]byte{
			[]byte(fileSeparator), []byte(pathSeparator), []byte(fileSeparator[:5]), []byte(fileSeparator[3:]),
			[]byte("|"), []byte("@@"), prose(3000), noise(700), noise(70_000), bytes.Repeat([]byte{0}, 1000),
		}),
		rapid.SliceOfN(rapid.Byte(), 0, 50),
	)
	rapid.Check(t, func(t *rapid.T) {
		var content []byte
		for _, p := range rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces") {
			content = append(content, p...)
		}
		if pad := rapid.IntRange(0, 20).Draw(t, "to a border"); pad > 0 && len(content) > 0 {
			// The pieces straddle the end of a segment or of a stored block.
			size := rapid.SampledFrom([]int{segment, maxStored}).Draw(t, "border")
			content = append(noise(max(0, size-pad)), content...)
		}
		level := rapid.IntRange(0, 9).Draw(t, "level")
		var out bytes.Buffer
		p := newPacker(level)
		p.start(&out, nil)
		for rest := content; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "write")
			if _, err := p.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := p.finish(); err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(joined(out.Bytes(), fileSeparator), []byte(fileSeparator)); i != out.Len() {
			t.Fatalf("file separator at %d of %d", i, out.Len())
		}
		r, err := zlib.NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("inflated to %d bytes, want %d: %v", len(got), len(content), err)
		}
	})
}

// A separator may also come about in compressed bytes, at a border.
func TestPacker_SearchesAcrossBorders(t *testing.T) {
	for cut := range separatorSize + 1 {
		p := newPacker(1)
		p.start(io.Discard, nil)
		p.out.Reset()
		p.tail = append(p.tail, fileSeparator[:min(cut, separatorSize-1)]...)
		p.out.WriteString(fileSeparator[len(p.tail):] + "behind")
		if !p.separated() {
			t.Errorf("cut after %d bytes: not found", cut)
		}
		p.out.Reset()
		p.out.WriteString(fileSeparator[len(p.tail)+1:] + "behind")
		if cut > 0 && p.separated() {
			t.Errorf("cut after %d bytes: found without its middle", cut)
		}
	}
}

// Swapping a segment for stored blocks leaves later references right.
func TestPacker_RefersAcrossStoredSegments(t *testing.T) {
	text := prose(segment / 2)
	content := joined(text, noise(segment/2-100), fileSeparator, text, noise(segment/3), text)
	packed := pack(t, 1, bytes.NewReader(content))
	checkPacked(t, packed, content)
}

func TestPacker_StoresUntriedAndTriesAgain(t *testing.T) {
	content := joined(noise(6*segment), prose(30*segment))
	packed := pack(t, 1, bytes.NewReader(content))
	checkPacked(t, packed, content)
	if limit := 6*segment + 15*segment; len(packed) > limit {
		t.Errorf("%d bytes, want less than %d: prose after noise was not compressed", len(packed), limit)
	}
}

func TestPacker_LevelsOutOfRangeAreOne(t *testing.T) {
	want := pack(t, 1, bytes.NewReader(prose(1000)))
	for _, level := range []int{-5, -1, 10} {
		if got := pack(t, level, bytes.NewReader(prose(1000))); !bytes.Equal(got, want) {
			t.Errorf("level %d differs from 1", level)
		}
	}
}

func TestPacker_Errors(t *testing.T) {
	p := newPacker(1)
	p.start(io.Discard, nil)
	if err := p.readFrom(t.Context(), iotest.ErrReader(io.ErrClosedPipe)); err == nil {
		t.Error("reading error lost")
	}
	p.start(brokenWriter{}, nil)
	if _, err := p.Write(noise(2 * segment)); err == nil {
		t.Error("writing error lost")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.start(io.Discard, nil)
	if err := p.readFrom(ctx, bytes.NewReader(noise(2*segment))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
