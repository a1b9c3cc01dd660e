package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const exampleKey = "0123456789abcdef0123456789ABCDEF"

func newKey(t testing.TB, text string) *Key {
	t.Helper()
	k, err := NewKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func exampleIV() (iv [16]byte) {
	for i := range iv {
		iv[i] = byte(i)
	}
	return iv
}

// The worked examples of docs/wire.md §3.
var examples = []struct{ clear, token string }{
	{"", "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD7GT7Rt8N-pGlKFJsgYrGePtG8L3oiz3NzrvlR3N1U1Iz0mcRmFGd1NeRKaqXaL5Uw=="},
	{"keepalive", "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD4atMXCfUQWVPD-yJjj7EsdSH7c7x8hVRJKC6WNiVA6jtE4DXaRkD8qHuMHMGuz4TQ=="},
	{"True", "gAAAAABlU_EAAAECAwQFBgcICQoLDA0ODxHVBXviEaL7JkeWROJ61pALbwbJNRg4PBPq3eHVCzFb9H6n3jm23MXPLyHiYQASlQ=="},
	{"worker1 wazuh worker 4.7.5", "gAAAAABlU_EAAAECAwQFBgcICQoLDA0ODzo_UynzB2PQGiqUOnqoJVyrceecqXW-wRG-kHBVwB1JRRuurHhfoc48DIQZx2W3Cwp9h1WCaJMpoEGMZkChK2w="},
}

func TestKey_WorkedExamples(t *testing.T) {
	k := newKey(t, exampleKey)
	for _, e := range examples {
		token := k.SealAt([]byte("before"), []byte(e.clear), time.Unix(1700000000, 0), exampleIV())
		if got := string(token); got != "before"+e.token {
			t.Errorf("seal %q:\n got %s\nwant before%s", e.clear, got, e.token)
		}
		clear, err := k.Open([]byte("before"), []byte(e.token))
		if err != nil || string(clear) != "before"+e.clear {
			t.Errorf("open: %q, %v, want %q", clear, err, "before"+e.clear)
		}
	}
}

func TestSealedSize(t *testing.T) {
	for _, c := range []struct{ clear, token int }{
		{0, 100}, {15, 100}, {16, 120}, {31, 120}, {32, 140}, {Chunk, MaxFrame},
	} {
		if got := SealedSize(c.clear); got != c.token {
			t.Errorf("SealedSize(%d) = %d, want %d", c.clear, got, c.token)
		}
	}
}

func TestNewKey_RefusesOtherLengths(t *testing.T) {
	for _, text := range []string{"", "short", exampleKey[1:], exampleKey + "x"} {
		if _, err := NewKey(text); !errors.Is(err, ErrKey) {
			t.Errorf("NewKey of %d bytes: %v, want ErrKey", len(text), err)
		}
	}
}

func TestKey_NeverPrinted(t *testing.T) {
	k := newKey(t, exampleKey)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("here", "key", k)
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s %x", k, k, k, k), log.String()} {
		if strings.Contains(s, "0123") || strings.Contains(s, "3031") || !strings.Contains(s, "***") {
			t.Errorf("printed as %q", s)
		}
	}
}

// Every length around the borders of blocks and steps.
func TestKey_OpensWhatItSeals(t *testing.T) {
	k := newKey(t, exampleKey)
	payload := make([]byte, 3*step)
	for i := range payload {
		payload[i] = byte(i * 31)
	}
	var sizes []int
	for _, border := range []int{0, 16, 32, firstStep - cipherAt, firstStep - cipherAt + step, 2 * step} {
		for d := -49; d <= 49; d++ {
			sizes = append(sizes, border+d)
		}
	}
	for _, n := range sizes {
		if n < 0 {
			continue
		}
		token := k.Seal(nil, payload[:n])
		if len(token) != SealedSize(n) || cap(token) < len(token) {
			t.Fatalf("%d bytes: token of %d, want %d", n, len(token), SealedSize(n))
		}
		apart, err := k.Open(nil, token)
		if err != nil || !bytes.Equal(apart, payload[:n]) {
			t.Fatalf("%d bytes: opened apart wrongly: %v", n, err)
		}
		inPlace, err := k.Open(token[:0], token)
		if err != nil || !bytes.Equal(inPlace, payload[:n]) {
			t.Fatalf("%d bytes: opened in place wrongly: %v", n, err)
		}
		if &inPlace[:1][0] != &token[0] {
			t.Fatalf("%d bytes: opened somewhere else", n)
		}
	}
}

