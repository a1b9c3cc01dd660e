package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/peertest"
)

func TestIntroduce(t *testing.T) {
	for _, c := range []struct {
		name, answer, text string
		testudo            bool
	}{
		{"one of ours", "ok", `{"features": ["push", "digest"]}`, true},
		{"a newer one of ours", "ok", `{"features": ["push", "other"], "cipher": {"x": 1}}`, true},
		{"a 4.7.5 node", "err", "unknown command 'b'testudo''", false},
		{"nonsense", "ok", "yes", false},
		{"far too much", "ok", `{"features": ["` + strings.Repeat("x", 5000) + `"]}`, false},
	} {
		tab := newTable(t, Config{}).run()
		done := begin(func() (struct{}, error) { return struct{}{}, tab.Introduce(t.Context()) })
		if f := tab.p.Reply(introduce, c.answer, c.text); !strings.Contains(string(f.Payload), FeatureLarge) {
			t.Errorf("introduction %q", f.Payload)
		}
		if o := <-done; o.err != nil {
			t.Errorf("%s: %v", c.name, o.err)
		}
		if tab.PeerIsTestudo() != c.testudo || tab.PeerHas(FeaturePush) != c.testudo || tab.PeerHas(FeatureLarge) {
			t.Errorf("%s: Testudo %v, push %v, large %v", c.name, tab.PeerIsTestudo(), tab.PeerHas(FeaturePush), tab.PeerHas(FeatureLarge))
		}
	}
}

// A master that is busy is no reason to part.
func TestIntroduce_NotAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		if err := tab.Introduce(t.Context()); err != nil || tab.PeerIsTestudo() {
			t.Errorf("%v, Testudo %v", err, tab.PeerIsTestudo())
		}
		tab.Close(nil)
		if err := tab.Introduce(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("afterwards %v, want %v", err, ErrClosed)
		}
	})
}

func TestIntroduce_Answer(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.p.Refused(introduce, "yes", `"code": 1000`)
	if tab.PeerIsTestudo() {
		t.Error("nonsense made a Testudo node")
	}
	if got := tab.p.OK(introduce, `{"features": ["push"]}`); !strings.Contains(got, FeatureDigest) || !tab.PeerHas(FeaturePush) {
		t.Errorf("answer %q", got)
	}
}

func TestCancel(t *testing.T) {
	tab := newTable(t, Config{}).run()
	text := string(fault.New(fault.ReceiveTimeout, nil).JSON())
	for _, task := range []string{"None", "b9e8f8a5-unknown", ""} {
		if got := tab.p.OK("cancel_task", task+" "+text); got != "Request received correctly" {
			t.Errorf("task %q: %q", task, got)
		}
	}
	for _, payload := range []string{"", "None", "None oops", "None {"} {
		tab.p.Refused("cancel_task", payload, `"code": 1000`)
	}
}

func TestEcho(t *testing.T) {
	tab := newTable(t, Config{}).run()
	for _, text := range []string{"", "x", strings.Repeat("\x00\xff", 1000), strings.Repeat("y", 2*controlBytes)} {
		if got := tab.p.OK("echo", text); got != text {
			t.Errorf("echo of %d bytes has %d", len(text), len(got))
		}
	}
}

func TestSession_Words(t *testing.T) {
	tab := newTable(t, Config{}).run()
	if tab.Name() != "w1" || tab.Worker() != worker || tab.Log() == nil {
		t.Errorf("%s, %+v", tab.Name(), tab.Worker())
	}
	if tab.RemoteAddr().String() != "server:1" || tab.LocalAddr() != "client" {
		t.Errorf("%s, %s", tab.RemoteAddr(), tab.LocalAddr())
	}
	before := tab.LastHeard()
	tab.p.OK("echo", "")
	if tab.LastHeard().Before(before) || tab.Opened().After(tab.LastHeard()) || tab.Cause() != nil {
		t.Errorf("heard %v, before %v, opened %v", tab.LastHeard(), before, tab.Opened())
	}
}

func TestRefusals_OnceAndThenWithACount(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var log peertest.Lines
		var r Refusals
		for range 30 {
			r.Log(log.Logger(), slog.LevelWarn, "refused", slog.String("by", "limit"))
			time.Sleep(time.Minute)
		}
		got := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(got) != 3 || strings.Contains(got[0], "repeated") || !strings.Contains(got[1], "repeated=10") || !strings.Contains(got[2], "by=limit") {
			t.Errorf("log:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestRefusals_AreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var log peertest.Lines
		var r Refusals
		for i := range 10000 {
			r.Log(log.Logger(), slog.LevelError, fmt.Sprint("line ", i))
		}
		if n := strings.Count(log.String(), "\n"); n != mostRefusals+1 || len(r.lines) != mostRefusals {
			t.Errorf("%d lines written, %d kept; want %d and one more", n, len(r.lines), mostRefusals)
		}
		if !strings.Contains(log.String(), `More is wrong with peers than is written here. The next of it: line 64"`) {
			t.Error("nothing says that there is more")
		}
		time.Sleep(refusalsAgain) // then there is room again
		r.Log(log.Logger(), slog.LevelError, "new")
		if !strings.HasSuffix(log.String(), "msg=new\n") {
			t.Error("a new line is not written ten minutes later")
		}
	})
}
