package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/peertest"
)

// sending begins a package with a text.
func sending(tab *table, text string) <-chan outcome[Sent] {
	return begin(func() (Sent, error) {
		return tab.SendPackage(context.Background(), "syn_m_c", func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	})
}

// takeFile receives a file as a peer does, and gives its path and content.
func takeFile(p *peertest.Peer) (path, content string) {
	p.T.Helper()
	path = string(p.Reply("new_file", "ok", "Ready to receive new file").Payload)
	for {
		f := p.Next()
		name, rest, ok := bytes.Cut(f.Payload, []byte{' '})
		if !ok || string(name) != path {
			p.T.Fatalf("%s %.80q, want the path %s", f.Command, f.Payload, path)
		}
		switch f.Command {
		case "file_upd":
			content += string(rest)
			p.Send(f.Counter, "ok", "File updated")
		case "file_end":
			if string(rest) != digest(content) {
				p.T.Error("wrong digest")
			}
			p.Send(f.Counter, "ok", "File received correctly")
			return path, content
		default:
			p.T.Fatalf("%s inside a file", f.Command)
		}
	}
}

var wirePath = regexp.MustCompile(`^/queue/cluster/w1/w1-\d+\.\d{6}-[0-9a-f]{32}\.zip$`)

func TestSendPackage(t *testing.T) {
	for _, size := range []int{0, 1, 1000, chunkBytes, 2*chunkBytes + 3} {
		tab := newTable(t, Config{}).run()
		text := strings.Repeat("x", size)
		sent := sending(tab, text)
		tab.p.Reply("syn_m_c", "ok", "task-1")
		path, got := takeFile(tab.p)
		if !wirePath.MatchString(path) {
			t.Errorf("path %q", path)
		}
		if f := tab.p.Reply("syn_m_c_e", "ok", "File correctly received"); string(f.Payload) != "task-1 "+path[1:] {
			t.Errorf("end %q", f.Payload)
		}
		if o := <-sent; o.err != nil || o.value.Bytes != int64(size) || got != text {
			t.Errorf("%d bytes: sent %d, %v, arrived %d", size, o.value.Bytes, o.err, len(got))
		}
	}
}

// A 4.7.5 peer gets one chunk at a time, a Testudo peer several.
func TestSendPackage_ChunksAhead(t *testing.T) {
	for _, c := range []struct {
		testudo bool
		want    int
	}{{false, 1}, {true, chunkWindow}} {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			if c.testudo {
				tab.p.OK(introduce, `{"features": ["push"]}`)
			}
			sent := sending(tab, strings.Repeat("x", 10*chunkBytes))
			tab.p.Reply("syn_m_c", "ok", "t")
			tab.p.Reply("new_file", "ok", "")
			for i := range c.want {
				tab.p.Expect("file_upd")
				_ = i
			}
			tab.p.Quiet(time.Second)
			tab.p.Close()
			if o := <-sent; !errors.Is(o.err, ErrClosed) {
				t.Errorf("%v, want %v", o.err, ErrClosed)
			}
		})
	}
}

// Answers that do not come, or say no, change nothing for a while.
func TestSendPackage_LateAnswersAreNoFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		sent := sending(tab, strings.Repeat("x", 2*chunkBytes))
		tab.p.Reply("syn_m_c", "ok", "t")
		for _, silent := range []string{"new_file", "file_upd", "file_upd", "file_upd", "file_end"} {
			tab.p.Expect(silent)
		}
		tab.p.Reply("syn_m_c_e", "ok", "")
		if o := <-sent; o.err != nil || o.value.Bytes != 2*chunkBytes {
			t.Errorf("%d bytes, %v", o.value.Bytes, o.err)
		}
	})
}

// A peer that answers no chunk at all does not hold a transfer for hours.
func TestSendPackage_SilentPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		began := time.Now()
		sent := sending(tab, strings.Repeat("x", 20*chunkBytes))
		tab.p.Reply("syn_m_c", "ok", "t")
		tab.p.Reply("new_file", "ok", "")
		chunks := 0
		for f := tab.p.Next(); f.Command != "syn_m_c_r"; f = tab.p.Next() {
			chunks++
		}
		o := <-sent
		if !isTimeout(o.err) || chunks != mostSilent || time.Since(began) > 10*time.Minute {
			t.Errorf("%v after %d chunks and %v", o.err, chunks, time.Since(began))
		}
	})
}

func TestSendPackage_AnnouncementFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			sent := sending(tab, "x")
			tab.p.Reply("syn_m_c", "err", "no")
			var remote *RemoteError
			if o := <-sent; !errors.As(o.err, &remote) {
				t.Errorf("%v", o.err)
			}
			tab.p.Quiet(time.Minute) // nothing is uploaded
		})
	})
	t.Run("not answered", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			sent := sending(tab, "x")
			tab.p.Expect("syn_m_c")
			f := tab.p.Reply("syn_m_c_r", "ok", "Error received")
			task, text, _ := strings.Cut(string(f.Payload), " ")
			if e := fault.Parse([]byte(text)); task != "None" || e.Code != fault.RequestTimeout || e.Extra != "syn_m_c" {
				t.Errorf("report %q", f.Payload)
			}
			if o := <-sent; !isTimeout(o.err) {
				t.Errorf("%v, want 3020", o.err)
			}
			tab.p.Quiet(time.Minute)
		})
	})
	for _, task := range []string{"a b", strings.Repeat("x", 65)} {
		tab := newTable(t, Config{}).run()
		sent := sending(tab, "x")
		tab.p.Reply("syn_m_c", "ok", task)
		if o := <-sent; !errors.Is(o.err, ErrTask) {
			t.Errorf("task %q: %v", task, o.err)
		}
	}
}

