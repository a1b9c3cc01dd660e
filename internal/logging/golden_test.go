package logging

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"testudo/internal/recording"
)

// anyLine is the form of every line that the handler writes.
var anyLine = regexp.MustCompile(`^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (DEBUG2|DEBUG|INFO|WARNING|ERROR): \[([^\[\]]*)\] \[([^\[\]]*)\] (.*)$`)

// TestHandler_Recorded takes the logs of a real cluster apart and writes every
// line of them again.
func TestHandler_Recorded(t *testing.T) {
	levels := map[string]slog.Level{
		"DEBUG2": LevelDebug2, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo,
		"WARNING": slog.LevelWarn, "ERROR": slog.LevelError,
	}
	for _, name := range []string{"cluster-master.log", "cluster-w1.log"} {
		t.Run(name, func(t *testing.T) {
			data := recording.Read(t, "golden/"+name)
			var out bytes.Buffer
			handler := NewHandler(&out, LevelDebug2, false)
			recorded := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			for _, want := range recorded {
				part := anyLine.FindStringSubmatch(want)
				if part == nil {
					t.Errorf("not of our form: %s", want)
					continue
				}
				when, err := time.ParseInLocation("2006/01/02 15:04:05", part[1], time.Local)
				if err != nil {
					t.Fatal(err)
				}
				r := slog.NewRecord(when, levels[part[2]], part[5], 0)
				r.AddAttrs(Tag(part[3]), Task(part[4]))
				out.Reset()
				if err := handler.Handle(context.Background(), r); err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimSuffix(out.String(), "\n"); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if len(recorded) < 100 {
				t.Errorf("only %d lines", len(recorded))
			}
		})
	}
}
