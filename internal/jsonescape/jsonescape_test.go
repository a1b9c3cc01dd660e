package jsonescape

import (
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"
)

func TestRune(t *testing.T) {
	for text, want := range map[string]struct {
		r    rune
		size int
	}{
		`\u0041`:          {'A', 6},
		`\u00e9tude`:      {'é', 6},
		`\uFFFF`:          {0xffff, 6},
		`\u0000`:          {0, 6},
		`\ud83d\ude00`:    {0x1f600, 12},
		`\uD83D\uDE00!`:   {0x1f600, 12},
		`\ud83d`:          {utf8.RuneError, 6},
		`\ud83d\u0041`:    {utf8.RuneError, 6},
		`\ud83d\ude0`:     {utf8.RuneError, 6},
		`\ude00\ud83d`:    {utf8.RuneError, 6},
		`\ud83d\n\ude00`:  {utf8.RuneError, 6},
		`\u004`:           {utf8.RuneError, 0},
		`\u00g1`:          {utf8.RuneError, 0},
		`\U0041`:          {utf8.RuneError, 0},
		`u0041`:           {utf8.RuneError, 0},
		`\u+041`:          {utf8.RuneError, 0},
		``:                {utf8.RuneError, 0},
		`\n`:              {utf8.RuneError, 0},
		`\ud83dA\ude00`:   {utf8.RuneError, 6},
		`\ud83d\ud83d\ud`: {utf8.RuneError, 6},
	} {
		if r, size := Rune(text); r != want.r || size != want.size {
			t.Errorf("%s: %U, %d bytes; want %U, %d", text, r, size, want.r, want.size)
		}
		if r, size := Rune([]byte(text)); r != want.r || size != want.size {
			t.Errorf("bytes of %s: %U, %d bytes", text, r, size)
		}
	}
}

// FuzzRune compares with the decoder of the standard library.
func FuzzRune(f *testing.F) {
	f.Add(uint16(0xd83d), uint16(0xde00))
	f.Add(uint16(0x41), uint16(0xd800))
	f.Fuzz(func(t *testing.T, first, second uint16) {
		text := fmt.Sprintf(`\u%04x\u%04X`, first, second)
		var want, got string
		if err := json.Unmarshal([]byte(`"`+text+`"`), &want); err != nil {
			t.Fatal(err)
		}
		for rest := text; rest != ""; {
			r, size := Rune(rest)
			if size == 0 {
				t.Fatalf("%s: stopped at %s", text, rest)
			}
			got, rest = got+string(r), rest[size:]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	})
}
