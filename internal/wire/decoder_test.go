package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// raw is one frame as it travels.
func raw(counter uint32, name, payload string, more bool) string {
	b := make([]byte, HeaderSize)
	putHeader(b, Frame{Counter: counter, Command: name}, len(payload), more)
	return string(b) + payload
}

// all reads messages until an error.
func all(d *Decoder) (frames []Frame, err error) {
	for {
		f, err := d.Next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func TestDecoder_AnySegmentation(t *testing.T) {
	k := newKey(t, exampleKey)
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]*Key{nil, k}).Draw(t, "key")
		var want []Frame
		var sent []byte
		for i := range rapid.IntRange(0, 5).Draw(t, "frames") {
			f := Frame{
				Counter: rapid.Uint32().Draw(t, "counter"),
				Command: rapid.StringMatching(`[a-z_]{0,11}`).Draw(t, "command"),
				Payload: bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 40000).Draw(t, "size")),
			}
			want = append(want, f)
			sent, _ = AppendFrame(sent, key, f)
		}
		seed := rapid.Uint64().Draw(t, "cuts")
		got, err := all(NewDecoder(&cutReader{rest: sent, rnd: rand.New(rand.NewPCG(seed, 1))}, key, DefaultLimits()))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("ended with %v", err)
		}
		if d := cmp.Diff(want, got, emptyIsNil); d != "" {
			t.Fatal(d)
		}
	})
}

var emptyIsNil = cmp.Transformer("text", func(b []byte) string { return string(b) })

// cutReader gives a random number of bytes at a time.
type cutReader struct {
	rest []byte
	rnd  *rand.Rand
}

func (r *cutReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	limit := []int{1, 2, HeaderSize, 1000, 1 << 20}[r.rnd.IntN(5)]
	n := copy(p, r.rest[:min(len(r.rest), limit)])
	r.rest = r.rest[n:]
	return n, nil
}

