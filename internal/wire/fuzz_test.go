package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzDecoder feeds any bytes in two segmentations: both must agree, keep to
// the limits, and whatever is decoded must come back when encoded.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(raw(1, "hello", "w1", false) + raw(2, "syn_i_w_m_p", "", false)))
	f.Add([]byte(raw(1, "a", "x", true) + raw(2, "b", "", false) + raw(1, "c", "y", false)))
	f.Add([]byte("\x00\x00\x00\x01\xff\xff\xff\xffecho -------"))
	f.Add([]byte(raw(1, "e", "", true) + raw(2, "e", "", true) + raw(3, "e", "", true)))
	limits := Limits{FrameBytes: 1000, DividedMessages: 2, DividedBytes: 1500, DividedAge: time.Hour}
	f.Fuzz(func(t *testing.T, sent []byte) {
		want, wantErr := all(NewDecoder(bytes.NewReader(sent), nil, limits))
		got, err := all(NewDecoder(iotest.OneByteReader(bytes.NewReader(sent)), nil, limits))
		if len(got) != len(want) || err.Error() != wantErr.Error() {
			t.Fatalf("%d messages then %v; byte by byte %d then %v", len(want), wantErr, len(got), err)
		}
		var refused *RefusedError
		if !errors.As(err, &refused) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("ended with %v", err)
		}
		for i, frame := range want {
			if frame.Counter != got[i].Counter || frame.Command != got[i].Command || !bytes.Equal(frame.Payload, got[i].Payload) {
				t.Fatalf("message %d differs by segmentation", i)
			}
			b, err := AppendFrame(nil, nil, frame)
			if err != nil {
				t.Fatal(err)
			}
			again, err := NewDecoder(bytes.NewReader(b), nil, DefaultLimits()).Next()
			if err != nil || again.Counter != frame.Counter || again.Command != frame.Command || !bytes.Equal(again.Payload, frame.Payload) {
				t.Fatalf("%+v came back as %+v, %v", frame, again, err)
			}
		}
	})
}

// FuzzOpen: nothing but what Seal makes opens, and an error changes nothing.
func FuzzOpen(f *testing.F) {
	k := newKey(f, exampleKey)
	for _, e := range examples {
		f.Add([]byte(e.token), []byte(e.clear))
	}
	f.Add(k.Seal(nil, make([]byte, 2*step)), make([]byte, 2*step))
	f.Fuzz(func(t *testing.T, token, clear []byte) {
		if got, err := k.Open(nil, k.Seal(nil, clear)); err != nil || !bytes.Equal(got, clear) {
			t.Fatalf("%d bytes sealed and opened: %v", len(clear), err)
		}
		before := bytes.Clone(token)
		got, err := k.Open(token[:0], token)
		if err != nil {
			if !errors.Is(err, ErrToken) || !bytes.Equal(before, token) {
				t.Fatalf("%v, token changed: %t", err, !bytes.Equal(before, token))
			}
			return
		}
		raw, err := base64.URLEncoding.Strict().DecodeString(string(before))
		if err != nil {
			t.Fatalf("not canonical, but opened: %v", err)
		}
		var at int64
		for _, b := range raw[1:ivAt] {
			at = at<<8 | int64(b)
		}
		again := k.SealAt(nil, got, time.Unix(at, 0), [16]byte(raw[ivAt:cipherAt]))
		if !bytes.Equal(again, before) {
			t.Fatalf("sealed again differs:\n%s\n%s", again, before)
		}
	})
}

// FuzzText holds the fast base64 to the standard one: with the checks of
// rawSize it takes exactly what the strict standard decoder takes without new
// lines, and gives the same bytes.
func FuzzText(f *testing.F) {
	k := newKey(f, exampleKey)
	f.Add([]byte("ab-_"), 30)
	f.Add(bytes.Repeat([]byte("ab/_"), 30), 7)
	f.Add(bytes.Repeat([]byte("abc\n"), 30), 64)
	f.Add([]byte(examples[3].token), 0)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		if want := base64.URLEncoding.EncodeToString(text); string(k.appendText(make([]byte, 0, len(want)), text)) != want {
			t.Fatalf("%x encoded differently", text)
		}
		std := base64.URLEncoding.Strict()
		want := make([]byte, std.DecodedLen(len(text)))
		wantN, wantErr := std.Decode(want, text)
		got := make([]byte, k.text.DecodedLen(len(text)))
		gotN, err := k.text.Decode(got, text)
		if bytes.ContainsAny(text, "/\n\r") {
			return // rawSize refuses these first
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, standard %v", text, err, wantErr)
		}
		if err == nil && !bytes.Equal(got[:gotN], want[:wantN]) {
			t.Fatalf("%q decoded differently", text)
		}
	})
}
