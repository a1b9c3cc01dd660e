package filestate

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/sqlitedb"
)

func TestOpen_ReplacesAnUnusableFile(t *testing.T) {
	foreign := func(change func(*sqlitedb.Options)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			o := options(path)
			change(&o)
			db, err := sqlitedb.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]func(*testing.T, string){
		"text": func(t *testing.T, path string) { mustWrite(t, path, strings.Repeat("no database\n", 1000)) },
		"cut in the middle": func(t *testing.T, path string) {
			s := mustOpen(t, path)
			s.Set("w1", tree(1000, Pending, "a"))
			mustClose(t, s)
			if err := os.Truncate(path, 8*4096); err != nil {
				t.Fatal(err)
			}
		},
		"directory": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o750); err != nil {
				t.Fatal(err)
			}
		},
		"other application":  foreign(func(o *sqlitedb.Options) { o.AppID++ }),
		"of a later release": foreign(func(o *sqlitedb.Options) { o.Migrations = append(o.Migrations, `CREATE TABLE later(x)`) }),
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			spoil(t, path)
			log, buf := logged()
			s := mustOpenLogged(t, path, log)
			s.Set("w1", tree(10, Pending, "a"))
			mustFlush(t, s)
			if n := len(mustQuery(t, path, Filter{})); n != 10 {
				t.Errorf("%d rows, want 10", n)
			}
			aside := asides(t, path)
			if len(aside) != 1 || !strings.Contains(buf.String(), aside[0]) || !strings.Contains(buf.String(), "level=WARN") {
				t.Errorf("moved to %q, log: %s", aside, buf)
			}
		})
	}
}

func TestOpen_KeepsTwoDamagedFiles(t *testing.T) {
	path := newPath(t)
	for i := range 5 {
		mustWrite(t, path, fmt.Sprintf("damage %d", i))
		for _, end := range []string{"-wal", "-shm"} {
			mustWrite(t, path+end, "damage too")
		}
		if _, err := moveAside(path, at(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := asides(t, path); len(got) != damagedKept {
		t.Error(got)
	}
	if data, err := os.ReadFile(asides(t, path)[1]); string(data) != "damage 4" {
		t.Error(string(data), err)
	}
}

// asides lists the databases that were moved aside.
func asides(t *testing.T, path string) (out []string) {
	t.Helper()
	all, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") {
			out = append(out, name)
		}
	}
	return out
}

func mustWrite(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestStore_ReplacesAFileDamagedWhileItRuns(t *testing.T) {
	path := newPath(t)
	log, buf := logged()
	s := mustOpenLogged(t, path, log)
	s.Set("w1", tree(3000, Pending, "a"))
	mustFlush(t, s)
	// Reading again from the file, without the log that holds everything so far.
	if err := s.database().Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, strings.Repeat("\x55", int(info.Size())))
	s.Set("w1", tree(3000, Synchronized, "a"))
	s.SetNode(NodeState{Node: "w1", Role: "worker"})
	mustFlush(t, s)
	if n := len(mustQuery(t, path, Filter{State: Synchronized})); n != 3000 {
		t.Errorf("%d rows, want 3000", n)
	}
	if len(asides(t, path)) != 1 || s.Epoch() != 1 {
		t.Errorf("nothing was moved aside, epoch %d; log: %s", s.Epoch(), buf)
	}
}

func TestStore_TriesAgainWhatCouldNotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db", "cluster.db")
	mkdir := func() {
		if err := os.Mkdir(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	mkdir()
	log, buf := logged()
	s := mustOpenLogged(t, path, log)
	if err := s.database().Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	s.Set("w1", tree(10, Pending, "a"))
	s.SetNode(NodeState{Node: "w1", Role: "worker"})
	for range 3 {
		if err := s.Flush(t.Context()); err == nil {
			t.Fatal("written into a directory that is gone")
		}
	}
	if s.Waiting() != 1 {
		t.Error("what could not be written was dropped")
	}
	s.Set("w1", tree(20, Pending, "a")) // newer than what failed
	mkdir()
	mustFlush(t, s)
	if n := len(mustQuery(t, path, Filter{})); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
	nodes, err := Nodes(t.Context(), path)
	if len(nodes) != 1 || nodes[0].Role != "worker" || err != nil {
		t.Error(nodes, err)
	}
	mustClose(t, s)
	if got := strings.Count(buf.String(), "level=ERROR"); got != 1 {
		t.Errorf("%d error lines, want 1:\n%s", got, buf)
	}
}

func TestOpen_ModeOfTheFile(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Error(info.Mode(), err)
	}
}

const writerEnv = "FILESTATE_WRITE_UNTIL_KILLED"

// writeUntilKilled is the child of TestStore_SurvivesKill.
func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := Open(ctx, path, nil)
	for i := 0; err == nil; i++ {
		s.Set("w1", tree(2200+i%7*100, States()[i%4], fmt.Sprint(i)))
		s.SetNode(NodeState{Node: "w1", Files: i, Connected: true})
		err = s.Flush(ctx)
		fmt.Println("written", i)
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestStore_SurvivesKill(t *testing.T) {
	path := newPath(t)
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range round%3 + 1 {
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), "written") {
				t.Errorf("the writer says %q", lines.Text())
			}
		}
		pause := time.NewTimer(time.Duration(round) * 5 * time.Millisecond) // somewhere in the next write
		<-pause.C
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the writer was not killed")
		}
	}
	log, buf := logged()
	s := mustOpenLogged(t, path, log)
	if err := s.database().QuickCheck(t.Context()); err != nil {
		t.Error(err)
	}
	s.Set("w1", tree(100, Synchronized, "end"))
	mustFlush(t, s)
	if n := len(mustQuery(t, path, Filter{State: Synchronized})); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if buf.Len() > 0 {
		t.Errorf("log: %s", buf)
	}
}
