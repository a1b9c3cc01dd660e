package reconcile

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/health"
)

// That agents are kept without a key is an error when it lasts, not while
// somebody who removes them has got as far as their keys.
func TestHold_IsAnErrorWhenItLasts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mends func(w *world) // after a moment
		worst health.Severity
		said  []string
	}{
		{"their rows go, too", func(w *world) {
			for id := range agent.ID(40) {
				if err := w.db.DeleteAgent(t.Context(), id+1); err != nil {
					t.Error(err)
				}
			}
		}, 0, []string{"WARN kept for the time being", "INFO removed again"}},
		{"the file is back", func(w *world) { w.put(keysPath, keyLines(1, 40)) },
			0, []string{"WARN kept for the time being", "INFO removed again"}},
		{"nothing happens", func(*world) {},
			health.Critical, []string{"WARN kept for the time being", "ERROR not removed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, false)
				var lines strings.Builder
				w.log = slog.New(slog.NewTextHandler(&lines, nil))
				w.put(keysPath, keyLines(1, 40))
				w.round()
				lines.Reset()
				w.put(keysPath, keyLines(41, 1))
				w.round()
				if w.board.Worst() != health.Warning {
					t.Errorf("at once: %v", w.board.All())
				}
				tc.mends(w)
				for range 3 {
					time.Sleep(time.Minute)
					w.round()
				}
				if got := w.board.Worst(); got != tc.worst {
					t.Errorf("in the end: %v, want %v", got, tc.worst)
				}
				var said []string
				for line := range strings.Lines(lines.String()) {
					for _, end := range []string{"kept for the time being", "removed again", "not removed"} {
						if strings.Contains(line, end) {
							level, _, _ := strings.Cut(line[strings.Index(line, "level=")+len("level="):], " ")
							said = append(said, level+" "+end)
						}
					}
				}
				if strings.Join(said, "; ") != strings.Join(tc.said, "; ") {
					t.Errorf("said %q, want %q", said, tc.said)
				}
			})
		})
	}
}
