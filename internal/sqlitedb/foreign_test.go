package sqlitedb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func foreignOptions(t *testing.T) Options {
	return Options{
		Path:     filepath.Join(t.TempDir(), "theirs.db"),
		Rollback: true,
		Setup: func(c *Conn) error {
			n := 0
			err := Select(c, `SELECT count(*) FROM sqlite_schema WHERE name = 'pet'`, func(s *Stmt) error {
				n = s.ColumnInt(0)
				return nil
			})
			if err != nil || n == 1 {
				return err
			}
			return Exec(c, `CREATE TABLE pet(name TEXT PRIMARY KEY, legs INTEGER)`)
		},
	}
}

func TestSetup_LeavesAFileAsOthersKnowIt(t *testing.T) {
	o := foreignOptions(t)
	for range 2 { // made, then found
		db, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.WriteSync(t.Context(), SyncFull, func(c *Conn) error {
			return Exec(c, `INSERT INTO pet VALUES(hex(randomblob(4)), 4)`)
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, beside := range []string{"-wal", "-shm", "-journal"} {
			if _, err := os.Stat(o.Path + beside); err == nil {
				t.Errorf("a file %s is left", beside)
			}
		}
	}
	head := make([]byte, 100)
	f, err := os.Open(o.Path)
	if err == nil {
		_, err = f.Read(head)
		err = errors.Join(err, f.Close())
	}
	if err != nil || head[18] != 1 || head[19] != 1 {
		t.Errorf("format %d/%d, %v", head[18], head[19], err)
	}
	db := mustOpen(t, o)
	if n := countPets(t, db); n != 2 {
		t.Errorf("%d pets, want 2", n)
	}
}

func TestSetup_RefusalLeavesTheFile(t *testing.T) {
	o := foreignOptions(t)
	mustOpen(t, o)
	o.Setup = func(c *Conn) error {
		if err := Exec(c, `DROP TABLE pet`); err != nil {
			return err
		}
		return ErrSchema
	}
	if db, err := Open(t.Context(), o); !errors.Is(err, ErrSchema) {
		t.Fatal(db, err)
	}
	countPets(t, mustOpen(t, foreignOptions(t)))
}

func TestWriteSync_EachLevel(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	for i, level := range []Synchronous{SyncFull, SyncFull, SyncNormal, SyncFull} {
		err := db.WriteSync(t.Context(), level, func(c *Conn) error {
			n, err := pragmaInt(c, "synchronous")
			if want := map[Synchronous]int64{SyncNormal: 1, SyncFull: 2}[level]; n != want {
				t.Errorf("write %d has level %d, want %d", i, n, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAlone(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	if err := db.Alone(t.Context(), func(c *Conn) error { return Exec(c, "VACUUM") }); err != nil {
		t.Error(err)
	}
	if err := db.Alone(t.Context(), func(c *Conn) error { return Exec(c, "BEGIN") }); err != nil {
		t.Error(err)
	}
	addPet(t, db, "cat") // the transaction left open does not matter
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Alone(ctx, func(*Conn) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	tests := map[string]string{
		`INSERT INTO pet VALUES('cat', 3)`: "UNIQUE constraint failed: pet.name",
		`SELECT 1 FROM nowhere`:            "no such table: nowhere",
		`SELEC`:                            `near "SELEC": syntax error`,
	}
	addPet(t, db, "cat")
	for query, want := range tests {
		err := db.Write(t.Context(), func(c *Conn) error { return Exec(c, query) })
		if got := Text(err); got != want {
			t.Errorf("%s: %q, want %q (%v)", query, got, want, err)
		}
	}
	if Text(nil) != "" || IsConstraint(nil) || IsFull(nil) {
		t.Error("nil has a meaning")
	}
}

func TestGuard(t *testing.T) {
	o := testOptions(t)
	db := mustOpen(t, o)
	allowed := []string{
		`SELECT count(*) FROM pet`, `PRAGMA table_info(pet)`, `PRAGMA user_version`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10) SELECT sum(i) FROM n`,
	}
	denied := []string{
		`ATTACH '` + o.Path + `2' AS other`, `DETACH main`, `PRAGMA query_only = OFF`, `PRAGMA user_version = 7`,
		`PRAGMA journal_mode = DELETE`, `COMMIT`, `SAVEPOINT x`, `SELECT randomblob(100000000)`,
		`PRAGMA writable_schema = ON`, `SELECT load_extension('x')`, `INSERT INTO pet VALUES('x', 1)`,
	}
	try := func(query string) error {
		return db.Read(t.Context(), func(c *Conn) error {
			return Guard(c, func() error { return Exec(c, query) })
		})
	}
	for _, q := range allowed {
		if err := try(q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
	for _, q := range denied {
		if err := try(q); err == nil {
			t.Errorf("%s is allowed", q)
		}
	}
	if _, err := os.Stat(o.Path + "2"); err == nil {
		t.Error("another database was made")
	}
	addPet(t, db, "afterwards")
}
