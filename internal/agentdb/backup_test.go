package agentdb

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/agent"
)

// startHome is start in a directory like a home's.
func startHome(t *testing.T, b BackupOptions) *Store {
	t.Helper()
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, "queue", "db"), 0o750))
	return startAt(t, Options{Path: filepath.Join(home, "queue", "db", "global.db"), Backups: b})
}

func addAgent(t *testing.T, s *Store, id agent.ID, name string) {
	t.Helper()
	must(t, s.InsertAgent(t.Context(), NewAgent{ID: id, Name: name, DateAdd: 5}))
}

// noWork fails when something is left of making backups.
func noWork(t *testing.T, s *Store) {
	t.Helper()
	for _, dir := range []string{s.backupOptions().Dir, filepath.Dir(s.o.Path)} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(e.Name(), ".lock") {
				t.Errorf("left: %s", e.Name())
			}
		}
	}
}

func TestBackup_ThenRestore(t *testing.T) {
	s := startHome(t, BackupOptions{})
	addAgent(t, s, 1, "one")
	path, err := s.Backup(t.Context())
	must(t, err)
	name, ok := strings.CutPrefix(path, "backup/db/")
	if _, valid := backupDate(name); !ok || !valid {
		t.Errorf("path %q", path)
	}
	addAgent(t, s, 2, "two")
	must(t, s.Restore(t.Context(), name, true))
	if p, err := s.AllAgents(t.Context(), -1); err != nil || string(p.JSON) != `[{"id":0},{"id":1}]` {
		t.Errorf("%s, %v", p.JSON, err)
	}
	if _, ok := s.roster.get(2); ok {
		t.Error("the roster still knows agent 2")
	}
	select {
	case <-s.Replaced():
	default:
		t.Error("nobody is told")
	}
	addAgent(t, s, 3, "three") // writes go on
	names, err := s.Backups()
	must(t, err)
	if len(names) != 2 || !strings.Contains(strings.Join(names, " "), tagPreRestore) {
		t.Errorf("backups %v", names)
	}
	noWork(t, s)
	// What was there before is there again. The newest is the tagged one, or was
	// made in the same second.
	for _, n := range names {
		if strings.Contains(n, tagPreRestore) {
			must(t, s.Restore(t.Context(), n, false))
		}
	}
	if p, _ := s.AllAgents(t.Context(), 0); string(p.JSON) != `[{"id":1},{"id":2}]` {
		t.Errorf("%s", p.JSON)
	}
}

func TestRestore_Refuses(t *testing.T) {
	s := startHome(t, BackupOptions{})
	addAgent(t, s, 1, "one")
	for _, name := range []string{"", "nope", "../../queue/db/global.db"} {
		if err := s.Restore(t.Context(), name, false); !errors.Is(err, ErrNoBackup) {
			t.Errorf("%q: %v, want ErrNoBackup", name, err)
		}
	}
	path, err := s.Backup(t.Context())
	must(t, err)
	good := filepath.Join(s.backupOptions().Dir, filepath.Base(path))
	data, err := os.ReadFile(good)
	must(t, err)
	zip := func(text []byte) []byte {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		z.Write(text)
		z.Close()
		return []byte(b.String())
	}
	z, err := gzip.NewReader(strings.NewReader(string(data)))
	must(t, err)
	plain, err := io.ReadAll(z)
	must(t, err)
	spoilt := append([]byte{}, plain...)
	for i := 4096; i < len(spoilt); i += 7 {
		spoilt[i] ^= 0x55
	}
	bad := backupPrefix + "2099-01-01-00:00:00.gz"
	for what, content := range map[string][]byte{
		"not gzip": []byte("x"), "cut": data[:len(data)/2], "no database": zip([]byte("hello, hello, hello")),
		"empty": zip(nil), "half a database": zip(plain[:len(plain)/2]), "damaged": zip(spoilt),
	} {
		must(t, os.WriteFile(filepath.Join(s.backupOptions().Dir, bad), content, 0o600))
		if err := s.Restore(t.Context(), bad, false); err == nil {
			t.Errorf("%s: restored", what)
		}
		if p, err := s.AllAgents(t.Context(), 0); err != nil || string(p.JSON) != `[{"id":1}]` {
			t.Errorf("%s: afterwards %s, %v", what, p.JSON, err)
		}
	}
	noWork(t, s)
}

