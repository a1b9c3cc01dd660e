package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

// The table of docs/wire.md §2.
func TestHeader_CommandField(t *testing.T) {
	for _, c := range []struct {
		name   string
		more   bool
		field  string
		parsed string
	}{
		{"hello", false, "68656c6c6f202d2d2d2d2d2d", "hello"},
		{"ok", false, "6f6b202d2d2d2d2d2d2d2d2d", "ok"},
		{"ok ", false, "6f6b20202d2d2d2d2d2d2d2d", "ok"},
		{"ok-m ", false, "6f6b2d6d20202d2d2d2d2d2d", "ok-m"},
		{"err", false, "657272202d2d2d2d2d2d2d2d", "err"},
		{"syn_m_c_ok", false, "73796e5f6d5f635f6f6b202d", "syn_m_c_ok"},
		{"syn_i_w_m_p", false, "73796e5f695f775f6d5f7020", "syn_i_w_m_p"},
		{"dapi", true, "64617069202d2d2d2d2d2d64", "dapi"},
		{"syn_i_w_m_p", true, "73796e5f695f775f6d5f7064", "syn_i_w_m_p"},
	} {
		b := make([]byte, HeaderSize)
		putHeader(b, Frame{Counter: 0x01020304, Command: c.name}, 0x0a0b0c0d, c.more)
		if got := hex.EncodeToString(b); got != "010203040a0b0c0d"+c.field {
			t.Errorf("%q: %s, want %s", c.name, got, c.field)
		}
		want := header{counter: 0x01020304, length: 0x0a0b0c0d, command: c.parsed, more: c.more}
		if got := parseHeader(b); got != want {
			t.Errorf("%q: parsed %+v, want %+v", c.name, got, want)
		}
	}
}

func TestAppendFrame_WorkedExample(t *testing.T) {
	k := newKey(t, exampleKey)
	seal := func(dst, clear []byte) []byte {
		return k.SealAt(dst, clear, time.Unix(1700000000, 0), exampleIV())
	}
	e := examples[3]
	f := Frame{Counter: 0x0a0b0c0d, Command: "hello", Payload: []byte(e.clear)}
	got, err := appendFrame([]byte("x"), f, seal, SealedSize(len(e.clear)))
	if err != nil {
		t.Fatal(err)
	}
	want := "x\x0a\x0b\x0c\x0d\x00\x00\x00\x78hello ------" + e.token
	if string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestAppendFrame_RefusesLongNames(t *testing.T) {
	dst := []byte("kept")
	got, err := AppendFrame(dst, nil, Frame{Command: "twelve_bytes"})
	if !errors.Is(err, ErrCommandTooLong) || string(got) != "kept" {
		t.Errorf("%q, %v, want ErrCommandTooLong", got, err)
	}
}

// The table of docs/wire.md §4, and the divided tokens' joining.
func TestAppendHeader(t *testing.T) {
	f := Frame{Counter: 7, Command: "str_upd", Payload: []byte("1 abc")}
	want, err := AppendFrame([]byte("before"), nil, f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := AppendHeader([]byte("before"), Frame{Counter: 7, Command: "str_upd"}, len(f.Payload))
	if got = append(got, f.Payload...); err != nil || string(got) != string(want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := AppendHeader(nil, Frame{Command: "twelve_bytes"}, 0); !errors.Is(err, ErrCommandTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestAppendFrame_Division(t *testing.T) {
	k := newKey(t, exampleKey)
	for _, c := range []struct {
		name    string
		clear   int
		key     *Key
		lengths []int // of the frames' payloads
	}{
		{"nothing, clear", 0, nil, []int{0}},
		{"nothing, sealed", 0, k, []int{100}},
		{"longest whole, clear", 5242880, nil, []int{5242880}},
		{"longest whole, sealed", 5242880, k, []int{6990604}},
		{"one more, clear", 5242881, nil, []int{5242860, 21}},
		{"one more, sealed", 5242881, k, []int{5242860, 1747744}},
		{"three pieces, clear", 2*5242860 + 1, nil, []int{5242860, 5242860, 1}},
		{"exactly two pieces, clear", 2 * 5242860, nil, []int{5242860, 5242860}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Frame{Counter: 7, Command: "dapi", Payload: bytes.Repeat([]byte("ab\x00"), c.clear/3+1)[:c.clear]}
			b, err := AppendFrame(nil, c.key, f)
			if err != nil {
				t.Fatal(err)
			}
			if want := FrameSize(c.clear, c.key != nil); len(b) != want {
				t.Errorf("%d bytes appended, FrameSize says %d", len(b), want)
			}
			rest := b
			for i, want := range c.lengths {
				h := parseHeader(rest)
				if int(h.length) != want || h.more != (i < len(c.lengths)-1) || h.command != "dapi" || h.counter != 7 {
					t.Fatalf("piece %d: %+v, want length %d", i, h, want)
				}
				rest = rest[HeaderSize+want:]
			}
			if len(rest) != 0 {
				t.Fatalf("%d bytes too many", len(rest))
			}
			got, err := NewDecoder(bytes.NewReader(b), c.key, DefaultLimits()).Next()
			if err != nil || got.Command != "dapi" || got.Counter != 7 || !bytes.Equal(got.Payload, f.Payload) {
				t.Errorf("decoded %d bytes of %q: %v", len(got.Payload), got.Command, err)
			}
		})
	}
}

func TestRefusedError_SaysWhatCame(t *testing.T) {
	e := &RefusedError{Reason: ReasonToken, Command: "a\nb", Length: 3, Err: ErrToken}
	if s := e.Error(); s != "frame 'a\nb' of 3 bytes refused: token: "+ErrToken.Error() || !errors.Is(e, ErrToken) {
		t.Errorf("%q", s)
	}
}
