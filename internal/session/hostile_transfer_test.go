package session

// What a hostile or broken peer can do with strings, files and packages: the
// rows of docs/wire.md §11 by their number.

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/fault"
)

// plant puts a file below the home, which nobody may touch.
func (tab *table) plant(name, text string) {
	tab.t.Helper()
	path := filepath.Join(tab.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		tab.t.Fatal(err)
	}
}

func (tab *table) wantFile(name, text string) {
	tab.t.Helper()
	if got, err := os.ReadFile(filepath.Join(tab.home, name)); err != nil || string(got) != text {
		tab.t.Errorf("%s is %q now, %v", name, got, err)
	}
}

// outside are paths that are not a plain file of the peer's own directory.
var outside = []string{
	"/etc/client.keys", "etc/client.keys", "/../../../../tmp/x", "/queue/cluster/w1/../../../etc/client.keys",
	"/queue/cluster/w2/a.zip", "/queue/cluster/a.zip", "/queue/cluster/w1", "/queue/cluster/w1/", "/queue/cluster/w1/.", "/queue/cluster/w1/..",
	"/queue/cluster/w1/sub/a.zip", "/queue/cluster/w1//a.zip", "//queue/cluster/w1/a.zip", "/queue/cluster/./w1/a.zip",
	"/queue/cluster/w1/.hidden", "/queue/cluster/w1/a\x00.zip", "/queue/cluster/w1/a\n.zip", "/queue/cluster/w1/\xff", `/queue/cluster/w1/a\b`,
	"/queue/cluster/w1/" + strings.Repeat("a", 300), "", "/",
}

func TestHostile_Row08_NewFileOnlyInTheOwnDirectory(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.plant("etc/client.keys", "001 a any key")
	tab.plant("queue/cluster/w2/a.zip", "another's")
	for _, path := range outside {
		tab.p.Refused("new_file", path, ErrUploadPath.Error())
	}
	tab.wantFile("etc/client.keys", "001 a any key")
	tab.wantFile("queue/cluster/w2/a.zip", "another's")
	if n := len(tab.files()); n != 2 {
		t.Errorf("files: %v", tab.files())
	}
}

func TestHostile_Row08_ExistingFilesAndLinksStay(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.plant("etc/client.keys", "001 a any key")
	tab.plant("queue/cluster/w1/old.zip", "old")
	if err := os.Symlink("../../../etc/client.keys", filepath.Join(tab.home, "queue/cluster/w1/link.zip")); err != nil {
		t.Fatal(err)
	}
	tab.p.Refused("new_file", "/queue/cluster/w1/old.zip", "file exists")
	tab.p.Refused("new_file", "/queue/cluster/w1/link.zip", "file exists")
	tab.wantFile("etc/client.keys", "001 a any key")
	tab.wantFile("queue/cluster/w1/old.zip", "old")
}

// A directory that has been replaced by a link out of the home is not followed.
func TestHostile_Row08_LinkedDirectory(t *testing.T) {
	tab := newTable(t, Config{})
	elsewhere := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tab.home, "queue/cluster"), 0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(tab.home, "queue/cluster/w1")); err != nil {
		t.Fatal(err)
	}
	tab.run()
	tab.p.Refused("new_file", upload, `"code": 1000`)
	if left, _ := os.ReadDir(elsewhere); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestHostile_Row09_EndOfAPackageTouchesOnlyUploads(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, path := range append([]string{"queue/cluster/w1/planted.zip"}, outside...) {
			tab := newTable(t, Config{}).run(taking(time.Hour, make(chan received, 2), open()))
			tab.plant("etc/client.keys", "001 a any key")
			tab.plant("queue/cluster/w2/a.zip", "another's")
			tab.plant("queue/cluster/w1/planted.zip", "not uploaded")
			tab.plant("queue/cluster/w1/planted.zipdir/a", "not unpacked")
			task, want := "no-such-task", `"code": 3027`
			if known {
				task, want = tab.p.OK("syn_i_w_m", ""), `"code": 1000`
			}
			tab.p.Refused("syn_i_w_m_e", task+" "+path, want)
			tab.wantFile("etc/client.keys", "001 a any key")
			tab.wantFile("queue/cluster/w2/a.zip", "another's")
			tab.wantFile("queue/cluster/w1/planted.zip", "not uploaded")
			tab.wantFile("queue/cluster/w1/planted.zipdir/a", "not unpacked")
		}
	}
}

