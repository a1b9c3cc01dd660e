package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	repeatEvery = 10 * time.Minute
	// maxMessages bounds the texts that one Recurring tells apart.
	maxMessages = 16
)

// Recurring logs a failure that may come again each round: at once the first
// time, and then every ten minutes with the number of times. The zero value is
// ready. It is safe for concurrent use.
type Recurring struct {
	mu       sync.Mutex
	since    time.Time
	total    int
	messages map[string]*repetition
}

type repetition struct {
	since time.Time
	next  time.Time // before this it is only counted
	count int       // since the last line
}

// Fail records the failure msg and logs it when it is new or due. Failures are
// the same when their msg is, whatever the attributes, so these hold what
// changes from one time to the next.
func (r *Recurring) Fail(log *slog.Logger, level slog.Level, msg string, attrs ...slog.Attr) {
	repeated, since, due := r.note(msg, time.Now())
	if !due {
		return
	}
	if repeated > 1 {
		attrs = append(attrs[:len(attrs):len(attrs)], slog.Int("repeated", repeated), slog.Time("since", since))
	}
	log.LogAttrs(context.Background(), level, msg, attrs...)
}

func (r *Recurring) note(msg string, now time.Time) (repeated int, since time.Time, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total == 0 {
		r.since = now
	}
	r.total++
	m := r.messages[msg]
	if m == nil {
		if r.messages == nil {
			r.messages = make(map[string]*repetition)
		}
		if len(r.messages) >= maxMessages {
			r.forgetOldestLocked()
		}
		m = &repetition{since: now}
		r.messages[msg] = m
	}
	m.count++
	if now.Before(m.next) {
		return 0, m.since, false
	}
	repeated = m.count
	m.count, m.next = 0, now.Add(repeatEvery)
	return repeated, m.since, true
}

func (r *Recurring) forgetOldestLocked() {
	var oldest string
	for msg, m := range r.messages {
		if o := r.messages[oldest]; o == nil || m.next.Before(o.next) {
			oldest = msg
		}
	}
	delete(r.messages, oldest)
}

// Recovered ends the failures: when there were any it logs msg (info) with how
// many there were and since when. The next Fail is a first one again.
func (r *Recurring) Recovered(log *slog.Logger, msg string, attrs ...slog.Attr) {
	r.mu.Lock()
	total, since := r.total, r.since
	r.total, r.messages = 0, nil
	r.mu.Unlock()
	if total == 0 {
		return
	}
	attrs = append(attrs[:len(attrs):len(attrs)], slog.Int("failures", total), slog.Time("since", since))
	log.LogAttrs(context.Background(), slog.LevelInfo, msg, attrs...)
}
