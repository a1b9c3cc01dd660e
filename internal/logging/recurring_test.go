package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecurring_LogsFirstThenEveryTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(NewHandler(&out, slog.LevelInfo, false))
		var r Recurring
		for range 150 { // 25 minutes of a failure each ten seconds
			r.Fail(log, slog.LevelError, "Could not connect.", slog.String("to", "m"))
			time.Sleep(10 * time.Second)
		}
		r.Recovered(log, "Connected.")
		r.Recovered(log, "Connected.")
		r.Fail(log, slog.LevelError, "Could not connect.")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		start := "since=" + time.Now().Add(-25*time.Minute).Format(timeFormat)
		want(t, stripTime(lines),
			"ERROR: [Cluster] [Main] Could not connect. to=m",
			"ERROR: [Cluster] [Main] Could not connect. to=m repeated=60 "+start,
			"ERROR: [Cluster] [Main] Could not connect. to=m repeated=60 "+start,
			"INFO: [Cluster] [Main] Connected. failures=150 "+start,
			"ERROR: [Cluster] [Main] Could not connect.")
	})
}

func stripTime(lines []string) []string {
	for i := range lines {
		lines[i] = lines[i][len("2006/01/02 15:04:05 "):]
	}
	return lines
}

func TestRecurring_AnotherMessageIsLoggedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(NewHandler(&out, slog.LevelInfo, false))
		var r Recurring
		for range 10 { // two failures that take turns
			r.Fail(log, slog.LevelError, "a")
			r.Fail(log, slog.LevelError, "b")
			time.Sleep(time.Second)
		}
		want(t, stripTime(strings.Split(strings.TrimSpace(out.String()), "\n")),
			"ERROR: [Cluster] [Main] a", "ERROR: [Cluster] [Main] b")
	})
}

func TestRecurring_MessagesAreBounded(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	var r Recurring
	for i := range 10 * maxMessages {
		r.Fail(log, slog.LevelError, fmt.Sprint("message ", i))
	}
	if len(r.messages) > maxMessages {
		t.Errorf("%d messages kept, want at most %d", len(r.messages), maxMessages)
	}
}

func TestRecurring_ManyAtOnce(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(&out, slog.LevelInfo, false))
	var r Recurring
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Fail(log, slog.LevelWarn, "m")
			}
		})
	}
	wg.Wait()
	r.Recovered(log, "done")
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "failures=800") {
		t.Errorf("got %q", got)
	}
}
