package wire

import (
	"bytes"
	"errors"
	"testing"
)

// sealedPair gives the two ends of one direction.
func sealedPair(t testing.TB, worker, master byte) (seals, opens *Stream) {
	t.Helper()
	for _, s := range []**Stream{&seals, &opens} {
		k, err := NewKey("0123456789abcdef0123456789ABCDEF")
		if err != nil {
			t.Fatal(err)
		}
		if *s, _, err = k.Streams([SeedSize]byte{worker}, [SeedSize]byte{master}); err != nil {
			t.Fatal(err)
		}
	}
	return seals, opens
}

func sealFrame(t testing.TB, s *Stream, payload string) []byte {
	t.Helper()
	frame, err := AppendClear(nil, Frame{Counter: 7, Command: "t_file_upd", Payload: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	s.Seal(frame)
	return frame
}

func TestStream_SealedAmongTokens(t *testing.T) {
	seals, opens := sealedPair(t, 1, 2)
	k, err := NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	wire := sealFrame(t, seals, "one")
	if bytes.Contains(wire, []byte("one")) {
		t.Error("the payload is in clear")
	}
	if wire, err = AppendFrame(wire, k, Frame{Counter: 8, Command: "echo", Payload: []byte("two")}); err != nil {
		t.Fatal(err)
	}
	wire = append(wire, sealFrame(t, seals, "")...)
	d := NewDecoder(bytes.NewReader(wire), k, DefaultLimits())
	d.OpenSealed(opens)
	for _, want := range []struct {
		payload string
		sealed  bool
	}{{"one", true}, {"two", false}, {"", true}} {
		f, err := d.Next()
		if err != nil || string(f.Payload) != want.payload || f.Sealed != want.sealed {
			t.Errorf("%q, sealed %v, %v, want %v", f.Payload, f.Sealed, err, want)
		}
	}
}

// What is not the next frame as it was sealed ends the connection.
func TestStream_Refused(t *testing.T) {
	for name, alter := range map[string]func(first, second []byte) []byte{
		"repeated":          func(first, _ []byte) []byte { return append(bytes.Clone(first), first...) },
		"left out":          func(_, second []byte) []byte { return second },
		"another command":   func(first, _ []byte) []byte { first[nameAt] = 'x'; return first },
		"another counter":   func(first, _ []byte) []byte { first[0]++; return first },
		"altered":           func(first, _ []byte) []byte { first[HeaderSize]++; return first },
		"of nothing at all": func(first, _ []byte) []byte { clear(first[lengthAt:nameAt]); return first[:HeaderSize] },
	} {
		t.Run(name, func(t *testing.T) {
			seals, opens := sealedPair(t, 1, 2)
			wire := alter(sealFrame(t, seals, "one"), sealFrame(t, seals, "two"))
			refused(t, wire, opens)
		})
	}
	t.Run("another connection", func(t *testing.T) {
		seals, _ := sealedPair(t, 1, 2)
		_, opens := sealedPair(t, 1, 3)
		refused(t, sealFrame(t, seals, "one"), opens)
	})
	t.Run("the other direction", func(t *testing.T) {
		k, err := NewKey("0123456789abcdef0123456789ABCDEF")
		if err != nil {
			t.Fatal(err)
		}
		fromWorker, fromMaster, err := k.Streams([SeedSize]byte{1}, [SeedSize]byte{2})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, sealFrame(t, fromWorker, "one"), fromMaster)
	})
}

func refused(t *testing.T, wire []byte, opens *Stream) {
	t.Helper()
	k, err := NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(bytes.NewReader(wire), k, DefaultLimits())
	d.OpenSealed(opens)
	for err == nil {
		_, err = d.Next()
	}
	var r *RefusedError
	if !errors.As(err, &r) || r.Reason != ReasonToken || !errors.Is(err, ErrSealed) {
		t.Errorf("%v, want %v", err, ErrSealed)
	}
}

// To a peer that has agreed on nothing the flag means nothing.
func TestStream_NotAgreed(t *testing.T) {
	k, err := NewKey("0123456789abcdef0123456789ABCDEF")
	if err != nil {
		t.Fatal(err)
	}
	wire, err := AppendFrame(nil, k, Frame{Counter: 1, Command: "echo", Payload: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	wire[flagAt] = flagSealed
	f, err := NewDecoder(bytes.NewReader(wire), k, DefaultLimits()).Next()
	if err != nil || string(f.Payload) != "x" || f.Sealed {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAppendClear_Refuses(t *testing.T) {
	for _, c := range []struct {
		f    Frame
		want error
	}{
		{Frame{Command: "123456789012"}, ErrCommandTooLong},
		{Frame{Command: "x", Payload: make([]byte, Chunk+1)}, ErrTooLong},
	} {
		if _, err := AppendClear(nil, c.f); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	eachSize(b, func(b *testing.B, _ *Key, payload []byte) {
		seals, opens := sealedPair(b, 1, 2)
		var frame []byte
		for b.Loop() {
			var err error
			if frame, err = AppendClear(frame[:0], Frame{Counter: 1, Command: "t_file_upd", Payload: payload}); err != nil {
				b.Fatal(err)
			}
			seals.Seal(frame)
			if _, err := opens.open(frame[:HeaderSize], frame[HeaderSize:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
