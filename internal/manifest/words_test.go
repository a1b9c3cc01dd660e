package manifest

import (
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"
)

func TestPlainRun_StopsWhereTheFirstSpecialByteIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SliceOfN(rapid.SampledFrom([]byte{'a', '!', '[', 0x1f, '"', '\\', 0x7f, 0x80, 0xff, 0x20, 'z', 'a', 'a', 'a', 'a', 'a'}), 0, 40).Draw(t, "s")
		want, wantASCII := len(s), true
		for i, c := range s {
			if c == '"' || c == '\\' || c < ' ' {
				want = i
				break
			}
			wantASCII = wantASCII && c < 0x80
		}
		if n, ascii := plainRun(s); n != want || ascii != wantASCII {
			t.Fatalf("%q: %d %v, want %d %v", s, n, ascii, want, wantASCII)
		}
	})
}

func TestDigest_HexIsThatOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Digest
		copy(d[:], rapid.SliceOfN(rapid.Byte(), DigestSize, DigestSize).Draw(t, "digest"))
		text := d.String()
		if text != hex.EncodeToString(d[:]) {
			t.Fatalf("%x: %s", d[:], text)
		}
		if back, err := ParseDigest(text); err != nil || back != d {
			t.Fatalf("%s: %v", text, err)
		}
		// Any other character at any place is refused.
		place, char := rapid.IntRange(0, len(text)-1).Draw(t, "place"), rapid.Byte().Draw(t, "char")
		changed := []byte(text)
		changed[place] = char
		valid := '0' <= char && char <= '9' || 'a' <= char && char <= 'f'
		if _, err := ParseDigest(string(changed)); (err == nil) != valid {
			t.Fatalf("%q: %v", changed, err)
		}
	})
}
