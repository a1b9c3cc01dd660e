package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/faultnet"
	"testudo/internal/memnet"
	"testudo/internal/peertest"
	"testudo/internal/wire"
)

func TestRun_FrameTimeout(t *testing.T) {
	for name, cut := range map[string]int{"inside the header": 5, "after the header": wire.HeaderSize, "inside the payload": 70} {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			tab.p.OK("echo", "first")
			time.Sleep(time.Hour) // silence between frames has no limit
			tab.p.OK("echo", "second")
			began := time.Now()
			tab.p.Raw(tab.p.Frame(5, "echo", "third")[:cut])
			if err := tab.end(); !errors.Is(err, ErrLate) || time.Since(began) != time.Minute {
				t.Errorf("%s: %v after %v, want %v after a minute", name, err, time.Since(began), ErrLate)
			}
		})
	}
}

// The time is that of the whole frame, however often something arrives.
func TestRun_FrameTimeoutOfASlowPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		began := time.Now()
		stopped := tab.p.Trickle(tab.p.Frame(5, "echo", strings.Repeat("x", 200)), time.Second)
		if err := tab.end(); !errors.Is(err, ErrLate) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-stopped
	})
}

// A slow frame that is finished in time leaves no deadline behind.
func TestRun_FrameInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		b := tab.p.Frame(5, "echo", "slow")
		tab.p.Raw(b[:30])
		time.Sleep(59 * time.Second)
		tab.p.Raw(b[30:])
		if f := tab.p.Next(); string(f.Payload) != "slow" {
			t.Errorf("answer %q", f.Payload)
		}
		time.Sleep(time.Hour)
		tab.p.OK("echo", "still there")
	})
}

// pieceOf makes the first frame of a divided message.
func pieceOf(p *peertest.Peer, counter uint32, command, text string) []byte {
	b, _ := wire.AppendFrame(nil, nil, wire.Frame{Counter: counter, Command: command, Payload: []byte(text)})
	b[wire.HeaderSize-1] = 'd'
	return b
}

func TestRun_DividedAge(t *testing.T) {
	for name, c := range map[string]struct {
		sent func(p *peertest.Peer)
	}{
		"silence after a piece that came at once": {func(p *peertest.Peer) { p.Raw(pieceOf(p, 9, "echo", "abc")) }},
		"silence after a piece that came slowly": {func(p *peertest.Peer) {
			b := pieceOf(p, 9, "echo", "abc")
			p.Raw(b[:wire.HeaderSize])
			synctest.Wait()
			p.Raw(b[wire.HeaderSize:])
		}},
		"with other frames behind it": {func(p *peertest.Peer) {
			p.Raw(append(pieceOf(p, 9, "echo", "abc"), p.Frame(10, "ok", "late")...))
		}},
	} {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			began := time.Now()
			c.sent(tab.p)
			err := tab.end()
			var refused *wire.RefusedError
			if !errors.As(err, &refused) || refused.Reason != wire.ReasonDividedAge {
				t.Errorf("%s: %v, want %s", name, err, wire.ReasonDividedAge)
			}
			if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
				t.Errorf("%s: ended after %v", name, took)
			}
		})
	}
}

// A divided message does not grow old by traffic of others, and when it is
// whole no deadline stays.
func TestRun_DividedInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		token := string(peertest.NewKey(t, peertest.Key).Seal(nil, []byte("whole")))
		tab.p.Raw(pieceOf(tab.p, 9, "echo", token[:40]))
		time.Sleep(50 * time.Second)
		tab.p.OK("echo", "between")
		rest, _ := wire.AppendFrame(nil, nil, wire.Frame{Counter: 9, Command: "echo", Payload: []byte(token[40:])})
		tab.p.Raw(rest)
		if f := tab.p.Next(); f.Counter != 9 || string(f.Payload) != "whole" {
			t.Errorf("answer %d %q", f.Counter, f.Payload)
		}
		time.Sleep(time.Hour)
		tab.p.OK("echo", "after")
	})
}

func TestRun_AnySegmentation(t *testing.T) {
	tab := newTable(t, Config{}).run()
	for _, b := range tab.p.Frame(5, "echo", "byte by byte") {
		tab.p.Raw([]byte{b})
	}
	if f := tab.p.Next(); string(f.Payload) != "byte by byte" {
		t.Errorf("answer %q", f.Payload)
	}
}

// countedWrites counts the writes of a connection.
type countedWrites struct {
	*memnet.Conn
	sizes chan int
}

func (c *countedWrites) Write(p []byte) (int, error) {
	c.sizes <- len(p)
	return c.Conn.Write(p)
}

// A 4.7.5 node is lost when a read of its ends after a header: each frame
// leaves with one write, and a divided message whole.
func TestWrite_OneWriteAFrame(t *testing.T) {
	near, far := memnet.Pipe()
	sizes := make(chan int, 16)
	tab := newTableOver(t, &countedWrites{near, sizes}, far, Config{}).run()
	for _, size := range []int{0, 100, 70000, wire.Chunk + 1} {
		if got := tab.p.OK("echo", strings.Repeat("x", size)); len(got) != size {
			t.Fatalf("echo of %d bytes has %d", size, len(got))
		}
		if got, want := <-sizes, wire.FrameSize(size, true); got != want {
			t.Errorf("first write of %d bytes has %d, want %d", size, got, want)
		}
	}
	if len(sizes) > 0 {
		t.Errorf("%d writes more", len(sizes))
	}
}

