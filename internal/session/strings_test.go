package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
)

func TestStrings_WholeString(t *testing.T) {
	tab := newTable(t, Config{}).run()
	id := tab.p.OK("new_str", "11")
	for _, chunk := range []string{"hello ", "", "wor", "ld and more than was announced"} {
		if got := tab.p.OK("str_upd", id+" "+chunk); got != "String updated" {
			t.Errorf("answer %q", got)
		}
	}
	if got, err := tab.TakeString(id); err != nil || string(got) != "hello world" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := tab.TakeString(id); !errors.Is(err, ErrUnknownString) {
		t.Errorf("a second time: %v", err)
	}
}

func TestStrings_EmptyString(t *testing.T) {
	tab := newTable(t, Config{}).run()
	if got, err := tab.TakeString(tab.p.OK("new_str", "0")); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStrings_Refused(t *testing.T) {
	tab := newTable(t, Config{}).run()
	id := tab.p.OK("new_str", "3")
	for _, c := range []struct{ command, payload, want string }{
		{"new_str", "", "length expected"},
		{"new_str", "-1", "length expected"},
		{"new_str", "12a", "length expected"},
		{"new_str", "99999999999999999999", "length expected"},
		{"new_str", "268435457", "limit reached"},
		{"str_upd", "123 x", "unknown string id"},
		{"str_upd", id, "expected"},
		{"str_upd", "x" + id + " x", "unknown string id"},
		{"str_upd", "-1 x", "unknown string id"},
		{"err_str", "x", "length expected"},
	} {
		name, text := tab.p.Ask(c.command, c.payload)
		e := fault.Parse([]byte(text))
		if name != "err" || e.Code != fault.Unspecified || e.Class != fault.ClassInternal || !strings.Contains(text, c.want) {
			t.Errorf("%s %q: %s %s", c.command, c.payload, name, text)
		}
	}
	for _, id := range []string{"", "x", "-1", "4294967296", "1 2"} {
		if _, err := tab.TakeString(id); !errors.Is(err, ErrUnknownString) {
			t.Errorf("take %q: %v", id, err)
		}
	}
}

// err_str removes a string that the peer does not know the id of.
func TestStrings_Abandoned(t *testing.T) {
	tab := newTable(t, Config{}).run()
	begun, other := tab.p.OK("new_str", "5"), tab.p.OK("new_str", "6")
	tab.p.OK("str_upd", begun+" x")
	untouched := tab.p.OK("new_str", "5")
	if got := tab.p.OK("err_str", "5"); got != untouched {
		t.Errorf("removed %s, want %s", got, untouched)
	}
	if got := tab.p.OK("err_str", "5"); got != "None" {
		t.Errorf("removed %s, want None", got)
	}
	tab.p.OK("str_upd", other+" y")
	tab.p.Refused("str_upd", untouched+" z", "unknown string id")
}

func TestStrings_Expire(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{StringAge: 10 * time.Minute}}).run()
		left, fed := tab.p.OK("new_str", "10"), tab.p.OK("new_str", "10")
		for range 4 {
			time.Sleep(4 * time.Minute)
			tab.p.OK("str_upd", fed+" x")
		}
		tab.p.Refused("str_upd", left+" x", "unknown string id")
		tab.strings.mu.Lock()
		defer tab.strings.mu.Unlock()
		if tab.strings.announced != 10 || len(tab.strings.open) != 1 {
			t.Errorf("%d bytes announced in %d strings", tab.strings.announced, len(tab.strings.open))
		}
	})
}

