package session

// What a hostile or broken peer can do with frames, numbers and tokens: the
// rows of docs/wire.md §11 by their number.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/memnet"
	"testudo/internal/wire"
)

// header is a frame's header alone.
func header(counter, length uint32, field string) []byte {
	b := make([]byte, wire.HeaderSize)
	binary.BigEndian.PutUint32(b, counter)
	binary.BigEndian.PutUint32(b[4:], length)
	copy(b[8:], field)
	return b
}

func wantRefused(t *testing.T, err error, reason string) {
	t.Helper()
	var refused *wire.RefusedError
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Errorf("%v, want %s", err, reason)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostile_Row01_AnnouncedLengthIsNotAllocated(t *testing.T) {
	for _, length := range []uint32{wire.MaxFrame + 1, 1 << 31, 1<<32 - 1} {
		tab := newTable(t, Config{}).run()
		tab.p.Raw(header(1, length, "echo -------"))
		wantRefused(t, tab.end(), wire.ReasonTooLarge)
	}
	// The largest lawful length costs what arrives, not what is announced.
	tab := newTable(t, Config{}).run()
	tab.p.OK("echo", "")
	got := allocated(func() {
		tab.p.Raw(header(1, wire.MaxFrame, "echo -------"))
		tab.p.Raw([]byte("a few bytes"))
		tab.p.Close()
		_ = tab.end()
	})
	if got > 1<<20 {
		t.Errorf("%d bytes allocated for a header", got)
	}
}

func TestHostile_Row01_NothingLargeBeforeHello(t *testing.T) {
	tab := newTable(t, Config{})
	got := acceptHello(tab)
	tab.p.Raw(header(1, 4097, "hello ------"))
	wantRefused(t, (<-got).err, wire.ReasonTooLarge)
}

func TestHostile_Row02_DividedMessagesAreBounded(t *testing.T) {
	t.Run("number", func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{DividedMessages: 3}}).run()
		for i := range uint32(4) {
			tab.p.Raw(pieceOf(tab.p, i, "dapi", "x"))
		}
		wantRefused(t, tab.end(), wire.ReasonDividedCount)
	})
	t.Run("bytes", func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{DividedBytes: 1000}}).run()
		go func() { // the session stops reading
			for {
				if _, err := tab.p.Conn.Write(pieceOf(tab.p, 1, "dapi", strings.Repeat("x", 300))); err != nil {
					return
				}
			}
		}()
		wantRefused(t, tab.end(), wire.ReasonDividedBytes)
	})
	t.Run("age", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{Limits: Limits{DividedAge: 10 * time.Second}}).run()
			tab.p.Raw(pieceOf(tab.p, 1, "dapi", "x"))
			wantRefused(t, tab.end(), wire.ReasonDividedAge)
		})
	})
	t.Run("none before hello", func(t *testing.T) {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Raw(pieceOf(tab.p, 1, "hello", "x"))
		wantRefused(t, (<-got).err, wire.ReasonDividedCount)
	})
}

func TestHostile_Row03_StartedFrameHasADeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{FrameTimeout: 5 * time.Second}}).run()
		began := time.Now()
		tab.p.Raw(header(1, 100, "echo -------"))
		if err := tab.end(); !errors.Is(err, ErrLate) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestHostile_Row03_HelloHasADeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{})
		if _, err := tab.AcceptHello(t.Context()); !errors.Is(err, ErrNoHello) {
			t.Errorf("%v, want %v", err, ErrNoHello)
		}
	})
}

func TestHostile_Row04_OnlyHelloFirst(t *testing.T) {
	for _, command := range []string{"echo", "echo-c", "new_file", "new_str", "dapi", "ok", "err", "nosuch", ""} {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Send(1, command, "w1 wazuh worker 4.7.5")
		if o := <-got; !errors.Is(o.err, ErrNoHello) {
			t.Errorf("%s: %v, want %v", command, o.err, ErrNoHello)
		}
		tab.Close(nil)
		tab.p.WantClosed()
	}
}