func TestRestore_WhatIsPutInPlaceDoesNotOpen(t *testing.T) {
	s := startHome(t, BackupOptions{})
	addAgent(t, s, 1, "one")
	fresh := filepath.Join(filepath.Dir(s.o.Path), "fresh")
	must(t, os.WriteFile(fresh, []byte("no database at all"), 0o600))
	old := filepath.Join(filepath.Dir(s.o.Path), "old")
	err := s.between(t.Context(), func(ctx context.Context) error {
		if err := s.reopen(ctx, func() error { return swap(s.o.Path, fresh, old) }); err == nil {
			return errors.New("opened")
		}
		return s.reopen(ctx, func() error { return replaceFile(old, s.o.Path) })
	})
	must(t, err)
	addAgent(t, s, 2, "two")
	if p, err := s.AllAgents(t.Context(), 0); err != nil || string(p.JSON) != `[{"id":1},{"id":2}]` {
		t.Errorf("%s, %v", p.JSON, err)
	}
}

func TestBackup_KeepsTheNewest(t *testing.T) {
	s := startHome(t, BackupOptions{MaxFiles: 2})
	dir := s.backupOptions().Dir
	must(t, os.MkdirAll(dir, 0o750))
	for _, name := range []string{"global.db-backup-2020-01-01-00:00:00.gz", "global.db-backup-2021-01-01-00:00:00-pre_upgrade.gz", "other.gz"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	path, err := s.Backup(t.Context())
	must(t, err)
	names, err := s.Backups()
	must(t, err)
	if len(names) != 2 || names[0] != "global.db-backup-2021-01-01-00:00:00-pre_upgrade.gz" || names[1] != filepath.Base(path) {
		t.Error(names)
	}
	if _, err := os.Stat(filepath.Join(dir, "other.gz")); err != nil {
		t.Error(err)
	}
}

func TestRunBackups_OnceUntilDue(t *testing.T) {
	s := startHome(t, BackupOptions{})
	o := s.backupOptions()
	must(t, os.MkdirAll(filepath.Join(o.Dir, ".backup-1"), 0o750))
	if wait := s.backupWait(o); wait > 0 {
		t.Errorf("wait %s without a backup", wait)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.RunBackups(ctx) }()
	for names, _ := s.Backups(); len(names) == 0; names, _ = s.Backups() {
		if ctx.Err() != nil {
			t.Fatal("no backup")
		}
	}
	cancel()
	must(t, <-ended)
	if wait := s.backupWait(o); wait < o.Interval-time.Minute {
		t.Errorf("wait %s after a backup", wait)
	}
	noWork(t, s)
}

func TestVacuum_TakesDownItsResult(t *testing.T) {
	s := startHome(t, BackupOptions{})
	insert(t, s, 2000)
	for id := agent.ID(1); id < 2000; id += 40 {
		must(t, s.DeleteAgent(t.Context(), id))
	}
	must(t, s.write(t.Context(), false, func(tx *tx) error {
		tx.reloadRoster()
		return tx.exec("DELETE FROM agent WHERE id BETWEEN 500 AND 1500")
	}))
	_, free, err := s.Fragmentation(t.Context())
	must(t, err)
	after, err := s.Vacuum(t.Context())
	must(t, err)
	got, left, err := s.Fragmentation(t.Context())
	must(t, err)
	if free == 0 || left != 0 || got < after-2 || got > after+2 {
		t.Errorf("free %d, then %d; fragmentation %d, then %d", free, left, after, got)
	}
	if rows := dump(t, s, "SELECT count(*) AS n FROM metadata WHERE key LIKE 'last_vacuum%'"); rows != `[{"n":2}]` {
		t.Error(rows)
	}
}
