package localsock

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/memnet"
	"testudo/internal/peertest"
)

// outcome is the end of a call.
type outcome struct {
	text string
	err  error
}

// call calls a node that is played by hand, in a bubble.
func call(t *testing.T, o ClientOptions, command string, test func(t *testing.T, p *peertest.Peer, done <-chan outcome, cancel func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		p := peertest.New(t, far)
		p.Speak(nil)
		c := newClient(near, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan outcome, 1)
		var calling sync.WaitGroup
		calling.Go(func() {
			data, err := c.Call(ctx, command, []byte("payload"))
			done <- outcome{string(data), err}
		})
		if f := p.Expect(command); string(f.Payload) != "payload" {
			t.Errorf("asked %q", f.Payload)
		} else {
			p.Last = f.Counter
		}
		test(t, p, done, cancel)
		_ = c.Close()
		calling.Wait()
		cancel()
	})
}

// The time that a call takes until it gives up is that of the original's client.
func TestCall_GivesUp(t *testing.T) {
	tests := []struct {
		command string
		first   string // reply
		after   time.Duration
		echoes  int
	}{
		{cmdNodes, "", 20 * time.Second, 0},
		{cmdNodes, textRelayed, 200 * time.Second, 3},
		{cmdDAPI, "", 200 * time.Second, 3},
		{cmdDAPI, textQueued, 200 * time.Second, 3},
		{cmdForward, textForwarded, 200 * time.Second, 3},
		{cmdSync, "", 200 * time.Second, 3},
		{cmdAsync, textSync, 200 * time.Second, 3},
	}
	for _, tc := range tests {
		t.Run(tc.command+" "+tc.first, func(t *testing.T) {
			call(t, ClientOptions{}, tc.command, func(t *testing.T, p *peertest.Peer, done <-chan outcome, _ func()) {
				began := time.Now()
				if tc.first != "" {
					p.Send(p.Last, "ok", tc.first)
				}
				for range tc.echoes {
					p.Reply(cmdEcho, "ok-m", "keepalive")
				}
				o := <-done
				if !fault.Has(o.err, fault.RequestTimeout) || time.Since(began) != tc.after {
					t.Errorf("after %v: %v", time.Since(began), o.err)
				}
				p.WantClosed()
			})
		})
	}
}

func TestCall_Ends(t *testing.T) {
	tests := []struct {
		name    string
		command string
		do      func(p *peertest.Peer, cancel func())
		check   func(err error) bool
	}{
		{"node closes", cmdNodes, func(p *peertest.Peer, _ func()) { p.Close() },
			func(err error) bool { return fault.Has(err, fault.DistributedAPI) && errors.Is(err, io.EOF) }},
		{"node closes before the result", cmdDAPI, func(p *peertest.Peer, _ func()) {
			p.Send(p.Last, "ok", textQueued)
			p.Close()
		}, func(err error) bool { return fault.Has(err, fault.DistributedAPI) }},
		{"caller gives up", cmdDAPI, func(_ *peertest.Peer, cancel func()) { cancel() },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"half a frame", cmdDAPI, func(p *peertest.Peer, _ func()) { p.Raw([]byte{1, 2}) },
			func(err error) bool {
				return fault.Has(err, fault.DistributedAPI) && errors.Is(err, os.ErrDeadlineExceeded)
			}},
		{"error before the result", cmdDAPI, func(p *peertest.Peer, _ func()) {
			p.Send(p.Last, "err", string(fault.New(fault.NotConnected, nil).JSON()))
		}, func(err error) bool { return fault.Has(err, fault.NotConnected) }},
		{"error instead of the result", cmdDAPI, func(p *peertest.Peer, _ func()) {
			p.Send(p.Last, "ok", textQueued)
			p.Send(1, cmdAPIError, "'rbac_mode'")
		}, func(err error) bool { return fault.Has(err, fault.RemoteText) }},
		{"error as result", cmdNodes, func(p *peertest.Peer, _ func()) {
			p.Send(p.Last, "ok", textRelayed)
			p.Send(1, cmdControlResult, string(fault.New(fault.NodeAbsent, nil).JSON()))
		}, func(err error) bool { return fault.Has(err, fault.NodeAbsent) }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			call(t, ClientOptions{}, tc.command, func(t *testing.T, p *peertest.Peer, done <-chan outcome, cancel func()) {
				tc.do(p, cancel)
				if o := <-done; o.err == nil || !tc.check(o.err) {
					t.Errorf("%q, %v", o.text, o.err)
				}
			})
		})
	}
}

// What the node asks, and what is not of this call.
func TestCall_OddNode(t *testing.T) {
	call(t, ClientOptions{}, cmdDAPI, func(t *testing.T, p *peertest.Peer, done <-chan outcome, _ func()) {
		request := p.Last
		p.Last = 1000
		p.Send(1, "ok-m", "x") // of nobody
		p.Refused(cmdAPIResult, "12345", "unknown string")
		p.Refused("x", "", "unknown command 'b'x''")
		if answer := p.OK("echo", "y"); answer != "y" {
			t.Errorf("%q", answer)
		}
		id := p.OK(cmdNewString, "3")
		if answer := p.OK(cmdStringUpdate, id+" abc"); answer != "String updated" {
			t.Errorf("%q", answer)
		}
		if answer := p.OK(cmdAPIResult, id); answer != "Distributed api response received" {
			t.Errorf("%q", answer)
		}
		_ = p.Try(request, "ok", textQueued) // late
		if o := <-done; o.err != nil || o.text != "abc" {
			t.Errorf("%+v", o)
		}
	})
}

// Calls wait for one another; one that has given up ends the connection.
func TestCall_InTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		p := peertest.New(t, far)
		p.Speak(nil)
		c := newClient(near, ClientOptions{})
		texts := make(chan outcome, 2)
		var calling sync.WaitGroup
		for range 2 {
			calling.Go(func() {
				data, err := c.Call(t.Context(), cmdConfig, nil)
				texts <- outcome{string(data), err}
			})
		}
		first := p.Expect(cmdConfig)
		p.Quiet(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Call(ctx, cmdConfig, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v of a call that did not get its turn", err)
		}
		p.Send(first.Counter, "ok", "1")
		second := p.Expect(cmdConfig)
		p.Send(second.Counter, "ok", "2")
		if a, b := <-texts, <-texts; a.text+b.text != "12" || a.err != nil || b.err != nil {
			t.Errorf("%+v %+v", a, b)
		}
		calling.Wait()
		_ = c.Close()
		if _, err := c.Call(t.Context(), cmdConfig, nil); !fault.Has(err, fault.DistributedAPI) {
			t.Errorf("%v after Close", err)
		}
	})
}