func TestKey_OpenRefuses(t *testing.T) {
	k := newKey(t, exampleKey)
	good := examples[3].token
	long := string(k.Seal(nil, make([]byte, 3*step)))
	reversion := func(s string) string {
		raw, _ := base64.URLEncoding.DecodeString(s)
		raw[0] = 0x81
		return base64.URLEncoding.EncodeToString(raw)
	}
	for name, token := range map[string]string{
		"empty":                    "",
		"text":                     "ernode wazuh worker 4.7.5",
		"cut":                      good[:len(good)-4],
		"no padding":               strings.TrimRight(good, "="),
		"longer":                   good + "AAAA",
		"new line":                 good[:50] + "\n" + good[51:],
		"new lines added":          good[:50] + "\n\n\r\n" + good[50:],
		"standard alphabet":        strings.NewReplacer("-", "+", "_", "/").Replace(good),
		"slash in a long one":      strings.ReplaceAll(long, "_", "/"),
		"unused bits set":          strings.Replace(good, "2w=", "2x=", 1),
		"padding inside":           good[:48] + "====" + good[52:],
		"other version":            reversion(good),
		"time changed":             "gAAAAABlU_EB" + good[12:],
		"start changed":            good[:20] + "zz" + good[22:],
		"signature changed":        good[:len(good)-6] + "AAAA" + good[len(good)-2:],
		"long, changed at the end": long[:len(long)-20] + "AAAA" + long[len(long)-16:],
		"long, changed inside":     long[:20000] + "AAAA" + long[20004:],
	} {
		if token == good || token == long {
			t.Fatalf("%s: nothing changed", name)
		}
		space := append(make([]byte, 0, 1<<16), "kept"...)
		got, err := k.Open(space, []byte(token))
		if !errors.Is(err, ErrToken) || string(got) != "kept" {
			t.Errorf("%s: %q, %v, want ErrToken", name, got, err)
		}
		if strings.Trim(string(space[4:cap(space)]), "\x00") != "" {
			t.Errorf("%s: the space behind dst was written to", name)
		}
	}
	other := newKey(t, exampleKey[1:]+"0")
	if _, err := other.Open(nil, []byte(good)); !errors.Is(err, ErrToken) {
		t.Errorf("another key: %v, want ErrToken", err)
	}
}

// Any single changed character is noticed.
func TestKey_OpenNoticesEveryChange(t *testing.T) {
	k := newKey(t, exampleKey)
	rapid.Check(t, func(t *rapid.T) {
		clear := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "clear")
		token := k.Seal(nil, clear)
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		with := rapid.Byte().Filter(func(b byte) bool { return b != token[at] }).Draw(t, "with")
		token[at] = with
		if _, err := k.Open(nil, token); !errors.Is(err, ErrToken) {
			t.Fatalf("%q at %d went unnoticed", with, at)
		}
	})
}

func TestKey_ConcurrentUse(t *testing.T) {
	k := newKey(t, exampleKey)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			clear := bytes.Repeat([]byte{byte(i)}, 1000*i)
			for range 50 {
				got, err := k.Open(nil, k.Seal(nil, clear))
				if err != nil || !bytes.Equal(got, clear) {
					t.Errorf("%d bytes: %v", len(clear), err)
					return
				}
			}
		})
	}
	all.Wait()
}