func TestRun_PeerDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		began := time.Now()
		waiting := make(chan error)
		go func() {
			_, err := tab.Request(t.Context(), "big", make([]byte, 2*memnet.BufferSize))
			waiting <- err
		}()
		if err := <-waiting; !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Errorf("request: %v", err)
		}
		if err := tab.end(); !errors.Is(err, ErrSlowPeer) || time.Since(began) != time.Minute {
			t.Errorf("session: %v after %v", err, time.Since(began))
		}
	})
}

func TestRun_Ends(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(tab *table)
		want error
	}{
		"peer closes":                   {func(tab *table) { tab.p.Close() }, io.EOF},
		"peer closes inside a frame":    {func(tab *table) { tab.p.Raw(make([]byte, 7)); tab.p.Close() }, io.ErrUnexpectedEOF},
		"peer resets":                   {func(tab *table) { tab.p.Conn.(*memnet.Conn).SetLinger(0); tab.p.Close() }, syscall.ECONNRESET},
		"we close":                      {func(tab *table) { tab.Close(nil) }, ErrClosed},
		"we close with a cause":         {func(tab *table) { tab.Close(syscall.EPERM) }, syscall.EPERM},
		"we close twice, first counts":  {func(tab *table) { tab.Close(syscall.EPERM); tab.Close(nil) }, syscall.EPERM},
		"peer sends no token":           {func(tab *table) { tab.p.Raw(make([]byte, wire.HeaderSize)) }, wire.ErrToken},
		"peer leaves a message divided": {func(tab *table) { tab.p.Raw(pieceOf(tab.p, 1, "x", "y")); tab.p.Close() }, io.ErrUnexpectedEOF},
	} {
		tab := newTable(t, Config{}).run()
		tab.p.OK("echo", "x")
		c.end(tab)
		if err := tab.end(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		select {
		case <-tab.Done():
		default:
			t.Errorf("%s: not done", name)
		}
		if _, err := tab.Request(t.Context(), "echo", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: a request afterwards: %v", name, err)
		}
		if tab.Go(func(context.Context) { t.Error("a task ran on an ended session") }) {
			t.Errorf("%s: a task was started", name)
		}
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	tab := newTable(t, Config{})
	tab.Establish(worker, NewMux(), nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	cancel(stopping)
	if err := tab.Run(ctx); !errors.Is(err, stopping) {
		t.Errorf("%v, want %v", err, stopping)
	}
	tab.p.WantClosed()
}

// Run waits for the tasks, and they hear of the end.
func TestRun_WaitsForItsTasks(t *testing.T) {
	tab := newTable(t, Config{})
	release, heard := make(chan struct{}), make(chan struct{})
	tab.run()
	tab.Go(func(ctx context.Context) {
		<-ctx.Done()
		close(heard)
		<-release
	})
	tab.p.Close()
	<-heard
	select {
	case <-tab.ended:
		t.Error("Run returned before its task")
	default:
	}
	close(release)
	_ = tab.end()
}

// Cuts at each place of an exchange end the session, with nothing left over.
func TestRun_CutAnywhere(t *testing.T) {
	for at := int64(0); at < 400; at += 23 {
		for name, fault := range map[string]faultnet.Fault{
			"cut": faultnet.Cut(faultnet.Read, at), "reset": faultnet.Reset(faultnet.Write, at),
		} {
			near, far := memnet.Pipe()
			faults := faultnet.New()
			faults.Script(func(int) []faultnet.Fault { return []faultnet.Fault{fault} })
			tab := newTableOver(t, faults.Conn(near), far, Config{}).run()
			go func() {
				for i := range uint32(5) {
					b, _ := wire.AppendFrame(nil, tab.p.Key, wire.Frame{Counter: i, Command: "echo", Payload: bytes.Repeat([]byte("x"), 20)})
					if _, err := far.Write(b); err != nil {
						return
					}
				}
			}()
			if err := tab.end(); err == nil || errors.Is(err, ErrLate) {
				t.Errorf("%s at %d: %v", name, at, err)
			}
			faults.Close()
		}
	}
}

// A corrupted byte is never taken for data.
func TestRun_CorruptedByte(t *testing.T) {
	for at := int64(wire.HeaderSize); at < 120; at += 9 {
		near, far := memnet.Pipe()
		faults := faultnet.New()
		faults.Script(func(int) []faultnet.Fault { return []faultnet.Fault{faultnet.Corrupt(faultnet.Read, at, 1)} })
		tab := newTableOver(t, faults.Conn(near), far, Config{}).run()
		tab.p.Send(1, "echo", "")
		if err := tab.end(); !errors.Is(err, wire.ErrToken) {
			t.Errorf("byte %d: %v, want %v", at, err, wire.ErrToken)
		}
		faults.Close()
	}
}