// The receiver calls a transfer off: we stop, end the file with what was sent
// and announce the end, which makes a 4.7.5 receiver remove it.
func TestSendPackage_Cancelled(t *testing.T) {
	tab := newTable(t, Config{}).run()
	sent := sending(tab, strings.Repeat("x", 10*chunkBytes))
	tab.p.Reply("syn_m_c", "ok", "task-1")
	path := string(tab.p.Reply("new_file", "ok", "").Payload)
	chunk := tab.p.Expect("file_upd")
	tab.p.OK("cancel_task", "other-task "+string(fault.New(fault.ReceiveTimeout, nil).JSON()))
	answer := tab.p.OK("cancel_task", "task-1 "+string(fault.New(fault.ReceiveTimeout, nil).JSON()))
	if answer != "Request received correctly" {
		t.Errorf("answer %q", answer)
	}
	tab.p.Send(chunk.Counter, "ok", "File updated")
	content := chunk.Payload[len(path)+1:]
	for {
		f := tab.p.Request()
		if f.Command == "file_upd" {
			content = append(content, f.Payload[len(path)+1:]...)
			tab.p.Send(f.Counter, "ok", "File updated")
			continue
		}
		if f.Command != "file_end" || string(f.Payload) != path+" "+digest(string(content)) {
			t.Errorf("%s instead of the end", f.Command)
		}
		tab.p.Send(f.Counter, "ok", "")
		break
	}
	end := tab.p.Reply("syn_m_c_e", "err", string(fault.New(fault.UnknownTask, "task-1").JSON()))
	if string(end.Payload) != "task-1 "+path[1:] {
		t.Errorf("end %q", end.Payload)
	}
	o := <-sent
	var cancelled *CancelledError
	if !errors.As(o.err, &cancelled) || !fault.Has(o.err, fault.ReceiveTimeout) {
		t.Errorf("%v, want a *CancelledError with 3039", o.err)
	}
	if o.value.Bytes != int64(len(content)) || o.value.Bytes > 3*chunkBytes {
		t.Errorf("%d bytes sent, %d arrived", o.value.Bytes, len(content))
	}
}

// Our own failure is reported, and the peer removes what it has.
func TestSendPackage_ContentFails(t *testing.T) {
	tab := newTable(t, Config{}).run()
	vanished := errors.New("file vanished")
	sent := begin(func() (Sent, error) {
		return tab.SendPackage(context.Background(), "syn_m_c", func(w io.Writer) error {
			_, _ = io.WriteString(w, "part")
			return vanished
		})
	})
	tab.p.Reply("syn_m_c", "ok", "task-1")
	path := string(tab.p.Reply("new_file", "ok", "").Payload)
	report := tab.p.Reply("syn_m_c_r", "ok", "Error received")
	task, text, _ := strings.Cut(string(report.Payload), " ")
	if e := fault.Parse([]byte(text)); task != "task-1" || e.Code != fault.Unspecified || e.Class != fault.ClassCluster {
		t.Errorf("report %q", report.Payload)
	}
	tab.p.Reply("file_upd", "ok", "")
	if f := tab.p.Reply("file_end", "ok", ""); string(f.Payload) != path+" "+digest("part") {
		t.Errorf("end %.80q", f.Payload)
	}
	tab.p.Reply("syn_m_c_e", "err", string(fault.New(fault.UnknownTask, "task-1").JSON()))
	if o := <-sent; !errors.Is(o.err, vanished) {
		t.Errorf("%v, want %v", o.err, vanished)
	}
}

// A receiver that lost the task says so; nothing more is sent.
func TestSendPackage_EndIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		sent := sending(tab, "x")
		tab.p.Reply("syn_m_c", "ok", "task-1")
		takeFile(tab.p)
		tab.p.Reply("syn_m_c_e", "err", string(fault.New(fault.UnknownTask, "task-1").JSON()))
		if o := <-sent; !fault.Has(o.err, fault.UnknownTask) {
			t.Errorf("%v, want 3027", o.err)
		}
		tab.p.Quiet(time.Minute)
	})
}

func TestReportFailure(t *testing.T) {
	tab := newTable(t, Config{}).run()
	done := begin(func() (struct{}, error) {
		tab.ReportFailure(t.Context(), "syn_i_w_m", errors.New("bad package"))
		return struct{}{}, nil
	})
	f := tab.p.Reply("syn_i_w_m_r", "ok", "Error received")
	if !strings.HasPrefix(string(f.Payload), `None {"__wazuh_exception__": {"__class__": "WazuhClusterError"`) || !strings.Contains(string(f.Payload), "bad package") {
		t.Errorf("report %q", f.Payload)
	}
	<-done
}