func TestDecoder_OneByteAtATime(t *testing.T) {
	sent := raw(1, "hello", "w1 wazuh", false) + raw(2, "echo", "", false)
	for name, r := range map[string]io.Reader{
		"bytes":          iotest.OneByteReader(strings.NewReader(sent)),
		"end with data":  iotest.DataErrReader(strings.NewReader(sent)),
		"half at a time": iotest.HalfReader(strings.NewReader(sent)),
	} {
		got, err := all(NewDecoder(r, nil, DefaultLimits()))
		want := []Frame{{Counter: 1, Command: "hello", Payload: []byte("w1 wazuh")}, {Counter: 2, Command: "echo", Payload: nil}}
		if d := cmp.Diff(want, got, emptyIsNil); d != "" || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
}

// What docs/wire.md §4 says a receiver tolerates.
func TestDecoder_Divided(t *testing.T) {
	k := newKey(t, exampleKey)
	token := string(k.Seal(nil, []byte("whole")))
	empty := string(k.Seal(nil, nil))
	for _, c := range []struct {
		name string
		key  *Key
		sent string
		want []Frame
	}{
		{"short token cut in two", k,
			raw(1, "echo", token[:7], true) + raw(1, "echo", token[7:], false),
			[]Frame{{Counter: 1, Command: "echo", Payload: []byte("whole")}}},
		{"name of the last piece counts", k,
			raw(1, "one", token[:7], true) + raw(1, "two", token[7:9], true) + raw(1, "three", token[9:], false),
			[]Frame{{Counter: 1, Command: "three", Payload: []byte("whole")}}},
		{"pieces of length 0", k,
			raw(1, "e", "", true) + raw(1, "e", token, true) + raw(1, "e", "", true) + raw(1, "e", "", false),
			[]Frame{{Counter: 1, Command: "e", Payload: []byte("whole")}}},
		{"other frames between", k,
			raw(1, "e", token[:50], true) + raw(2, "ok", empty, false) + raw(1, "e", token[50:], false),
			[]Frame{{Counter: 2, Command: "ok", Payload: nil}, {Counter: 1, Command: "e", Payload: []byte("whole")}}},
		{"two divided messages, mixed", k,
			raw(1, "e", token[:50], true) + raw(2, "f", token[:3], true) + raw(1, "e", token[50:], false) + raw(2, "f", token[3:], false),
			[]Frame{{Counter: 1, Command: "e", Payload: []byte("whole")}, {Counter: 2, Command: "f", Payload: []byte("whole")}}},
		{"a counter used again", k,
			raw(1, "e", token[:50], true) + raw(1, "e", token[50:], false) + raw(1, "e", token, false),
			[]Frame{{Counter: 1, Command: "e", Payload: []byte("whole")}, {Counter: 1, Command: "e", Payload: []byte("whole")}}},
		{"name of 11 bytes", nil,
			raw(1, "syn_i_w_m_p", "a", true) + raw(1, "syn_i_w_m_p", "b", false),
			[]Frame{{Counter: 1, Command: "syn_i_w_m_p", Payload: []byte("ab")}}},
		{"only empty pieces, clear", nil,
			raw(1, "e", "", true) + raw(1, "e", "", false),
			[]Frame{{Counter: 1, Command: "e", Payload: nil}}},
	} {
		d := NewDecoder(strings.NewReader(c.sent), c.key, DefaultLimits())
		got, err := all(d)
		if diff := cmp.Diff(c.want, got, emptyIsNil); diff != "" || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
		if d.open.count() != 0 || d.open.bytes != 0 {
			t.Errorf("%s: %d messages of %d bytes still open", c.name, d.open.count(), d.open.bytes)
		}
	}
}

// Rows 1 and 2 of docs/wire.md §11: announced and divided bytes are bounded.
func TestDecoder_Refuses(t *testing.T) {
	k := newKey(t, exampleKey)
	limits := Limits{FrameBytes: 200, DividedMessages: 2, DividedBytes: 300, DividedAge: time.Minute}
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct {
		name   string
		key    *Key
		sent   string
		reason string
	}{
		{"long frame", nil, raw(1, "e", a(201), false), ReasonTooLarge},
		{"long piece", nil, raw(1, "e", a(201), true), ReasonTooLarge},
		{"4 GiB announced", nil, "\x00\x00\x00\x01\xff\xff\xff\xffecho -------", ReasonTooLarge},
		{"third open message", nil, raw(1, "e", "", true) + raw(2, "e", "", true) + raw(3, "e", "", true), ReasonDividedCount},
		{"bytes of one message", nil, raw(1, "e", a(200), true) + raw(1, "e", a(101), true), ReasonDividedBytes},
		{"bytes with the last piece", nil, raw(1, "e", a(200), true) + raw(1, "e", a(101), false), ReasonDividedBytes},
		{"bytes of two messages", nil, raw(1, "e", a(200), true) + raw(2, "e", a(101), true), ReasonDividedBytes},
		{"empty payload", k, raw(1, "e", "", false), ReasonToken},
		{"clear payload", k, raw(1, "e", "ernode wazuh worker 4.7.5", false), ReasonToken},
		{"joined to no token", k, raw(1, "e", a(50), true) + raw(1, "e", a(50), false), ReasonToken},
	} {
		d := NewDecoder(strings.NewReader(c.sent), c.key, limits)
		_, err := all(d)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Reason != c.reason {
			t.Errorf("%s: %v, want %s", c.name, err, c.reason)
		}
		if (c.reason == ReasonToken) != errors.Is(err, ErrToken) {
			t.Errorf("%s: errors.Is(%v, ErrToken) is wrong", c.name, err)
		}
		if _, again := d.Next(); !errors.Is(again, err) {
			t.Errorf("%s: then %v, want the same", c.name, again)
		}
		if d.open.count() != 0 {
			t.Errorf("%s: memory kept after the end", c.name)
		}
	}
}

func TestDecoder_NoDividedMessagesBeforeHello(t *testing.T) {
	d := NewDecoder(strings.NewReader(raw(1, "e", "", true)), nil, Limits{FrameBytes: 4096})
	var refused *RefusedError
	if _, err := d.Next(); !errors.As(err, &refused) || refused.Reason != ReasonDividedCount {
		t.Errorf("%v, want %s", err, ReasonDividedCount)
	}
}

func TestDecoder_SetLimits(t *testing.T) {
	long := strings.Repeat("a", 5000)
	d := NewDecoder(strings.NewReader(raw(1, "hello", "", false)+raw(2, "e", long, false)), nil, Limits{FrameBytes: 4096})
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	d.SetLimits(DefaultLimits())
	if f, err := d.Next(); err != nil || string(f.Payload) != long {
		t.Errorf("%d bytes, %v", len(f.Payload), err)
	}
}

func TestDecoder_Ready(t *testing.T) {
	first, second := raw(1, "e", "abc", false), raw(2, "e", "def", false)
	for n := range second {
		d := NewDecoder(strings.NewReader(first+second[:n]), nil, DefaultLimits())
		if d.Ready() {
			t.Fatal("nothing has been read")
		}
		if _, err := d.Next(); err != nil || d.Ready() {
			t.Errorf("%d bytes of a frame: ready %v, %v", n, d.Ready(), err)
		}
	}
	d := NewDecoder(strings.NewReader(first+second), nil, DefaultLimits())
	if _, err := d.Next(); err != nil || !d.Ready() {
		t.Errorf("a whole frame: ready %v, %v", d.Ready(), err)
	}
}

func TestDecoder_CutConnection(t *testing.T) {
	whole := raw(1, "e", "abc", false)
	for n := 1; n < len(whole); n++ {
		if _, err := all(NewDecoder(strings.NewReader(whole[:n]), nil, DefaultLimits())); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v, want unexpected EOF", n, err)
		}
	}
	if _, err := all(NewDecoder(strings.NewReader(raw(1, "e", "abc", true)), nil, DefaultLimits())); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("inside a divided message: %v, want unexpected EOF", err)
	}
	broken := iotest.ErrReader(os.ErrClosed)
	if _, err := all(NewDecoder(broken, nil, DefaultLimits())); !errors.Is(err, os.ErrClosed) {
		t.Errorf("broken connection: %v", err)
	}
}

