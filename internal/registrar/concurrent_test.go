package registrar

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

// history is what those who asked were told.
type history struct {
	mu      sync.Mutex
	given   map[string]keystore.Entry // by id: whoever was told of it
	removed map[string]bool           // ids whose removal was answered
	twice   []string
}

func (h *history) gave(e keystore.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, before := h.given[e.ID]; before {
		h.twice = append(h.twice, e.ID)
	}
	h.given[e.ID] = e
}

// Thousands enrol at once, at the master, at workers and through the socket, with
// names and addresses of which there are few; others are removed meanwhile.
func TestConcurrent(t *testing.T) {
	for name, tt := range map[string]struct {
		force   enrolment.Force
		comings bool // of the database, and goings
	}{
		"nobody is replaced": {enrolment.Force{}, false},
		"everybody is":       {replaceAll(), false},
		"nobody is replaced, the database comes and goes": {enrolment.Force{}, true},
		"everybody is, the database comes and goes":       {replaceAll(), true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				h := &history{given: map[string]keystore.Entry{}, removed: map[string]bool{}}
				worker := w.worker(true)
				defer running(worker)()
				var clients, weather sync.WaitGroup
				each := 30
				if testing.Short() {
					each = 8
				}
				for i := range 64 {
					clients.Go(func() { w.client(t, h, worker, rand.New(rand.NewPCG(1, uint64(i))), each) })
				}
				over := make(chan struct{})
				if tt.comings {
					weather.Go(func() { w.comeAndGo(over) })
				}
				clients.Wait()
				close(over)
				weather.Wait()
				pass(time.Minute)
				w.check(t, h, !tt.force.Enabled)
			}, force(tt.force))
		})
	}
}

// comeAndGo has the database be away half of the time.
func (w *world) comeAndGo(over chan struct{}) {
	for away := errAway; ; {
		w.db.set(away)
		select {
		case <-over:
			w.db.set(nil)
			return
		case <-time.After(time.Second):
		}
		if away = nil; w.db.gone() == nil {
			away = errAway
		}
	}
}

// client does one thing after the other.
func (w *world) client(t *testing.T, h *history, worker *Worker, r *rand.Rand, n int) {
	for range n {
		time.Sleep(time.Duration(r.IntN(3)) * time.Second / 4)
		name := fmt.Sprintf("web-%d", r.IntN(150))
		address := "any"
		if r.IntN(2) == 0 {
			address = fmt.Sprintf("10.0.0.%d", r.IntN(100))
		}
		switch r.IntN(8) {
		case 0:
			w.removes(h, fmt.Sprintf("%03d", 1+r.IntN(400)))
		case 1:
			message := enrolment.Message{Function: "add", Arguments: enrolment.Arguments{Name: name, IP: address}}
			if a, err := enrolment.ParseAnswer(w.Answer(context.Background(), message.JSON())); err != nil {
				t.Error(err)
			} else if a.Refusal == nil {
				h.gave(keystore.Entry{ID: a.ID, Name: a.Name, Address: a.IP, Secret: a.Key})
			}
		default:
			register := w.Register
			if r.IntN(2) == 0 {
				register = worker.Register
			}
			reg, err := register(context.Background(), request(t, line(name, "IP:'"+address+"'")), "")
			if err != nil {
				continue
			}
			if r.IntN(10) == 0 {
				reg.Lost(context.Background())
				continue
			}
			h.gave(reg.Entry)
			reg.Delivered()
		}
	}
}

func (w *world) removes(h *history, id string) {
	answer := w.Answer(context.Background(), []byte(`{"function":"remove","arguments":{"id":"`+id+`"}}`))
	if strings.Contains(string(answer), `"error":0`) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.removed[id] = true
	}
}

// check compares what is with what was told. Without replacement an answered key
// is there until its removal.
func (w *world) check(t *testing.T, h *history, kept bool) {
	live := w.liveKeys(t)
	if len(h.twice) > 0 {
		t.Error("ids given twice:", h.twice)
	}
	names, addresses := map[string]string{}, map[string]string{}
	for id, e := range live {
		told, known := h.given[id]
		if !known || !told.Secret.Equal(e.Secret) || told.Name != e.Name {
			t.Errorf("agent %s is nobody's", id)
		}
		if before, taken := names[e.Name]; taken {
			t.Errorf("%s and %s have the name %s", before, id, e.Name)
		}
		names[e.Name] = id
		if before, taken := addresses[e.Address]; taken && e.Address != enrolment.AnyAddress {
			t.Errorf("%s and %s have the address %s", before, id, e.Address)
		}
		addresses[e.Address] = id
		if row, there := w.db.row(number(e)); !there || row.Name != e.Name || !row.Key.Equal(e.Secret) {
			t.Errorf("agent %s has the row %v", id, row)
		}
		if h.removed[id] {
			t.Errorf("agent %s is there after its removal", id)
		}
	}
	for id := range h.given {
		if _, there := live[id]; kept && !there && !h.removed[id] {
			t.Errorf("agent %s has been given a key that is gone", id)
		}
	}
	if w.db.len() != len(live) || len(w.locks.named) != 0 || w.rows.reserved != 0 || w.held.len() > 0 && kept {
		t.Errorf("%d rows of %d agents, %d locks, %d reserved, %d held", w.db.len(), len(live),
			len(w.locks.named), w.rows.reserved, w.held.len())
	}
	if len(h.given) < 100 {
		t.Errorf("only %d keys were given out", len(h.given))
	}
}

// FuzzAnswer looks that no message makes a line that cannot be read, or an answer
// that is none.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"function":"add","arguments":{"name":"a","ip":"any","id":"7","key":"k","groups":"default"}}`))
	f.Add([]byte(`{"function":"add","arguments":{"name":"a\u0085b","ip":"!10.0.0.1/24","held":true}}`))
	f.Add([]byte(`{"function":"remove","arguments":{"id":"007"}}`))
	f.Add([]byte(`{"function":"confirm","arguments":{"id":",,"}}`))
	f.Add([]byte(`getconfig auth`))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		answer := w.Answer(t.Context(), message)
		if len(message) > 0 && message[0] == '{' && !json.Valid(answer) {
			t.Errorf("%q", answer)
		}
		text, err := os.ReadFile(filepath.Join(w.dir, "etc/client.keys"))
		if err != nil && w.keys.Len() > 0 {
			t.Fatal(err)
		}
		lines := 0
		for l := range strings.Lines(string(text)) {
			if len(strings.Fields(l)) != 4 {
				t.Fatalf("%q", l)
			}
			if !strings.Contains(l, " !") {
				lines++
			}
		}
		if lines != w.keys.Len() {
			t.Errorf("%d lines of %d agents", lines, w.keys.Len())
		}
	})
}
