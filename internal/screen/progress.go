package screen

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// drawEvery is how often the bar on a terminal is drawn at most.
	drawEvery = 100 * time.Millisecond
	// tellEvery is how often a line is written where there is no terminal.
	tellEvery = 3 * time.Second
	// barWidth is the number of cells of the bar itself.
	barWidth = 28
)

// Unit says what is counted.
type Unit int

// The units.
const (
	Pieces Unit = iota
	Bytes
)

// Progress shows how far one piece of long work is: a bar at the bottom of a
// terminal, else a line each few seconds. Its methods may be called from any
// goroutine. A nil Progress shows nothing.
type Progress struct {
	screen *Screen
	what   string
	unit   Unit
	total  int64
	begun  time.Time

	mu   sync.Mutex
	done int64
	next time.Time // of the next showing
}

// Progress begins to show work of a known total, 0 for unknown. The bar takes
// the place of what Live draws; Done ends it.
func (s *Screen) Progress(what string, total int64, unit Unit) *Progress {
	now := time.Now()
	p := &Progress{screen: s, what: what, unit: unit, total: total, begun: now, next: now}
	if !s.terminal {
		p.next = now.Add(tellEvery)
	}
	return p
}

// Add says that n more are done.
func (p *Progress) Add(n int64) { p.show(func() { p.done += n }) }

// Set says how much is done.
func (p *Progress) Set(done int64) { p.show(func() { p.done = done }) }

func (p *Progress) show(change func()) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	if p.screen.terminal {
		p.next = now.Add(drawEvery)
		p.screen.Live(p.bar(now, p.screen.Width()))
		return
	}
	p.next = now.Add(tellEvery)
	p.screen.Linef("%s: %s", p.what, p.state(now))
}

// Done takes the bar away and leaves one line that says what was done and how
// long it took, on a terminal; elsewhere only when lines were written before.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.begun)
	if p.screen.terminal {
		p.screen.Live("")
		p.screen.Leave()
	}
	if p.screen.terminal || took >= tellEvery {
		p.screen.Linef("%s: %s in %.1fs", p.what, p.amount(p.done), took.Seconds())
	}
}

// state is how far the work is, in words.
func (p *Progress) state(now time.Time) string {
	took := now.Sub(p.begun)
	if p.total <= 0 {
		return fmt.Sprintf("%s, %.0fs", p.amount(p.done), took.Seconds())
	}
	text := fmt.Sprintf("%s of %s (%d%%)", p.amount(p.done), p.amount(p.total), 100*p.done/p.total)
	if p.done <= 0 || p.done >= p.total || took < time.Second {
		return text
	}
	left := time.Duration(float64(took) / float64(p.done) * float64(p.total-p.done))
	return fmt.Sprintf("%s, about %.0fs left", text, left.Seconds())
}

// bar is the line on a terminal of the given width.
func (p *Progress) bar(now time.Time, width int) string {
	line := p.what + " "
	if p.total > 0 {
		full := int(min(max(p.done, 0), p.total) * barWidth / p.total)
		line += strings.Repeat("█", full) + strings.Repeat("░", barWidth-full) + " "
	}
	line += p.state(now)
	if cells := []rune(line); len(cells) >= width {
		return string(cells[:max(width-1, 0)])
	}
	return line
}

func (p *Progress) amount(n int64) string {
	if p.unit == Bytes {
		return Size(n)
	}
	return fmt.Sprint(n)
}

// Size writes a number of bytes for people: "512 B", "1.5 MiB".
func Size(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
