package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/slogtest"
	"time"
)

var noon = time.Date(2026, 11, 22, 11, 29, 1, 0, time.Local)

// line logs one record at noon and gives what was written.
func line(t *testing.T, json bool, level slog.Level, msg string, attrs ...slog.Attr) string {
	t.Helper()
	var out bytes.Buffer
	r := slog.NewRecord(noon, level, msg, 0)
	r.AddAttrs(attrs...)
	if err := NewHandler(&out, LevelDebug2, json).Handle(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type broken struct{ text string }

func (b *broken) Error() string { return b.text }

func TestHandler_TextLine(t *testing.T) {
	const head = "2026/11/22 11:29:01 "
	tests := []struct {
		name  string
		level slog.Level
		msg   string
		attrs []slog.Attr
		want  string
	}{
		{"as people search it", slog.LevelInfo, "Finished in 0.008s.", []slog.Attr{Tag("Worker w1"), Task("Integrity check")},
			"INFO: [Worker w1] [Integrity check] Finished in 0.008s."},
		{"no tag, no task", slog.LevelError, "Could not.", nil, "ERROR: [Cluster] [Main] Could not."},
		{"levels between", slog.LevelWarn + 1, "m", nil, "WARNING: [Cluster] [Main] m"},
		{"lowest level", LevelDebug2 - 3, "m", nil, "DEBUG2: [Cluster] [Main] m"},
		{"plain words stay bare", slog.LevelDebug, "m", []slog.Attr{slog.String("a", "b/c"), slog.Int("n", -3), slog.Bool("ok", true)},
			"DEBUG: [Cluster] [Main] m a=b/c n=-3 ok=true"},
		{"the rest is quoted", slog.LevelInfo, "m", []slog.Attr{slog.String("a", "x y"), slog.String("b", ""), slog.String("c", `"`),
			slog.String("d", "k=v"), slog.String("e", "é\n"), slog.String("f", `\n`), slog.String("g h", "'")},
			`INFO: [Cluster] [Main] m a="x y" b="" c="\"" d="k=v" e="é\n" f="\\n" "g h"="'"`},
		{"other kinds", slog.LevelInfo, "m", []slog.Attr{slog.Duration("took", 1500*time.Millisecond), slog.Uint64("u", 7), slog.Float64("f", 0.5),
			slog.Any("err", io.ErrUnexpectedEOF), slog.Any("nil", nil), slog.Any("raw", []byte("ab")), slog.Any("s", []int{1, 2})},
			`INFO: [Cluster] [Main] m took=1.5s u=7 f=0.5 err="unexpected EOF" nil=<nil> raw=ab s="[1 2]"`},
		{"groups", slog.LevelInfo, "m", []slog.Attr{slog.Group("g", slog.Int("a", 1), slog.Group("h", slog.Int("b", 2))), slog.Group("", slog.Int("c", 3))},
			"INFO: [Cluster] [Main] m g.a=1 g.h.b=2 c=3"},
		{"attributes called like the tag", slog.LevelInfo, "m", []slog.Attr{slog.String("tag", "Master"), slog.String("task", "Main")},
			"INFO: [Cluster] [Main] m tag=Master task=Main"},
		{"error that panics", slog.LevelInfo, "m", []slog.Attr{slog.Any("err", (*broken)(nil))},
			`INFO: [Cluster] [Main] m err="!PANIC *logging.broken"`},
		{"quotes of the message stay", slog.LevelInfo, `'b'hello'' "x" \`, nil, `INFO: [Cluster] [Main] 'b'hello'' "x" \`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got, want := line(t, false, tc.level, tc.msg, tc.attrs...), head+tc.want+"\n"; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// A peer's text must not begin a line, hide one or end a bracket.
func TestHandler_NothingForgesALine(t *testing.T) {
	const evil = "x] y\n2026/11/22 11:29:01 INFO: [Master] [Main] all well\r\x1b[2K\u202e\u2028\xff\x00"
	for _, json := range []bool{false, true} {
		got := line(t, json, slog.LevelInfo, evil, Tag(evil), Task(evil), slog.String(evil, evil), slog.Any("err", errors.New(evil)))
		if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
			t.Errorf("more than one line: %q", got)
		}
		for _, c := range "\r\x1b\x00" {
			if strings.ContainsRune(got, c) {
				t.Errorf("character %q reached the log", c)
			}
		}
	}
	got := line(t, false, slog.LevelInfo, evil, Tag(evil))
	if strings.ContainsAny(got, "\u202e\u2028") || strings.Contains(got, "\xff") {
		t.Error("an invisible character reached the log")
	}
	if want := `INFO: [x\x5d y\n2026/11/22 11:29:01 INFO: \x5bMaster\x5d \x5bMain\x5d all well\r\x1b\x5b2K\u202e\u2028\xff\x00] [Main] x] y\n2026`; !strings.Contains(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestHandler_LongTextIsCut(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for _, json := range []bool{false, true} {
		got := line(t, json, slog.LevelInfo, long, slog.String("v", long), slog.Any("err", errors.New(long)))
		if want := maxMessage + 2*maxValue + 300; len(got) > want {
			t.Errorf("json %v: %d bytes written, want at most %d", json, len(got), want)
		}
		if n := strings.Count(got, "…(+"); n != 3 {
			t.Errorf("json %v: %d cuts are shown, want 3", json, n)
		}
	}
}

func TestHandler_With(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(&out, slog.LevelInfo, false)).With(Tag("Master"), slog.Int("a", 1))
	inner := log.WithGroup("g").WithGroup("").With(Task("Integrity sync"), slog.Int("b", 2))
	inner.Info("inner", Tag("Worker w1"), slog.Int("c", 3))
	log.Info("outer")
	log.Debug("too low")
	lines := strings.Split(out.String(), "\n")
	if got, want := lines[0][20:], "INFO: [Worker w1] [Integrity sync] inner a=1 g.b=2 g.c=3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := lines[1][20:], "INFO: [Master] [Main] outer a=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(lines) != 3 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestHandler_LevelChangesWhileRunning(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	log := slog.New(NewHandler(&out, &level, false))
	log.Debug("no")
	level.Set(Level(1))
	log.Debug("yes")
	level.Set(Level(0))
	log.Debug("no")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "yes\n") {
		t.Errorf("got %q", got)
	}
	if Level(2) != LevelDebug2 || Level(3) != LevelDebug2 || Level(-1) != slog.LevelInfo {
		t.Error("debug flags give wrong levels")
	}
}

func TestHandler_JSONLine(t *testing.T) {
	got := line(t, true, slog.LevelWarn, `say "é"`, Tag("Worker w1"), slog.Int("n", 1), slog.Duration("took", time.Second),
		slog.Any("list", []string{"a"}), slog.Any("err", io.EOF), slog.Any("bad", func() {}), slog.Time("at", noon))
	var fields map[string]any
	if err := json.Unmarshal([]byte(got), &fields); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	delete(fields, "bad") // a pointer
	encoded, _ := json.Marshal(fields)
	stamp := noon.Format(timeFormat)
	want := `{"at":"` + stamp + `","err":"EOF","level":"WARNING","list":["a"],"msg":"say \"é\"","n":1,"tag":"Worker w1","task":"Main","time":"` + stamp + `","took":"1s"}`
	if string(encoded) != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
}

// The JSON form keeps the rules of slog, with dotted names for groups.
func TestHandler_JSONKeepsTheRulesOfSlog(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return NewHandler(&out, slog.LevelInfo, true)
	}, func(t *testing.T) map[string]any {
		var flat map[string]any
		if err := json.Unmarshal(out.Bytes(), &flat); err != nil {
			t.Fatal(err)
		}
		nested := map[string]any{}
		for name, value := range flat {
			at, path := nested, strings.Split(name, ".")
			for _, group := range path[:len(path)-1] {
				if at[group] == nil {
					at[group] = map[string]any{}
				}
				at = at[group].(map[string]any)
			}
			at[path[len(path)-1]] = value
		}
		return nested
	})
}

type countWrites struct {
	n    int
	last []byte
}

func (c *countWrites) Write(p []byte) (int, error) {
	c.n++
	c.last = append(c.last[:0], p...)
	return len(p), nil
}

func TestHandler_OneRecordIsOneWrite(t *testing.T) {
	var w countWrites
	log := slog.New(NewHandler(&w, slog.LevelInfo, false))
	log.Info(strings.Repeat("long ", 5000), "a", 1, "b", strings.Repeat("x y", 1000))
	if w.n != 1 || w.last[len(w.last)-1] != '\n' {
		t.Errorf("%d writes", w.n)
	}
}

func TestQuote(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "w1", "w1"},
		{"single quotes stay", "b'x' \"y\"", "b'x' \"y\""},
		{"print characters stay", "größe", "größe"},
		{"control characters", "a\nb\r\x00\x7f", `a\nb\r\x00\x7f`},
		{"backslash cannot fake an escape", `a\nb`, `a\\nb`},
		{"invisible", "a\u202eb\u00a0", `a\u202eb\u00a0`},
		{"not UTF-8", "a\xffb", `a\xffb`},
		{"256 characters fit", strings.Repeat("é", 256), strings.Repeat("é", 256)},
		{"257 do not", strings.Repeat("é", 257), strings.Repeat("é", 256) + "…"},
		{"long plain", strings.Repeat("x", 300), strings.Repeat("x", 256) + "…"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := Quote(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// The value of an attribute is escaped once, and no longer than a quoted text.
func TestCut(t *testing.T) {
	for in, want := range map[string]string{
		"w1": ` from=w1`, "a\nb": ` from="a\nb"`, `a\b`: ` from="a\\b"`,
		strings.Repeat("é", 256): ` from=` + strconv.Quote(strings.Repeat("é", 256)),
		strings.Repeat("é", 257): ` from=` + strconv.Quote(strings.Repeat("é", 256)+"…"),
		strings.Repeat("x", 300): ` from=` + strconv.Quote(strings.Repeat("x", 256)+"…"),
	} {
		if got := line(t, false, slog.LevelInfo, "m", slog.String("from", Cut(in))); !strings.HasSuffix(got, want+"\n") {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("m", "t", "k", "v")
	f.Add("a\nb", "]", "=", "\xff")
	f.Fuzz(func(t *testing.T, msg, tag, key, value string) {
		got := line(t, false, slog.LevelInfo, msg, Tag(tag), slog.String(key, value))
		if strings.Count(got, "\n") != 1 || !anyLine.MatchString(strings.TrimSuffix(got, "\n")) {
			t.Errorf("not one line of the log: %q", got)
		}
		if got := line(t, true, slog.LevelInfo, msg, Tag(tag), slog.String(key, value)); !json.Valid([]byte(got)) {
			t.Errorf("not JSON: %q", got)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	for _, form := range []struct {
		name string
		json bool
	}{{"text", false}, {"json", true}} {
		b.Run(form.name, func(b *testing.B) {
			log := slog.New(NewHandler(io.Discard, slog.LevelInfo, form.json)).With(Tag("Worker w1"), Task("Integrity check"))
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(context.Background(), slog.LevelInfo, "Finished.", slog.Int("files", 8), slog.String("state", "in step"))
			}
		})
	}
}