func TestHostile_Row06_OneHello(t *testing.T) {
	tab := newTable(t, Config{}).run()
	for _, again := range []string{"w1 wazuh worker 4.7.5", "w2 wazuh worker 4.7.5"} {
		tab.p.Refused("hello", again, "unknown command 'b'hello''")
	}
	if tab.Name() != "w1" {
		t.Errorf("the name is %q now", tab.Name())
	}
}

func TestHostile_Row21_TokensPlayedBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		// Off by default: clocks need not agree, and the wire cannot tell.
		tab := newTable(t, Config{}).run()
		recording := tab.p.Frame(1, "echo", "recorded")
		time.Sleep(365 * 24 * time.Hour)
		for range 2 {
			tab.p.Raw(recording)
			if f := tab.p.Next(); string(f.Payload) != "recorded" {
				t.Errorf("answer %q", f.Payload)
			}
		}
	})
	for name, play := range map[string]func(tab *table, recording []byte){
		wire.ReasonTokenAge: func(tab *table, recording []byte) {
			time.Sleep(62 * time.Second)
			tab.p.Raw(recording)
		},
		wire.ReasonTokenAgain: func(tab *table, recording []byte) {
			copy(recording[8:], "cancel_task ") // header fields are not signed
			tab.p.Raw(recording)
		},
	} {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{Limits: Limits{TokenAge: time.Minute}}).run()
			recording := tab.p.Frame(1, "echo", "None {}")
			tab.p.Raw(recording)
			tab.p.Next()
			play(tab, recording)
			wantRefused(t, tab.end(), name)
		})
	}
}

// A recording of one connection is refused on the next as well.
func TestHostile_Row21_PlayedBackOnAnotherConnection(t *testing.T) {
	tokens := wire.NewTokenPolicy(time.Minute)
	tab := newTable(t, Config{Tokens: tokens})
	got := acceptHello(tab)
	recording := tab.p.Frame(1, "hello", "w1 wazuh worker 4.7.5")
	tab.p.Raw(recording)
	if o := <-got; o.err != nil {
		t.Fatal(o.err)
	}
	tab = newTable(t, Config{Tokens: tokens})
	got = acceptHello(tab)
	tab.p.Raw(recording)
	wantRefused(t, (<-got).err, wire.ReasonTokenAgain)
}

func TestHostile_Row22_RequestsAreToldByName(t *testing.T) {
	tab := newTable(t, Config{}).run()
	waiting := ask(tab, "syn_m_c", "")
	ours := tab.p.Expect("syn_m_c")
	for i := range 10 { // requests with the number of our own do not vanish, nor answer it
		tab.p.Send(ours.Counter, "echo", fmt.Sprint(i))
		if f := tab.p.Next(); f.Command != "ok" || string(f.Payload) != fmt.Sprint(i) {
			t.Errorf("%s %q", f.Command, f.Payload)
		}
	}
	tab.p.Send(ours.Counter+1, "ok", "another's")
	tab.p.Send(ours.Counter, "ok", "task")
	tab.p.Send(ours.Counter, "ok", "twice")
	if o := <-waiting; string(o.value) != "task" {
		t.Errorf("%q, %v", o.value, o.err)
	}
}

func TestHostile_Row23_ReplyNamesAreNeverAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		for i, name := range []string{"ok", "err", "ok-m", "ok-c", "ok ", "ok-m "} {
			tab.p.Send(uint32(i), name, "unasked")
		}
		tab.p.Quiet(time.Minute)
		tab.p.OK("echo", "still there")
	})
}

func TestHostile_Row24_ExpiredNumbersAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{RequestTimeout: time.Second}).run()
		var late []uint32
		for range 100 {
			waiting := ask(tab, "x", "")
			late = append(late, tab.p.Expect("x").Counter)
			if o := <-waiting; !isTimeout(o.err) {
				t.Fatal(o.err)
			}
		}
		if n := tab.waiting(); n != 0 {
			t.Errorf("%d numbers kept", n)
		}
		// A request of the peer with such a number is answered as any other.
		tab.p.Send(late[0], "echo", "x")
		if f := tab.p.Next(); f.Counter != late[0] || string(f.Payload) != "x" {
			t.Errorf("%d %q", f.Counter, f.Payload)
		}
	})
}

