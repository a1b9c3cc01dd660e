// Package peertest is what tests of conversations between nodes need on both
// sides of a connection: a peer made of bare frames, and a log to read.
package peertest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"testudo/internal/wire"
)

// Key is the cluster key of peers.
const Key = "0123456789abcdef0123456789ABCDEF"

// NewKey makes a key.
func NewKey(t testing.TB, text string) *wire.Key {
	t.Helper()
	key, err := wire.NewKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Lines is a log that tests read.
type Lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	level slog.LevelVar
}

// NewLines returns an empty log of all levels.
func NewLines() *Lines {
	l := new(Lines)
	l.SetLevel(slog.LevelDebug)
	return l
}

// Write implements io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// SetLevel leaves out what is less important from now on.
func (l *Lines) SetLevel(level slog.Level) { l.level.Set(level) }

// Logger writes to the log.
func (l *Lines) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: &l.level}))
}

// Count is how often a text stands in the log.
func (l *Lines) Count(text string) int { return strings.Count(l.String(), text) }

// Want checks that each text stands in the log.
func (l *Lines) Want(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if l.Count(text) == 0 {
			t.Errorf("the log has no %q:\n%s", text, l)
		}
	}
}