func TestHostile_Row09_UploadForAnUnknownTaskIsRemoved(t *testing.T) {
	tab := newTable(t, Config{}).run(taking(time.Hour, make(chan received, 1), open()))
	tab.p.Refused("syn_i_w_m_e", "no-such-task "+uploaded(tab.p, "a.zip", "x"), `"extra_message": "no-such-task"`)
	if left := tab.files(); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestHostile_Row10_OpenUploadsAreBounded(t *testing.T) {
	t.Run("number", func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{Uploads: 3}}).run()
		for i := range 3 {
			tab.p.OK("new_file", fmt.Sprintf("/queue/cluster/w1/%d.zip", i))
		}
		tab.p.Refused("new_file", "/queue/cluster/w1/more.zip", ErrTooMuch.Error())
		// One that is whole and that nobody asked for makes room.
		tab.p.OK("file_end", "/queue/cluster/w1/1.zip "+digest(""))
		tab.p.OK("new_file", "/queue/cluster/w1/more.zip")
		if n := len(tab.files()); n != 3 {
			t.Errorf("files: %v", tab.files())
		}
	})
	t.Run("size", func(t *testing.T) {
		tab := newTable(t, Config{Limits: Limits{UploadBytes: 1000}}).run()
		tab.p.OK("new_file", upload)
		tab.p.OK("file_upd", upload+" "+strings.Repeat("x", 1000))
		tab.p.Refused("file_upd", upload+" x", ErrTooMuch.Error())
		if left := tab.files(); len(left) != 0 {
			t.Errorf("left on disk: %v", left)
		}
	})
	t.Run("age", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{Limits: Limits{UploadAge: time.Minute}}).run()
			tab.p.OK("new_file", upload)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if left := tab.files(); len(left) != 0 {
				t.Errorf("left on disk: %v", left)
			}
		})
	})
	t.Run("same path twice", func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		tab.p.OK("new_file", upload)
		tab.p.Refused("new_file", upload, "file exists")
		tab.p.OK("file_upd", upload+" x")
		tab.p.OK("file_end", upload+" "+digest("x"))
	})
	t.Run("disconnect", func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		tab.p.OK("new_file", upload)
		tab.p.Close()
		_ = tab.end()
		if left := tab.files(); len(left) != 0 {
			t.Errorf("left on disk: %v", left)
		}
	})
}

func TestHostile_Row11_StringsAreBounded(t *testing.T) {
	t.Run("size", func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		for _, size := range []string{"268435457", "4294967296", "4611686018427387903", "18446744073709551615"} {
			tab.p.Refused("new_str", size, `"code": 1000`)
		}
		if got := allocated(func() { tab.p.OK("new_str", "268435456") }); got > 1<<20 {
			t.Errorf("%d bytes allocated for an announcement", got)
		}
		tab.p.Refused("new_str", "1", ErrTooMuch.Error()) // all together
	})
	t.Run("number", func(t *testing.T) {
		tab := newTable(t, Config{}).run()
		for range DefaultLimits().Strings {
			tab.p.OK("new_str", "0")
		}
		tab.p.Refused("new_str", "0", ErrTooMuch.Error())
	})
	t.Run("age", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			tab := newTable(t, Config{}).run()
			for range 3 {
				for range DefaultLimits().Strings {
					id := tab.p.OK("new_str", "5")
					tab.p.OK("str_upd", id+" whole")
				}
				tab.p.Refused("new_str", "0", ErrTooMuch.Error())
				time.Sleep(20 * time.Minute)
			}
		})
	})
}

