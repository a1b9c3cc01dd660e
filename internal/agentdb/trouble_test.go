package agentdb

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
)

// lines hands on the messages of a log.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) Handle(_ context.Context, r slog.Record) error {
	l <- r.Level.String() + " " + r.Message
	return nil
}
func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l lines) WithGroup(string) slog.Handler      { return l }

// A full disk is told once, and its end by itself, when nobody writes.
func TestWriter_SaysThatThereIsNoRoom(t *testing.T) {
	said, board := make(lines, 100), health.New()
	s := start(t, func(o *Options) { o.Log, o.Health = slog.New(said), board })
	limitPages(t, s, 0)
	long := strings.Repeat("n", 9000)
	for id := range agent.ID(5) {
		if err := s.InsertAgent(t.Context(), NewAgent{ID: id + 1, Name: long}); err == nil {
			t.Fatal("the limit does not work")
		}
	}
	if line := <-said; line != "ERROR The agent database cannot be written." || len(said) > 0 {
		t.Errorf("%q, and %d more", line, len(said))
	}
	if up := board.All(); len(up) != 1 || up[0].Name != condUnwritable {
		t.Errorf("conditions: %v", up)
	}
	limitPages(t, s, 1000)
	soon := func(context.Context) error {
		s.trouble.stop()
		s.trouble.due, s.trouble.calm = nil, time.Millisecond
		s.trouble.arm()
		return nil
	}
	if err := s.between(t.Context(), soon); err != nil {
		t.Fatal(err)
	}
	if line := <-said; line != "INFO The agent database can be written again." {
		t.Error(line)
	}
	if err := s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: long}); err != nil {
		t.Error(err)
	}
	if up := board.All(); len(up) != 0 || len(said) > 0 {
		t.Errorf("conditions: %v, %d more lines", up, len(said))
	}
}
