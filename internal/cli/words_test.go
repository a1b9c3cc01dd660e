package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"testudo/internal/home"
)

func TestQuoteArg(t *testing.T) {
	for word, want := range map[string]string{
		"/var/ossec": "/var/ossec", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'", "~": "'~'", "blå": "'blå'",
	} {
		if got := quoteArg(word); got != want {
			t.Errorf("quoteArg(%q) = %s, want %s", word, got, want)
		}
	}
}

func TestSignalText(t *testing.T) {
	for signal, want := range map[syscall.Signal]string{
		syscall.SIGTERM: "SIGNAL [(15)-(SIGTERM)] received. Exit...",
		syscall.SIGINT:  "SIGINT received. Bye!",
	} {
		if got := signalText(signal); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got, want := oneLine("a: b\nc: d\x1b[2J\u009b\n"), "a: b; c: d?[2J?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Root's files of the node go to the account; what may lead elsewhere does not.
func TestHandOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the owner of files")
	}
	dir := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "shadow")
	write := func(name string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write(elsewhere)
	mine := write(filepath.Join(dir, "queue/db/cluster.db"))
	wal := write(filepath.Join(dir, "queue/db/cluster.db-wal"))
	lock := write(filepath.Join(dir, home.LockPath))
	other := write(filepath.Join(dir, "queue/db/mitre.db"))
	if err := os.Link(elsewhere, filepath.Join(dir, "queue/db/testudo-linked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "queue/db/testudo-link")); err != nil {
		t.Fatal(err)
	}
	if err := handOver(dir, identity{uid: 4711, gid: 4712}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{mine: 4711, wal: 4711, lock: 4711, other: 0, elsewhere: 0} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}
