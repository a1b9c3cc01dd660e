package logging

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// run runs the log's task until stop is called.
func run(t *testing.T, l *Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func unpack(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLog_RotatesAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := open(t)
		stop := run(t, l)
		start := time.Now().Local()
		l.Logger().Info("first day")
		time.Sleep(time.Until(midnightAfter(start)) - time.Nanosecond)
		l.Logger().Info("last moment")
		time.Sleep(time.Second)
		synctest.Wait()
		l.Logger().Info("second day")

		month := filepath.Join(dir, "cluster", start.Format("2006"), start.Format("Jan"))
		packed := filepath.Join(month, fmt.Sprintf("cluster.log-%02d.gz", start.Day()))
		want(t, messages(unpack(t, packed)), "first day", "last moment")
		want(t, messages(read(t, filepath.Join(dir, "cluster.log"))), "second day")
		modes(t, map[string]os.FileMode{
			packed: 0o640, month: os.ModeDir | 0o750, filepath.Dir(month): os.ModeDir | 0o750,
			filepath.Join(dir, "cluster"): os.ModeDir | 0o750, filepath.Join(dir, "cluster.log"): 0o660,
		})
		only(t, dir, "cluster", "cluster.log")
		stop()
	})
}

func modes(t *testing.T, of map[string]os.FileMode) {
	t.Helper()
	for name, mode := range of {
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, want %v (%v)", name, info.Mode(), mode, err)
		}
	}
}

// only demands that dir holds these names and nothing else.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want(t, got, names...)
}

func TestLog_WeekWithoutALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := open(t)
		stop := run(t, l)
		time.Sleep(7 * 24 * time.Hour)
		synctest.Wait()
		stop()
		only(t, dir, "cluster.log") // nothing to put away
	})
}

func TestLog_FirstLineOfTheDayRotatesWithoutTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := open(t)
		l.Logger().Info("yesterday")
		time.Sleep(24 * time.Hour)
		l.Logger().Info("today")
		want(t, messages(read(t, filepath.Join(dir, "cluster.log"))), "today")
		stop := run(t, l) // compresses what was left behind
		synctest.Wait()
		stop()
		only(t, dir, "cluster", "cluster.log")
	})
}

func TestLog_StartedTheDayAfter(t *testing.T) {
	l, dir := open(t)
	l.Logger().Info("yesterday")
	l.Close()
	name := filepath.Join(dir, "cluster.log")
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(name, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	next, err := Open(l.o)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	next.Logger().Info("today")
	if err := next.compressAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(dir, "cluster", yesterday.Format("2006"), yesterday.Format("Jan"),
		fmt.Sprintf("cluster.log-%02d.gz", yesterday.Day()))
	want(t, messages(unpack(t, packed)), "yesterday")
	want(t, messages(read(t, name)), "today")
}

func TestLog_CompressesWhatACrashLeft(t *testing.T) {
	l, dir := open(t)
	name := filepath.Join(dir, "cluster.log")
	for file, text := range map[string]string{
		".2026-11-20.000": "x] a\n", ".2026-11-20.001": "x] b\n", ".2026-11-20.bak": "keep", ".2026-13-20.000": "keep",
	} {
		if err := os.WriteFile(name+file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	month := filepath.Join(dir, "cluster", "2026", "Nov")
	if err := os.MkdirAll(month, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(month, "cluster.log-20.gz.tmp"), []byte("half"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := l.compressAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, messages(unpack(t, filepath.Join(month, "cluster.log-20.gz"))), "a", "b")
	only(t, month, "cluster.log-20.gz")
	only(t, dir, "cluster", "cluster.log", "cluster.log.2026-11-20.bak", "cluster.log.2026-13-20.000")
}

func TestLog_ArchiveCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := open(t)
		if err := os.WriteFile(filepath.Join(dir, "cluster"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		stop := run(t, l)
		l.Logger().Info("first day")
		time.Sleep(24*time.Hour + 5*time.Minute)
		synctest.Wait()
		text := read(t, filepath.Join(dir, "cluster.log"))
		if n := strings.Count(text, "Error rotating the log."); n != 1 {
			t.Errorf("the trouble is logged %d times, want once", n)
		}
		if err := os.Remove(filepath.Join(dir, "cluster")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		stop()
		only(t, dir, "cluster", "cluster.log")
		if !strings.Contains(read(t, filepath.Join(dir, "cluster.log")), "The log is rotated again.") {
			t.Error("the end of the trouble is not logged")
		}
	})
}

func TestLog_SomebodyElseMovedTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dir := open(t)
		name := filepath.Join(dir, "cluster.log")
		l.Logger().Info("yesterday")
		if err := os.Rename(name, name+".moved"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		l.Logger().Info("today")
		want(t, messages(read(t, name)), "today")
		only(t, dir, "cluster.log", "cluster.log.moved")
	})
}

func TestLog_LineAfterATornOneBeginsAtItsStart(t *testing.T) {
	l, dir := open(t)
	if _, err := l.file.WriteString("2026/11/22 11:2"); err != nil {
		t.Fatal(err)
	}
	l.torn = true // what a write that ran into a full disk leaves
	l.Logger().Info("whole")
	lines := strings.Split(read(t, filepath.Join(dir, "cluster.log")), "\n")
	if len(lines) != 3 || !anyLine.MatchString(lines[1]) {
		t.Errorf("got %q", lines)
	}
}

func TestLog_NothingToRotate(t *testing.T) {
	l, _ := open(t, func(o *Options) { o.Archive = "" })
	stop := run(t, l)
	stop()
}

var spoken = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d INFO: \[Worker w(\d+)\] \[Main\] line n=(\d+) pad=x{40,}$`)

// Many goroutines log while the file is rotated, reopened and compressed: each
// line must be there once, whole, and in the order its goroutine wrote it.
func TestLog_ManyWriteWhileItRotates(t *testing.T) {
	const writers, lines, rotations = 16, 500, 40
	l, dir := open(t)
	stop := run(t, l)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			log := l.Logger().With(Tag(fmt.Sprint("Worker w", w)))
			for n := range lines {
				log.Info("line", slog.Int("n", n), slog.String("pad", strings.Repeat("x", 40+n%400)))
			}
		})
	}
	wg.Go(func() {
		for i := range rotations {
			l.mu.Lock()
			l.boundary = midnightAfter(time.Now().AddDate(0, 0, -1)) // as if midnight had just passed
			l.mu.Unlock()
			l.Logger().Info("rotate")
			if i%7 == 0 {
				if err := l.Reopen(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	stop()
	if err := l.compressAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	day := time.Now().AddDate(0, 0, -1)
	packed := filepath.Join(dir, "cluster", day.Format("2006"), day.Format("Jan"), fmt.Sprintf("cluster.log-%02d.gz", day.Day()))
	text := unpack(t, packed) + read(t, filepath.Join(dir, "cluster.log"))
	next := make(map[string]int)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasSuffix(line, "] rotate") {
			continue
		}
		part := spoken.FindStringSubmatch(line)
		if part == nil {
			t.Fatalf("torn: %q", line)
		}
		if got := fmt.Sprint(next[part[1]]); got != part[2] {
			t.Fatalf("writer %s: line %s where %s should be", part[1], part[2], got)
		}
		next[part[1]]++
	}
	for w := range writers {
		if n := next[fmt.Sprint(w)]; n != lines {
			t.Errorf("writer %d: %d lines, want %d", w, n, lines)
		}
	}
	only(t, dir, "cluster", "cluster.log")
}
