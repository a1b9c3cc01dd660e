package session

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// following registers a delivery whose task reads its package while it arrives.
// found is closed when the first has begun.
func following(got chan<- received, release <-chan struct{}, found chan<- struct{}) func(*Mux) {
	return func(m *Mux) {
		m.HandleDelivery("syn_i_w_m", func(ctx context.Context, d *Delivery) {
			ctx, cancel := context.WithCancel(ctx)
			read := begin(func() (string, error) {
				a, err := d.Follow(ctx)
				if err != nil {
					return "", err
				}
				close(found)
				text, err := io.ReadAll(a)
				return a.Path() + " " + string(text), err
			})
			u, err := d.Wait(ctx, time.Minute)
			if err != nil {
				cancel()
			}
			early := <-read
			cancel()
			if u != nil {
				_ = u.Close()
			}
			<-release
			got <- received{early.value, early.err}
		})
	}
}

func TestFollow_ReadsWhatArrives(t *testing.T) {
	got, found := make(chan received, 1), make(chan struct{})
	tab := newTable(t, Config{}).run(following(got, open(), found))
	before := "/queue/cluster/w1/before.zip"
	tab.p.OK("new_file", before) // begun before the announcement: not the package
	task := tab.p.OK("syn_i_w_m", "")
	path := "/queue/cluster/w1/a.zip"
	tab.p.OK("new_file", path)
	<-found
	tab.p.OK("file_upd", path+" con")
	tab.p.OK("file_upd", path+" tent")
	tab.p.OK("file_end", path+" "+digest("content"))
	tab.p.OK("syn_i_w_m_e", task+" "+path)
	if r := <-got; r.err != nil || r.text != path[1:]+" content" {
		t.Errorf("%q, %v", r.text, r.err)
	}
}

func TestFollow_EndsWithTheUpload(t *testing.T) {
	const path = "/queue/cluster/w1/a.zip"
	for name, c := range map[string]struct {
		do   func(tab *table, task string)
		want error
	}{
		"no file at all":   {func(tab *table, _ string) { tab.p.OK("syn_i_w_m_r", `None {"x": 1}`) }, ErrGivenUp},
		"the session ends": {func(tab *table, _ string) { tab.p.Close() }, nil},
		"wrong digest": {func(tab *table, task string) {
			tab.p.OK("new_file", path)
			tab.p.OK("file_upd", path+" con")
			tab.p.Refused("file_end", path+" "+digest("other"), "Checksums")
			tab.p.Refused("syn_i_w_m_e", task+" "+path, ErrUnknownUpload.Error())
		}, ErrGivenUp},
		"the session ends in the middle": {func(tab *table, _ string) {
			tab.p.OK("new_file", path)
			tab.p.OK("file_upd", path+" con")
			tab.p.Close()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan received, 1)
			tab := newTable(t, Config{}).run(following(got, open(), make(chan struct{})))
			c.do(tab, tab.p.OK("syn_i_w_m", ""))
			if r := <-got; r.err == nil || c.want != nil && !errors.Is(r.err, c.want) && !errors.Is(r.err, context.Canceled) {
				t.Errorf("%q, %v, want %v", r.text, r.err, c.want)
			}
		})
	}
}
