package logging

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log in a fresh directory.
func open(t *testing.T, change ...func(*Options)) (*Log, string) {
	t.Helper()
	dir := t.TempDir()
	o := Options{Path: filepath.Join(dir, "cluster.log"), Archive: filepath.Join(dir, "cluster"), UID: -1, GID: -1}
	for _, c := range change {
		c(&o)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, dir
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func messages(text string) (list []string) {
	for line := range strings.Lines(text) {
		list = append(list, strings.TrimSuffix(line[strings.LastIndex(line, "] ")+2:], "\n"))
	}
	return list
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLog_FileAndModes(t *testing.T) {
	l, dir := open(t)
	l.Logger().Info("hello")
	name := filepath.Join(dir, "cluster.log")
	want(t, messages(read(t, name)), "hello")
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("after the end")
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("reopen after close: %v", err)
	}
	want(t, messages(read(t, name)), "hello")
}

func TestOpen_AppendsAndRefuses(t *testing.T) {
	l, dir := open(t)
	l.Logger().Info("first")
	again, err := Open(l.o)
	if err != nil {
		t.Fatal(err)
	}
	again.Logger().Info("second")
	again.Close()
	want(t, messages(read(t, filepath.Join(dir, "cluster.log"))), "first", "second")
	if _, err := Open(Options{Path: filepath.Join(dir, "no", "such", "dir", "x.log")}); err == nil {
		t.Error("a log in a missing directory was opened")
	}
}

func TestOpen_LinkKeepsItsTargetsMode(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "cluster.log")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Path: link, UID: -1, GID: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, _ := os.Stat(target); info.Mode() != 0o600 {
		t.Errorf("mode of the target became %v", info.Mode())
	}
}

func TestLog_Reopen(t *testing.T) {
	l, dir := open(t)
	name := filepath.Join(dir, "cluster.log")
	l.Logger().Info("one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("two")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("three")
	want(t, messages(read(t, name+".1")), "one", "two")
	want(t, messages(read(t, name)), "three")
}

func TestLog_CountsRecords(t *testing.T) {
	var levels []string
	l, _ := open(t, func(o *Options) { o.Count = func(level string) { levels = append(levels, level) } })
	l.Logger().Info("a")
	l.Logger().Debug("too low")
	l.Logger().Error("b")
	want(t, levels, "INFO", "ERROR")
}
