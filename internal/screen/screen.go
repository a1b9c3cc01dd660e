// Package screen writes what people read while a program works: lines, tables,
// a region that is drawn again in place, progress. On a terminal it uses what a
// terminal can do; anywhere else it writes plain lines that make sense in a log.
package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// plainWidth is the width taken for a terminal that does not tell its own.
const plainWidth = 80

// Screen is a place to write to. It is safe for concurrent use.
type Screen struct {
	terminal bool
	width    func() int

	mu    sync.Mutex
	w     io.Writer
	live  string // the region at the bottom, as drawn
	lines int    // its height
}

// New makes a screen of w. It is a terminal when w is a file on one, unless
// TERM is "dumb".
func New(w io.Writer) *Screen {
	s := &Screen{w: w, width: func() int { return plainWidth }}
	file, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.terminal = true
	s.width = func() int {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
		return plainWidth
	}
	return s
}

// Terminal says whether somebody watches a terminal.
func (s *Screen) Terminal() bool { return s.terminal }

// Width is the number of columns, 0 when there is no terminal and so no limit.
func (s *Screen) Width() int {
	if !s.terminal {
		return 0
	}
	return s.width()
}

// Linef writes one line, above the region drawn by Live. Line breaks in the
// text are kept; other control characters become '?'.
func (s *Screen) Linef(format string, args ...any) {
	text := clean(fmt.Sprintf(format, args...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.eraseLocked() + text + "\n" + s.live)
	s.lines = strings.Count(s.live, "\n")
}

// Live draws text at the bottom, in place of what Live drew before. Its lines
// must not be longer than Width. Without a terminal nothing is drawn.
func (s *Screen) Live(text string) {
	if !s.terminal {
		return
	}
	if text != "" {
		text = strings.TrimSuffix(clean(text), "\n") + "\n"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.live {
		return
	}
	s.write(s.eraseLocked() + text)
	s.live, s.lines = text, strings.Count(text, "\n")
}

// Leave ends the region: what was drawn stays, and the next line follows it.
func (s *Screen) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.lines = "", 0
}

// Write implements io.Writer: whole lines of another writer, above the region.
func (s *Screen) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.Linef("%s", strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

// eraseLocked is what takes the drawn region away.
func (s *Screen) eraseLocked() string {
	if s.lines == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", s.lines)
}

func (s *Screen) write(text string) {
	// Nobody can be told that the terminal is gone.
	_, _ = io.WriteString(s.w, text)
}

// clean takes out what could steer a terminal: names and reasons come from
// other machines.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