func TestSendString(t *testing.T) {
	for _, size := range []int{0, 1, 1000, chunkBytes, 3*chunkBytes + 1} {
		tab := newTable(t, Config{}).run()
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		sent := begin(func() (string, error) { return tab.SendString(context.Background(), text) })
		if f := tab.p.Reply("new_str", "ok", "2233545809"); string(f.Payload) != fmt.Sprint(size) {
			t.Errorf("announced %q", f.Payload)
		}
		var got []byte
		for len(got) < size {
			f := tab.p.Reply("str_upd", "ok", "String updated")
			id, chunk, ok := bytes.Cut(f.Payload, []byte{' '})
			if !ok || string(id) != "2233545809" {
				t.Fatalf("chunk %.40q", f.Payload)
			}
			got = append(got, chunk...)
		}
		if o := <-sent; o.err != nil || o.value != "2233545809" || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: id %q, %v, arrived %d", size, o.value, o.err, len(got))
		}
	}
}

// A Testudo peer gets the next chunks before it has answered the first.
func TestSendString_SeveralChunksOnTheWay(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.OK(introduce, `{"features": []}`)
	text := bytes.Repeat([]byte("0123456789"), chunkBytes)[:6*chunkBytes]
	sent := begin(func() (string, error) { return tab.SendString(context.Background(), text) })
	tab.p.Reply("new_str", "ok", "7")
	var got []byte
	for len(got) < len(text) {
		var counters []uint32
		for range min(chunkWindow, (len(text)-len(got)+chunkBytes-3)/(chunkBytes-2)) {
			f := tab.p.Expect("str_upd")
			_, chunk, _ := bytes.Cut(f.Payload, []byte{' '})
			got = append(got, chunk...)
			counters = append(counters, f.Counter)
		}
		for _, c := range counters {
			tab.p.Send(c, "ok", "String updated")
		}
	}
	if o := <-sent; o.err != nil || o.value != "7" || !bytes.Equal(got, text) {
		t.Errorf("id %q, %v, arrived %d", o.value, o.err, len(got))
	}
	sent = begin(func() (string, error) { return tab.SendString(context.Background(), text) })
	tab.p.Reply("new_str", "ok", "8")
	tab.p.Reply("str_upd", "err", "no room")
	var remote *RemoteError
	if o := <-sent; !errors.As(o.err, &remote) {
		t.Errorf("%v, want the refusal", o.err)
	}
	tab.calls.mu.Lock()
	defer tab.calls.mu.Unlock()
	if len(tab.calls.open) > 0 {
		t.Errorf("%d requests are still waited for", len(tab.calls.open))
	}
}

// Two of our own understand one another.
func TestSendString_ToASession(t *testing.T) {
	tab := newTable(t, Config{}).run()
	id := tab.p.OK("new_str", "4")
	tab.p.OK("str_upd", id+" text")
	if got, err := tab.TakeString(id); string(got) != "text" {
		t.Error(err)
	}
}

func TestSendString_Failures(t *testing.T) {
	t.Run("not answered", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			sent := begin(func() (string, error) { return tab.SendString(context.Background(), make([]byte, 233)) })
			tab.p.Expect("new_str")
			if f := tab.p.Reply("err_str", "ok", "None"); string(f.Payload) != "233" {
				t.Errorf("err_str %q", f.Payload)
			}
			if o := <-sent; !isTimeout(o.err) {
				t.Errorf("%v, want 3020", o.err)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			sent := begin(func() (string, error) { return tab.SendString(context.Background(), make([]byte, 233)) })
			tab.p.Reply("new_str", "err", "no room")
			var remote *RemoteError
			if o := <-sent; !errors.As(o.err, &remote) {
				t.Errorf("%v, want the refusal", o.err)
			}
			tab.p.Quiet(time.Minute)
		})
	})
	for _, id := range []string{"", "x", "12 34", strings.Repeat("9", 6<<20)} {
		tab := newTable(t, Config{}).run()
		sent := begin(func() (string, error) { return tab.SendString(context.Background(), make([]byte, 233)) })
		tab.p.Reply("new_str", "ok", id)
		if o := <-sent; !errors.Is(o.err, ErrUnknownString) {
			t.Errorf("id %.40q: %v, want %v", id, o.err, ErrUnknownString)
		}
	}
}
