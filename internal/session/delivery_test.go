package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
	"testudo/internal/peertest"
)

// received is what a delivery's task got from Wait.
type received struct {
	text string
	err  error
}

// taking registers a delivery of kind "syn_i_w_m" whose task waits with a
// limit, then for release, and reports what it got.
func taking(limit time.Duration, got chan<- received, release <-chan struct{}) func(*Mux) {
	return func(m *Mux) {
		m.HandleDelivery("syn_i_w_m", func(ctx context.Context, d *Delivery) {
			u, err := d.Wait(ctx, limit)
			r := received{err: err}
			if u != nil {
				b, _ := io.ReadAll(u.Reader())
				r.text = string(b)
			}
			<-release
			if u != nil {
				_ = u.Close()
			}
			got <- r
		})
	}
}

func open() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// uploaded sends a whole file and gives its path as X_e names it.
func uploaded(p *peertest.Peer, name, text string) string {
	p.T.Helper()
	path := "/queue/cluster/w1/" + name
	p.OK("new_file", path)
	p.OK("file_upd", path+" "+text)
	p.OK("file_end", path+" "+digest(text))
	return path[1:]
}

func TestDelivery_Arrives(t *testing.T) {
	got := make(chan received, 1)
	tab := newTable(t, Config{}).run(taking(time.Minute, got, open()))
	task := tab.p.OK("syn_i_w_m", "")
	if len(task) != 36 {
		t.Errorf("task %q is no UUID", task)
	}
	path := uploaded(tab.p, "a.zip", "content")
	if answer := tab.p.OK("syn_i_w_m_e", task+" "+path); answer != "File correctly received" {
		t.Errorf("answer %q", answer)
	}
	if r := <-got; r.err != nil || r.text != "content" {
		t.Errorf("%q, %v", r.text, r.err)
	}
	tab.p.Refused("syn_i_w_m_e", task+" "+path, `"code": 3027`)
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestDelivery_PeerReportsFailure(t *testing.T) {
	report := string(fault.New(fault.RequestTimeout, "syn_i_w_m").JSON())
	for _, c := range []struct {
		name, payload string
		refused       bool
	}{
		{"of the task", "TASK " + report, false},
		{"of none", "None " + report, false},
		{"of another", "a378ce9b-5833-49cb-8cae-238bd8c652eb " + report, false},
		{"without a space", "None", true},
		{"no JSON", "None oops", true},
		{"empty", "", true},
	} {
		got := make(chan received, 1)
		tab := newTable(t, Config{}).run(taking(time.Minute, got, open()))
		task := tab.p.OK("syn_i_w_m", "")
		payload := strings.Replace(c.payload, "TASK", task, 1)
		if c.refused {
			tab.p.Refused("syn_i_w_m_r", payload, `"code": 1000`)
		} else if answer := tab.p.OK("syn_i_w_m_r", payload); answer != "Error received" {
			t.Errorf("%s: answer %q", c.name, answer)
		}
		// In every case what waits is freed.
		var remote *RemoteError
		if r := <-got; !errors.As(r.err, &remote) {
			t.Errorf("%s: %v", c.name, r.err)
		}
	}
}

func TestDelivery_FailureWithoutADelivery(t *testing.T) {
	tab := newTable(t, Config{}).run(taking(time.Minute, make(chan received, 1), open()))
	tab.p.OK("syn_i_w_m_r", "None "+string(fault.New(fault.Unspecified, "no\nspace").JSON()))
	if log := tab.lines.String(); !strings.Contains(log, "Error in synchronization process: Error 1000") || strings.Contains(log, "no\nspace") {
		t.Errorf("log: %s", log)
	}
}

func TestDelivery_TimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		got := make(chan received, 1)
		tab := newTable(t, Config{}).run(taking(2*time.Minute, got, open()))
		began := time.Now()
		task := tab.p.OK("syn_i_w_m", "")
		// Progress on the upload counts, silence does not.
		path := "/queue/cluster/w1/slow.zip"
		tab.p.OK("new_file", path)
		for range 3 {
			time.Sleep(90 * time.Second)
			tab.p.OK("file_upd", path+" x")
		}
		f := tab.p.Expect("cancel_task")
		id, text, _ := strings.Cut(string(f.Payload), " ")
		if e := fault.Parse([]byte(text)); id != task || e.Code != fault.ReceiveTimeout || e.Class != fault.ClassCluster {
			t.Errorf("cancel_task %q", f.Payload)
		}
		if took := time.Since(began); took != 390*time.Second {
			t.Errorf("cancelled after %v", took)
		}
		// The sender ends as it must: our side has no such task any more.
		tab.p.OK("file_end", path+" "+digest("xxx"))
		tab.p.Refused("syn_i_w_m_e", task+" "+path[1:], `"code": 3027`)
		tab.p.Send(f.Counter, "ok", "Request received correctly")
		if r := <-got; !fault.Has(r.err, fault.ReceiveTimeout) {
			t.Errorf("%v, want 3039", r.err)
		}
		if left := tab.files(); len(left) != 0 {
			t.Errorf("left on disk: %v", left)
		}
	})
}

