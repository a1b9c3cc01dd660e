package session

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// refusalsAgain is after how long the same line is written again.
	refusalsAgain = 10 * time.Minute
	// mostRefusals is how many different lines are told apart in that time.
	mostRefusals = 64
)

// Refusals logs what peers do wrong without letting them fill the log: each
// line at once and then every ten minutes with how often it came, and at most
// 64 different lines in that time; what is beyond is only counted. The zero
// value is ready. It is safe for concurrent use.
type Refusals struct {
	mu    sync.Mutex
	lines map[string]*refusal
	rest  refusal // of lines for which there was no room
}

type refusal struct {
	due   time.Time // before this it is only counted
	count int       // since it was written last
}

// Log writes a line unless it has been written lately. What differs from one
// time to the next belongs into attrs.
func (r *Refusals) Log(log *slog.Logger, level slog.Level, line string, attrs ...slog.Attr) {
	line, repeated, write := r.note(line, time.Now())
	if !write {
		return
	}
	if repeated > 1 {
		attrs = append(attrs[:len(attrs):len(attrs)], slog.Int("repeated", repeated))
	}
	log.LogAttrs(context.Background(), level, line, attrs...)
}

func (r *Refusals) note(line string, now time.Time) (shown string, repeated int, write bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.lines[line]
	if known == nil && len(r.lines) >= mostRefusals {
		r.forgetLocked(now)
	}
	switch {
	case known != nil:
	case len(r.lines) < mostRefusals:
		if r.lines == nil {
			r.lines = make(map[string]*refusal)
		}
		known = new(refusal)
		r.lines[line] = known
	default:
		known, line = &r.rest, "More is wrong with peers than is written here. The next of it: "+line
	}
	known.count++
	if now.Before(known.due) {
		return "", 0, false
	}
	repeated = known.count
	known.count, known.due = 0, now.Add(refusalsAgain)
	return line, repeated, true
}

// forgetLocked makes room where a line has not come for long.
func (r *Refusals) forgetLocked(now time.Time) {
	for line, known := range r.lines {
		if !now.Before(known.due) {
			delete(r.lines, line)
		}
	}
}