func TestHostile_Row12_StringMustBeWhole(t *testing.T) {
	tab := newTable(t, Config{}).run()
	id := tab.p.OK("new_str", "10")
	tab.p.OK("str_upd", id+" 12345")
	if _, err := tab.TakeString(id); !errors.Is(err, ErrIncomplete) {
		t.Errorf("%v, want %v", err, ErrIncomplete)
	}
	tab.p.OK("str_upd", id+" 67890")
	if got, err := tab.TakeString(id); err != nil || string(got) != "1234567890" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostile_Row25_OneTaskOfAKind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		got, release := make(chan received, 2000), make(chan struct{})
		tab := newTable(t, Config{}).run(taking(time.Hour, got, release))
		for range 1000 {
			tab.p.OK("syn_i_w_m", "")
		}
		synctest.Wait()
		tab.inbound.mu.Lock()
		if k := tab.inbound.open["syn_i_w_m"]; len(tab.inbound.open) != 1 || k.now == nil || k.next == nil {
			t.Errorf("%d kinds open, %+v", len(tab.inbound.open), k)
		}
		tab.inbound.mu.Unlock()
		tab.p.Close()
		close(release)
		_ = tab.end()
		if n := len(got); n != 2 {
			t.Errorf("%d tasks ran, want the first and the last", n)
		}
	})
}

func TestHostile_Row26_CancelledTasksAreNotKept(t *testing.T) {
	tab := newTable(t, Config{}).run()
	text := string(fault.New(fault.ReceiveTimeout, nil).JSON())
	for i := range 1000 {
		tab.p.OK("cancel_task", fmt.Sprint(i)+" "+text)
	}
	tab.sendings.mu.Lock()
	defer tab.sendings.mu.Unlock()
	if n := len(tab.sendings.open); n != 0 {
		t.Errorf("%d tasks kept", n)
	}
	if n := strings.Count(tab.lines.String(), "no task_id was received"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
}

func TestHostile_Row32_PeerTextInTheLogIsQuoted(t *testing.T) {
	tab := newTable(t, Config{}).run(taking(time.Hour, make(chan received, 1), open()))
	forged := "x\n2026/11/22 11:29:01 ERROR: [Master] forged \x1b[31m\x00"
	for _, send := range []func(){
		func() { tab.p.Ask("a\nb\x1bc", "") },
		func() { tab.p.Ask("cancel_task", "None "+string(fault.New(fault.Unspecified, forged).JSON())) },
		func() { tab.p.Ask("syn_i_w_m_r", "None "+string(fault.New(fault.Unspecified, forged).JSON())) },
		func() { tab.p.Ask("syn_i_w_m_r", "None "+forged) },
		func() { tab.p.Ask("new_str", forged) },
		func() { tab.p.Ask("syn_i_w_m_e", forged+" "+forged) },
		func() { tab.p.Ask(introduce, forged) },
	} {
		send()
	}
	records := strings.Split(strings.TrimSpace(tab.lines.String()), "\n")
	for _, record := range records {
		if !strings.HasPrefix(record, "time=") || strings.ContainsAny(record, "\x00\x1b\r") {
			t.Errorf("record %q", record)
		}
		// The handler of these tests escapes, too; what it was given must have
		// been harmless before.
		if strings.Contains(record, `\n2026`) && !strings.Contains(record, `\\n2026`) {
			t.Errorf("the line was given raw: %q", record)
		}
	}
	if !strings.Contains(tab.lines.String(), "forged") {
		t.Error("nothing was logged at all")
	}
}

func TestHostile_Row32_LogIsNotFilled(t *testing.T) {
	tab := newTable(t, Config{}).run()
	tab.lines.SetLevel(slog.LevelInfo)
	for i := range 1000 {
		tab.p.Ask(fmt.Sprint("cmd", i), "")
		tab.p.Ask("new_str", fmt.Sprint("x", i))
		tab.p.Ask("cancel_task", "None "+string(fault.New(fault.Unspecified, fmt.Sprint(i)).JSON()))
	}
	if n := strings.Count(tab.lines.String(), "\n"); n > mostRefusals+1 {
		t.Errorf("%d lines", n)
	}
}