// A package that comes while its task looks elsewhere is removed with it.
func TestDelivery_NobodyWaits(t *testing.T) {
	arrived := make(chan struct{})
	tab := newTable(t, Config{}).run(func(m *Mux) {
		m.HandleDelivery("syn_i_w_m", func(context.Context, *Delivery) { <-arrived })
	})
	task := tab.p.OK("syn_i_w_m", "")
	tab.p.OK("syn_i_w_m_e", task+" "+uploaded(tab.p, "a.zip", "x"))
	close(arrived)
	tab.p.Close()
	_ = tab.end()
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestDelivery_WrongPath(t *testing.T) {
	for _, path := range []string{"queue/cluster/w1/none.zip", "etc/client.keys", "/etc/passwd", ""} {
		got := make(chan received, 1)
		tab := newTable(t, Config{}).run(taking(time.Minute, got, open()))
		tab.p.Refused("syn_i_w_m_e", tab.p.OK("syn_i_w_m", "")+" "+path, `"code": 1000`)
		if r := <-got; !errors.Is(r.err, ErrUnknownUpload) && !errors.Is(r.err, ErrUploadPath) {
			t.Errorf("%q: %v", path, r.err)
		}
	}
	tab := newTable(t, Config{}).run(taking(time.Minute, make(chan received, 1), open()))
	tab.p.Refused("syn_i_w_m_e", "no-space", `"code": 1000`)
}

// A newer announcement ends one that waits for its package.
func TestDelivery_Superseded(t *testing.T) {
	got := make(chan received, 2)
	tab := newTable(t, Config{}).run(taking(time.Minute, got, open()))
	first, second := tab.p.OK("syn_i_w_m", ""), tab.p.OK("syn_i_w_m", "")
	if r := <-got; !errors.Is(r.err, ErrSuperseded) {
		t.Errorf("the first: %v, want %v", r.err, ErrSuperseded)
	}
	path := uploaded(tab.p, "a.zip", "x")
	tab.p.Refused("syn_i_w_m_e", first+" "+path, `"code": 3027`)
	tab.p.OK("syn_i_w_m_e", second+" "+uploaded(tab.p, "b.zip", "y"))
	if r := <-got; r.err != nil || r.text != "y" {
		t.Errorf("the second: %q, %v", r.text, r.err)
	}
}

// While one is worked on, one waits its turn, with its package when it has
// come; those between run no task.
func TestDelivery_OneAfterTheOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		got, release := make(chan received, 10), make(chan struct{}, 10)
		tab := newTable(t, Config{}).run(taking(time.Minute, got, release))
		first := tab.p.OK("syn_i_w_m", "")
		tab.p.OK("syn_i_w_m_e", first+" "+uploaded(tab.p, "first.zip", "first"))
		synctest.Wait()
		for range 100 {
			task := tab.p.OK("syn_i_w_m", "")
			tab.p.OK("syn_i_w_m_e", task+" "+uploaded(tab.p, "between.zip", "between"))
			tab.p.OK("syn_i_w_m", "") // and its package is gone
		}
		last := tab.p.OK("syn_i_w_m", "")
		tab.p.OK("syn_i_w_m_e", last+" "+uploaded(tab.p, "last.zip", "last"))
		if left := tab.files(); len(left) != 2 {
			t.Errorf("on disk: %v", left)
		}
		release <- struct{}{}
		release <- struct{}{}
		for _, want := range []string{"first", "last"} {
			if r := <-got; r.err != nil || r.text != want {
				t.Errorf("%q, %v; want %q", r.text, r.err, want)
			}
		}
		synctest.Wait()
		if len(got) != 0 || len(tab.inbound.open) != 0 {
			t.Errorf("%d tasks more, %d deliveries open", len(got), len(tab.inbound.open))
		}
	})
}

// Wait ends with the session.
func TestDelivery_SessionEnds(t *testing.T) {
	got := make(chan received, 1)
	tab := newTable(t, Config{}).run(taking(time.Hour, got, open()))
	tab.p.OK("syn_i_w_m", "")
	tab.p.Close()
	_ = tab.end()
	if r := <-got; !errors.Is(r.err, ErrClosed) {
		t.Errorf("%v, want %v", r.err, ErrClosed)
	}
}