// What is no frame at all ends the connection and costs nothing.
func TestHostile_Noise(t *testing.T) {
	for _, noise := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: master\r\n\r\n"),
		{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		bytes.Repeat([]byte{0xff}, 64),
		bytes.Repeat([]byte{0}, 64),
	} {
		tab := newTable(t, Config{})
		got := acceptHello(tab)
		tab.p.Raw(noise)
		var refused *wire.RefusedError
		if o := <-got; !errors.As(o.err, &refused) {
			t.Errorf("%.8q: %v", noise, o.err)
		}
	}
}

// A peer that takes nothing is not waited for, and holds no goroutine.
func TestHostile_Row27_SlowPeerIsDisconnected(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		go func() {
			for {
				if _, err := tab.p.Conn.Write(tab.p.Frame(1, "nosuch", "")); err != nil {
					return
				}
			}
		}()
		if err := tab.end(); !errors.Is(err, ErrSlowPeer) {
			t.Errorf("%v, want %v", err, ErrSlowPeer)
		}
		if n := len(tab.urgent); n > 64 {
			t.Errorf("%d answers wait", n)
		}
	})
}

// The other direction of row 17: an answer's JSON is data, of bounded depth
// and size, whatever class or callable it names.
func TestHostile_Row17_ErrorJSONIsData(t *testing.T) {
	evil := `{"__callable__": {"__name__": "system", "__module__": "os", "__qualname__": "system"}}`
	for _, payload := range []string{
		`{"__wazuh_exception__": {"__class__": "os.system", "__object__": {"code": 1000}}}`,
		`{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": 3000, "extra_message": ` + evil + `}}}`,
		`{"__unhandled_exc__": {"__class__": "__import__('os')._exit", "__args__": [1]}}`,
		evil,
		strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000),
	} {
		tab := newTable(t, Config{}).run()
		waiting := ask(tab, "dapi", "")
		tab.p.Reply("dapi", "err", payload)
		var remote *RemoteError
		if o := <-waiting; !errors.As(o.err, &remote) {
			t.Errorf("%.80s: %v", payload, o.err)
		}
		tab.p.OK("cancel_task", "None "+`{"__unhandled_exc__": {"__class__": "exit", "__args__": []}}`)
		tab.p.OK("echo", "still there")
	}
}

func TestHostile_Row20_DeepAndLargeJSON(t *testing.T) {
	deep := strings.Repeat("[", 1<<20)
	number := `{"__wazuh_exception__": {"__class__": "WazuhError", "__object__": {"code": ` + strings.Repeat("9", 1<<20) + `}}}`
	tab := newTable(t, Config{}).run(taking(time.Hour, make(chan received, 3), open()))
	began := time.Now()
	for _, payload := range []string{deep, deep + strings.Repeat("]", 1<<20), number} {
		for _, command := range []string{"cancel_task", "syn_i_w_m_r"} {
			name, _ := tab.p.Ask(command, "None "+payload)
			if name != "ok" && name != "err" {
				t.Errorf("%s: %s", command, name)
			}
		}
		tab.p.Refused(introduce, payload, `"code": 1000`)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if log := tab.lines.String(); len(log) > 64<<10 {
		t.Errorf("%d bytes of log", len(log))
	}
}

// A connection that is only opened, or half open, holds nothing but itself.
func TestHostile_Row03_HalfOpenConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		tab := newTableOver(t, near, far, Config{RequestTimeout: 20 * time.Second}).run()
		waiting := ask(tab, "echo-m", "")
		synctest.Wait()
		if o := <-waiting; !fault.Has(o.err, fault.RequestTimeout) {
			t.Errorf("%v, want 3020", o.err)
		}
	})
}