// Row 1 of docs/wire.md §11: a header may announce megabytes, memory follows
// what comes.
func TestDecoder_AllocatesWhatArrives(t *testing.T) {
	for _, arrived := range []int{0, 100, 5000, 100_000, 2_000_000} {
		d := NewDecoder(nil, nil, DefaultLimits())
		d.r.Reset(strings.NewReader(strings.Repeat("a", arrived)))
		buf, err := d.read(nil, MaxFrame)
		if err == nil || len(buf) != arrived {
			t.Fatalf("%d bytes, %v", len(buf), err)
		}
		if limit := max(firstRead, growth*arrived); cap(buf) > limit {
			t.Errorf("%d bytes arrived, %d set aside, want at most %d", arrived, cap(buf), limit)
		}
	}
}

func TestDecoder_RecycledBuffers(t *testing.T) {
	var sent []byte
	for i := range 20 {
		sent, _ = AppendFrame(sent, nil, Frame{Counter: uint32(i), Command: "e", Payload: bytes.Repeat([]byte{byte(i)}, 300_000)})
	}
	shared := new(Buffers)
	d := NewDecoder(bytes.NewReader(sent), nil, DefaultLimits())
	d.UseBuffers(shared)
	var kept [][]byte
	for i := range 20 {
		f, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			kept = append(kept, f.Payload)
		} else {
			d.Recycle(f.Payload)
		}
	}
	for i, p := range kept {
		if !bytes.Equal(p, bytes.Repeat([]byte{byte(2 * i)}, 300_000)) {
			t.Errorf("payload %d, which was kept, has changed", 2*i)
		}
	}
}

