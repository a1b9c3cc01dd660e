package screen

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// terminal is a screen that takes its writer for a terminal of 60 columns.
func terminal(out *bytes.Buffer) *Screen {
	return &Screen{w: out, terminal: true, width: func() int { return 60 }}
}

func TestScreen_LinesGoAboveTheRegion(t *testing.T) {
	var out bytes.Buffer
	s := terminal(&out)
	s.Live("one\ntwo")
	s.Live("one\ntwo\n") // nothing new
	s.Linef("event %d", 1)
	s.Leave()
	s.Linef("after")
	const up2 = "\x1b[2A\r\x1b[J"
	want := "one\ntwo\n" + up2 + "event 1\none\ntwo\n" + "after\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScreen_WithoutTerminalOnlyLines(t *testing.T) {
	var out bytes.Buffer
	s := New(&out)
	s.Live("a table")
	s.Linef("a line")
	if got, want := out.String(), "a line\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Terminal() || s.Width() != 0 {
		t.Error("a buffer was taken for a terminal")
	}
}

// Names and reasons come from other machines and must not steer the terminal.
func TestScreen_NothingSteersTheTerminal(t *testing.T) {
	const evil = "a\x1b[2Jb\x07c\u009bd\re"
	var out bytes.Buffer
	New(&out).Linef("%s", evil)
	if got, want := out.String(), "a?[2Jb?c?d?e\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := Table([]Column{{Title: "x"}}, [][]string{{evil + "\nf"}}, 0)
	if !strings.Contains(got, "a?[2Jb?c?d?e f") {
		t.Errorf("got %q", got)
	}
}

func TestScreen_WriterGivesWholeLines(t *testing.T) {
	var out bytes.Buffer
	s := terminal(&out)
	if _, err := s.Write([]byte("a\nb\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "a\nb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	columns := []Column{{Title: "node"}, {Title: "files", Right: true}}
	rows := [][]string{{"master", "7"}, {"w1", "1000"}}
	got := Table(columns, rows, 0)
	for _, want := range []string{" node    files", " master      7", " w1       1000"} {
		if !strings.Contains(got, want+"\n") && !strings.Contains(got, want+" \n") {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	if !strings.HasSuffix(got, "\n") || strings.HasSuffix(got, "\n\n") {
		t.Errorf("does not end with one line break: %q", got)
	}
}

func TestTable_CutToWidth(t *testing.T) {
	got := Table([]Column{{Title: "file"}}, [][]string{{strings.Repeat("x", 200)}}, 40)
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 40 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}

func TestProgress_LinesEachFewSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := New(&out).Progress("starting", 4, Pieces)
		for range 4 {
			time.Sleep(2 * time.Second) // of the bubble's clock
			p.Add(1)
		}
		p.Done()
		want := "starting: 2 of 4 (50%), about 4s left\nstarting: 4 of 4 (100%)\nstarting: 4 in 8.0s\n"
		if got := out.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestProgress_ShortWorkIsSilentInALog(t *testing.T) {
	var out bytes.Buffer
	p := New(&out).Progress("starting", 2, Pieces)
	p.Set(2)
	p.Done()
	if out.Len() > 0 {
		t.Errorf("got %q", out.String())
	}
}

func TestProgress_BarOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := terminal(&out).Progress("sending", 4<<20, Bytes)
		p.Set(1 << 20)
		p.Set(2 << 20) // too soon to be drawn
		time.Sleep(drawEvery)
		p.Set(3 << 20)
		p.Done()
		got := out.String()
		for _, want := range []string{
			"sending ███████░░░░░░░░░░░░░░░░░░░░░ 1.0 MiB of 4.0 MiB (25", "█████████████████████░░░░░░░ 3.0 MiB", "sending: 3.0 MiB in 0.1s\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
		if strings.Contains(got, "2.0 MiB") {
			t.Errorf("drawn too often: %q", got)
		}
	})
}

func TestProgress_Nil(t *testing.T) {
	var p *Progress
	p.Add(1)
	p.Set(2)
	p.Done()
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 100 << 20: "100.0 MiB", 3 << 40: "3.0 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
