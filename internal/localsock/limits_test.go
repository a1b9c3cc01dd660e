package localsock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/memnet"
	"testudo/internal/peertest"
	"testudo/internal/session"
	"testudo/internal/wire"
)

// bubble runs a test with a server in a bubble, in which time passes at once.
// meet connects a program to it.
func bubble(t *testing.T, c Commands, o Options, test func(t *testing.T, s *Server, meet func() *peertest.Peer)) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(o, c)
		stop := s.start(context.Background())
		test(t, s, func() *peertest.Peer {
			near, far := memnet.Pipe()
			s.meet(far)
			p := peertest.New(t, near)
			p.Speak(nil)
			synctest.Wait()
			return p
		})
		stop()
		synctest.Wait()
		if open := s.Stats().Open; open != 0 {
			t.Errorf("%d connections left", open)
		}
	})
}

// gate is closed at first. It belongs to the bubble in which it is used first.
type gate struct {
	once sync.Once
	ch   chan struct{}
}

func (g *gate) wait() <-chan struct{} {
	g.once.Do(func() { g.ch = make(chan struct{}) })
	return g.ch
}

func (g *gate) open() {
	g.wait()
	close(g.ch)
}

// hanging is an API that answers when it may.
func hanging(may *gate) func(context.Context, string, []byte, func(...[]byte) error) error {
	return func(ctx context.Context, _ string, request []byte, take func(...[]byte) error) error {
		select {
		case <-may.wait():
			return take(request)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takeResult plays a program that gets the result of an API request.
func takeResult(p *peertest.Peer) string {
	p.T.Helper()
	p.Reply(cmdNewString, "ok", "77")
	_, text, _ := strings.Cut(string(p.Reply(cmdStringUpdate, "ok", "String updated").Payload), " ")
	p.Reply(cmdAPIResult, "ok", "Distributed api response received")
	return text
}

func TestServer_IdleProgram(t *testing.T) {
	may := new(gate)
	bubble(t, Commands{DAPI: hanging(may)}, Options{}, func(t *testing.T, s *Server, meet func() *peertest.Peer) {
		silent, alive, waiting := meet(), meet(), meet()
		waiting.OK(cmdDAPI, "x")
		for range 6 {
			time.Sleep(40 * time.Second)
			if answer := alive.OK(cmdEcho, "keepalive"); answer != "keepalive" {
				t.Errorf("%q", answer)
			}
		}
		silent.WantClosed()
		may.open()
		if text := takeResult(waiting); text != "x" {
			t.Errorf("%q", text)
		}
		if st := s.Stats(); st.Idle != 1 || st.Open != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A frame that does not come to its end, a program that reads nothing, frames
// that are too large: each ends only its own connection.
func TestServer_BadProgram(t *testing.T) {
	header := func(length uint32, field string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, length), field...)
	}
	tests := []struct {
		name string
		want Stats // how its end is counted
		do   func(p *peertest.Peer)
	}{
		{"half a header", Stats{Slow: 1}, func(p *peertest.Peer) { p.Raw([]byte{0, 0}) }},
		{"half a frame", Stats{Slow: 1}, func(p *peertest.Peer) { p.Raw(append(header(10, "echo -------"), 'x')) }},
		{"huge frame", Stats{Failed: 1}, func(p *peertest.Peer) { p.Raw(header(1<<31, "echo -------")) }},
		{"frame over the limit", Stats{Failed: 1}, func(p *peertest.Peer) { p.Raw(header(1<<20+1, "echo -------")) }},
		{"divided message over the limit", Stats{Failed: 1}, func(p *peertest.Peer) {
			for range 3 {
				_, _ = p.Conn.Write(append(header(1<<19, "echo ------d"), make([]byte, 1<<19)...))
			}
		}},
		{"divided messages over the limit", Stats{Failed: 1}, func(p *peertest.Peer) {
			for i := range byte(3) {
				_, _ = p.Conn.Write(append(append([]byte{i}, header(1, "echo ------d")[1:]...), 'x'))
			}
		}},
		{"piece of a message and then nothing", Stats{Idle: 1}, func(p *peertest.Peer) { p.Raw(append(header(1, "echo ------d"), 'x')) }},
		{"no reading", Stats{Slow: 1}, func(p *peertest.Peer) {
			for i := uint32(0); p.Try(i, "echo", strings.Repeat("x", 1<<16)) == nil; i++ {
			}
		}},
		{"only replies", Stats{Idle: 1}, func(p *peertest.Peer) {
			p.Send(1, "ok", "x")
			p.Send(2, "err", "x")
			p.Send(3, "ok-c", "x")
			p.Quiet(time.Second)
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Commands{}, Options{MessageBytes: 1 << 20}, func(t *testing.T, s *Server, meet func() *peertest.Peer) {
				good := meet()
				var bad sync.WaitGroup
				bad.Go(func() { tc.do(meet()) })
				for range 8 {
					good.OK(cmdEcho, "x")
					time.Sleep(30 * time.Second)
				}
				bad.Wait()
				got := s.Stats()
				if open := got.Open; open != 1 {
					t.Errorf("%d connections are open", open)
				}
				if got = (Stats{Slow: got.Slow, Failed: got.Failed, Idle: got.Idle}); got != tc.want {
					t.Errorf("counted as %+v, want %+v", got, tc.want)
				}
			})
		})
	}
}

func TestServer_TooManyRequests(t *testing.T) {
	may := new(gate)
	o := Options{Requests: 3, MessageBytes: 1 << 20}
	bubble(t, Commands{DAPI: hanging(may)}, o, func(t *testing.T, _ *Server, meet func() *peertest.Peer) {
		p, q := meet(), meet()
		for range 3 {
			p.OK(cmdDAPI, "x")
		}
		p.Refused(cmdDAPI, "x", `"code": 3090`)
		p.OK(cmdEcho, "")
		q.OK(cmdDAPI, strings.Repeat("x", 1<<19))
		q.Refused(cmdDAPI, strings.Repeat("x", 1<<19+1), `"code": 3090`)
		q.OK(cmdDAPI, "x")
		may.open()
		for range 3 {
			p.Expect(cmdNewString)
		}
	})
}

// Whoever goes takes the requests along.
func TestServer_AskerGone(t *testing.T) {
	gone := new(gate)
	api := func(ctx context.Context, _ string, _ []byte, _ func(...[]byte) error) error {
		<-ctx.Done()
		gone.open()
		return ctx.Err()
	}
	bubble(t, Commands{DAPI: api}, Options{}, func(t *testing.T, _ *Server, meet func() *peertest.Peer) {
		p := meet()
		p.OK(cmdDAPI, "x")
		p.Close()
		<-gone.wait()
	})
}

func TestServer_Room(t *testing.T) {
	may := new(gate)
	log := peertest.NewLines()
	o := Options{Connections: 2, Silent: time.Second, Log: log.Logger()}
	bubble(t, Commands{DAPI: hanging(may)}, o, func(t *testing.T, s *Server, meet func() *peertest.Peer) {
		silent := meet()
		time.Sleep(time.Second)
		busy := meet()
		busy.OK(cmdDAPI, "x")
		time.Sleep(2 * time.Second)
		third := meet()
		silent.WantClosed()
		third.OK(cmdDAPI, "x")
		meet().WantClosed()
		may.open()
		if st := s.Stats(); st.Evicted != 1 || st.Refused != 1 || st.Open != 2 || st.Accepted != 3 {
			t.Errorf("%+v", st)
		}
		if text := takeResult(busy); text != "x" {
			t.Errorf("%q", text)
		}
		busy.Close()
		third.Close()
		time.Sleep(2 * time.Minute)
		log.Want(t, "Too many local connections, closing silent ones for new ones.", "Local connections are taken again.")
	})
}

// Long strings of programs are of no use, and bounded.
func TestServer_Strings(t *testing.T) {
	bubble(t, Commands{}, Options{MessageBytes: 1000}, func(t *testing.T, _ *Server, meet func() *peertest.Peer) {
		p := meet()
		id := p.OK(cmdNewString, "900")
		p.Refused(cmdNewString, "200", "limit")
		p.Refused(cmdNewString, "x", "1000")
		p.OK(cmdStringUpdate, id+" abc")
		p.Refused(cmdStringUpdate, "1 abc", "1000")
		if answer := p.OK(cmdStringError, "900"); answer != "None" {
			t.Errorf("%q", answer)
		}
		other := p.OK(cmdNewString, "100")
		if answer := p.OK(cmdStringError, "100"); answer != other {
			t.Errorf("%q", answer)
		}
		p.OK("cancel_task", `None {"x": 1}`)
		p.Refused("cancel_task", "None x", "1000")
		p.Refused(cmdAPIError, "x y", "1000")
		time.Sleep(time.Minute)
		p.OK(cmdEcho, "")
		time.Sleep(70 * time.Second)
		p.OK(cmdNewString, "900") // the old ones are gone
	})
}

// What a program does with its result is told in the log, unless it goes.
func TestServer_ResultNotTaken(t *testing.T) {
	tests := []struct {
		name string
		do   func(p *peertest.Peer, f wire.Frame)
		want int // lines
	}{
		{"gone", func(p *peertest.Peer, _ wire.Frame) { p.Close() }, 0},
		{"refused", func(p *peertest.Peer, f wire.Frame) { p.Send(f.Counter, "err", "no room") }, 1},
		{"answered nonsense", func(p *peertest.Peer, f wire.Frame) { p.Send(f.Counter, "ok", "no id") }, 1},
		{"silent", func(*peertest.Peer, wire.Frame) { time.Sleep(21 * time.Second) }, 1},
		{"gone with it", func(p *peertest.Peer, f wire.Frame) {
			p.Send(f.Counter, "ok", "7")
			p.Expect(cmdStringUpdate)
			p.Close()
		}, 0},
		{"refused when it comes", func(p *peertest.Peer, f wire.Frame) {
			p.Send(f.Counter, "ok", "7")
			p.Send(p.Expect(cmdStringUpdate).Counter, "err", "no room")
			p.Expect(cmdAPIResult)
		}, 1},
		{"stored and not found", func(p *peertest.Peer, f wire.Frame) {
			p.Send(f.Counter, "ok", "7")
			p.Send(p.Expect(cmdStringUpdate).Counter, "ok", "String updated")
			p.Send(p.Expect(cmdAPIResult).Counter, "err", "no such string")
		}, 1},
		{"silent when it comes", func(p *peertest.Peer, f wire.Frame) {
			p.Send(f.Counter, "ok", "7")
			p.Expect(cmdStringUpdate)
			p.Expect(cmdAPIResult)
			time.Sleep(21 * time.Second)
		}, 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			log := peertest.NewLines()
			api := func(_ context.Context, _ string, request []byte, take func(...[]byte) error) error {
				return take(request)
			}
			bubble(t, Commands{DAPI: api}, Options{Log: log.Logger()}, func(_ *testing.T, _ *Server, meet func() *peertest.Peer) {
				p := meet()
				p.OK(cmdDAPI, "x")
				tc.do(p, p.Expect(cmdNewString))
				synctest.Wait()
			})
			if lines := log.Count("Error sending API response to local client: "); lines != tc.want {
				t.Errorf("%d lines\n%s", lines, log)
			}
		})
	}
}

// A thousand programs at once: all are answered, each under a name of its own.
func TestServer_Thousand(t *testing.T) {
	const clients = 1000
	var mu sync.Mutex
	names := map[string]bool{}
	all := make(chan struct{})
	api := func(_ context.Context, client string, request []byte, take func(...[]byte) error) error {
		mu.Lock()
		names[client] = true
		if len(names) == clients {
			close(all)
		}
		mu.Unlock()
		<-all
		return take(request)
	}
	_, path := serve(t, Commands{DAPI: api})
	var asking sync.WaitGroup
	for i := range clients {
		asking.Go(func() {
			want := fmt.Sprint("request ", i)
			if got, err := Ask(t.Context(), path, ClientOptions{}, cmdDAPI, []byte(want)); err != nil || string(got) != want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	asking.Wait()
}

// Requests that come together are answered in their order; divided ones, both
// ways, like all others.
func TestServer_OrderAndDividedMessages(t *testing.T) {
	_, path := serve(t, Commands{})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	large := strings.Repeat("x", wire.Chunk+1)
	var sent []byte
	for i := range uint32(100) {
		payload := fmt.Sprint(i)
		if i == 50 {
			payload = large
		}
		sent, err = wire.AppendFrame(sent, nil, wire.Frame{Counter: i, Command: "echo", Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = conn.Write(sent) }()
	dec := wire.NewDecoder(conn, nil, wire.DefaultLimits())
	for i := range uint32(100) {
		f, err := dec.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Counter != i || f.Command != "ok" || i != 50 && string(f.Payload) != fmt.Sprint(i) || i == 50 && string(f.Payload) != large {
			t.Fatalf("frame %d: %d %s %.20q", i, f.Counter, f.Command, f.Payload)
		}
	}
}

// A result of many chunks comes whole.
func TestAsk_LargeResult(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<20)
	api := func(_ context.Context, _ string, _ []byte, take func(...[]byte) error) error {
		return take([]byte(large))
	}
	_, path := serve(t, Commands{DAPI: api})
	if got, err := Ask(t.Context(), path, ClientOptions{}, cmdDAPI, nil); err != nil || string(got) != large {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := Ask(t.Context(), path, ClientOptions{ResultBytes: 1 << 20}, cmdDAPI, nil); !errors.Is(err, session.ErrTooMuch) {
		t.Errorf("a result over the limit: %v", err)
	}
}