func TestBuffers_KeepOnlyTheirSizes(t *testing.T) {
	var b Buffers
	for _, n := range []int{0, 1, 384, 385, 300_000, SealedSize(1 << 20), 2 << 20} {
		buf := b.Get(n)
		if len(buf) != 0 || cap(buf) < n {
			t.Errorf("Get(%d): length %d, room %d", n, len(buf), cap(buf))
		}
		b.Put(buf)
	}
	b.Put(nil)
	b.Put(make([]byte, 0, 5000))
	if got := b.Get(6145); cap(got) != 24576 {
		t.Errorf("a foreign buffer of %d bytes was kept", cap(got))
	}
}

// Hooks: silent for frames that come whole, one pair for frames that do not.
func TestDecoder_OnProgress(t *testing.T) {
	first := raw(1, "one", "abc", false) + raw(2, "two", "", false)
	third := raw(3, "three", strings.Repeat("x", 30_000), false)
	r, w := net.Pipe()
	defer r.Close()
	sent := make(chan error, 1)
	go func() {
		defer w.Close()
		for _, part := range []string{first, third[:1], third[1:25], third[25:]} {
			if _, err := io.WriteString(w, part); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var log []string
	d := NewDecoder(r, nil, DefaultLimits())
	d.OnProgress(func() { log = append(log, "busy") }, func() { log = append(log, "idle") })
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, f.Command)
	}
	if d := cmp.Diff([]string{"one", "two", "busy", "idle", "three"}, log); d != "" {
		t.Error(d)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestDecoder_DeadlineBetweenFramesIsNotFinal(t *testing.T) {
	d := NewDecoder(io.MultiReader(
		strings.NewReader(raw(1, "a", "x", false)),
		iotest.ErrReader(os.ErrDeadlineExceeded)), nil, DefaultLimits())
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if d.err != nil {
		t.Errorf("final: %v", d.err)
	}
	inside := NewDecoder(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(raw(1, "a", "x", false)))), nil, DefaultLimits())
	if _, err := inside.Next(); !errors.Is(err, iotest.ErrTimeout) || inside.err == nil {
		t.Errorf("inside a frame: %v, want it final", err)
	}
}

func TestDecoder_DividedAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := net.Pipe()
		defer r.Close()
		sent := make(chan error, 1)
		go func() {
			defer w.Close()
			_, err := io.WriteString(w, raw(1, "old", "abc", true)+raw(9, "ok", "", false))
			time.Sleep(2 * time.Minute)
			_, more := fmt.Fprint(w, raw(2, "late", "x", false))
			sent <- errors.Join(err, more)
		}()
		d := NewDecoder(r, nil, DefaultLimits())
		if !d.DividedDeadline().IsZero() {
			t.Error("a deadline without a divided message")
		}
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		if want := time.Now().Add(time.Minute); !d.DividedDeadline().Equal(want) {
			t.Errorf("deadline %v, want %v", d.DividedDeadline(), want)
		}
		_, err := d.Next()
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Reason != ReasonDividedAge || refused.Command != "old" {
			t.Errorf("%v, want %s of \"old\"", err, ReasonDividedAge)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// Silence: the owner's read deadline finds the message too old.
func TestDecoder_DividedAgeWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := net.Pipe()
		defer r.Close()
		defer w.Close()
		go io.WriteString(w, raw(1, "old", "abc", true)+raw(9, "ok", "", false))
		d := NewDecoder(r, nil, DefaultLimits())
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		_ = r.SetReadDeadline(d.DividedDeadline().Add(time.Nanosecond))
		_, err := d.Next()
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Reason != ReasonDividedAge {
			t.Errorf("%v, want %s", err, ReasonDividedAge)
		}
	})
}
