package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOpen_SaysWhatIsWrongWithTheFile(t *testing.T) {
	write := func(data string) func(*testing.T, Options) {
		return func(t *testing.T, o Options) {
			if err := os.WriteFile(o.Path, []byte(data), 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
	made := func(change func(*Options)) func(*testing.T, Options) {
		return func(t *testing.T, o Options) {
			change(&o)
			db, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		before func(*testing.T, Options)
		want   error
		broken bool
	}{
		{"text", write(strings.Repeat("not a database ", 1000)), ErrNotDatabase, true},
		{"a few bytes", write("x"), ErrNotDatabase, true},
		{"only the first line of a database", write(magic), ErrNotDatabase, true},
		{"database of somebody else", made(func(o *Options) { o.AppID++ }), ErrForeign, false},
		{"tables without a mark", made(func(o *Options) { o.AppID = 0 }), ErrForeign, false},
		{"schema of a later release", made(func(o *Options) {
			o.Migrations = append(o.Migrations[:2:2], `CREATE TABLE later(x)`)
		}), ErrSchema, false},
		{"a directory", func(t *testing.T, o Options) {
			if err := os.Mkdir(o.Path, 0o750); err != nil {
				t.Fatal(err)
			}
		}, ErrNotDatabase, true},
		{"a pipe", func(t *testing.T, o Options) {
			if err := syscall.Mkfifo(o.Path, 0o640); err != nil {
				t.Fatal(err)
			}
		}, ErrNotDatabase, true},
		{"no directory", func(t *testing.T, o Options) {
			if err := os.Remove(filepath.Dir(o.Path)); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrNotExist, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(t)
			tt.before(t, o)
			db, err := Open(t.Context(), o)
			if err == nil {
				t.Fatal("opened", db.Close())
			}
			if !errors.Is(err, tt.want) || IsBroken(err) != tt.broken {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), o.Path) {
				t.Errorf("error does not name the file: %v", err)
			}
		})
	}
}

func TestOpen_TruncatedDatabaseIsDamaged(t *testing.T) {
	o := testOptions(t)
	db := mustOpen(t, o)
	err := db.Write(t.Context(), func(c *Conn) error {
		for i := range 5000 {
			if err := Exec(c, `INSERT INTO pet VALUES(?1, 4)`, fmt.Sprintf("pet number %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(o.Path, 5*4096); err != nil {
		t.Fatal(err)
	}
	db, err = Open(t.Context(), o)
	if err == nil {
		err = errors.Join(db.QuickCheck(t.Context()), db.Close())
	}
	if !errors.Is(err, ErrDamaged) || !IsBroken(err) {
		t.Errorf("error is %v", err)
	}
}

func TestOpen_MigratesStepByStep(t *testing.T) {
	o := testOptions(t)
	o.Migrations = testSchema[:1]
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	addPet(t, db, "cat")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o.Migrations = testSchema
	db = mustOpen(t, o)
	err = db.Write(t.Context(), func(c *Conn) error { return Exec(c, `INSERT INTO owner VALUES('ann', 'cat')`) })
	if err != nil {
		t.Error(err)
	}
}

func TestOpen_BrokenMigrationLeavesTheOldSchema(t *testing.T) {
	o := testOptions(t)
	o.Migrations = testSchema[:1]
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	broken := o
	broken.Migrations = append(broken.Migrations[:1:1], `CREATE TABLE half(x); CREATE TABLE pet(y)`)
	if db, err := Open(t.Context(), broken); err == nil {
		t.Fatal("opened", db.Close())
	}
	o.Existing = true
	db = mustOpen(t, o) // still version 1
	err = db.Read(t.Context(), func(c *Conn) error { return Exec(c, `SELECT * FROM half`) })
	if err == nil {
		t.Error("half a migration stayed")
	}
}

func TestOpen_Existing(t *testing.T) {
	o := testOptions(t)
	o.Existing = true
	if db, err := Open(t.Context(), o); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("absent file:", err, db)
	}
	if _, err := os.Stat(o.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the file was made:", err)
	}
	old := o
	old.Existing, old.Migrations = false, testSchema[:1]
	mustOpen(t, old)
	if db, err := Open(t.Context(), o); !errors.Is(err, ErrSchema) {
		t.Fatal("older schema:", err, db)
	}
	now := o
	now.Existing = false
	mustOpen(t, now)
	addPet(t, mustOpen(t, o), "cat")
}

func TestOpen_CancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if db, err := Open(ctx, testOptions(t)); !errors.Is(err, context.Canceled) {
		t.Error(err, db)
	}
}

func TestReadOnly_ReadsWhileAnotherWrites(t *testing.T) {
	o := testOptions(t)
	db := mustOpen(t, o)
	o.ReadOnly = true
	reader := mustOpen(t, o)
	addPet(t, db, "cat")
	if n := countPets(t, reader); n != 1 {
		t.Errorf("%d pets, want 1", n)
	}
	if err := reader.Write(t.Context(), func(*Conn) error { return nil }); !errors.Is(err, ErrReadOnly) {
		t.Errorf("write: %v", err)
	}
}

// A member of the home's group may read the database file and enter its
// directory, and write neither.
func TestReadOnly_WithoutWritePermission(t *testing.T) {
	const child = "SQLITEDB_READ_AS_NOBODY"
	if path := os.Getenv(child); path != "" {
		db := mustOpen(t, Options{Path: path, Migrations: testSchema, AppID: testAppID, ReadOnly: true})
		if n := countPets(t, db); n != 1 {
			t.Errorf("%d pets, want 1", n)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, err := os.MkdirTemp("/tmp", "sqlitedb")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t)
	o.Path, o.Mode = filepath.Join(dir, "odd %?#name.db"), 0o644
	asNobody := func(t *testing.T) {
		program := filepath.Join(dir, "test")
		data, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(program, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, "-test.run", "^TestReadOnly_WithoutWritePermission$")
		cmd.Env = append(os.Environ(), child+"="+o.Path)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	db := mustOpen(t, o)
	addPet(t, db, "cat")
	t.Run("while the owner runs", asNobody)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("after the owner ended", asNobody)
}

func TestBackup(t *testing.T) {
	o := testOptions(t)
	db := mustOpen(t, o)
	addPet(t, db, "cat")
	copied := filepath.Join(filepath.Dir(o.Path), "copy.db")
	for range 2 { // the second replaces the first
		if err := db.Backup(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
	}
	addPet(t, db, "later")
	o.Path, o.Existing = copied, true
	second := mustOpen(t, o)
	if n := countPets(t, second); n != 1 {
		t.Errorf("%d pets in the copy, want 1", n)
	}
	if err := second.QuickCheck(t.Context()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode() != 0o640 {
		t.Error(info.Mode(), err)
	}
}

func TestBackup_FailureLeavesNothing(t *testing.T) {
	o := testOptions(t)
	db := mustOpen(t, o)
	addPet(t, db, "cat")
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Backup(ctx, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "taken")); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}
