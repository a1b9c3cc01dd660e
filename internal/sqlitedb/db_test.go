package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testAppID = 0x7e57

var testSchema = []string{
	`CREATE TABLE pet(name TEXT PRIMARY KEY, legs INTEGER) WITHOUT ROWID`,
	`CREATE TABLE owner(name TEXT PRIMARY KEY, pet TEXT NOT NULL REFERENCES pet(name)) WITHOUT ROWID`,
}

func testOptions(t *testing.T) Options {
	return Options{
		Path:       filepath.Join(t.TempDir(), "pets.db"),
		Migrations: testSchema,
		AppID:      testAppID,
	}
}

// mustOpen opens a database that is closed when the test ends.
func mustOpen(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func addPet(t *testing.T, db *DB, name string) {
	t.Helper()
	err := db.Write(t.Context(), func(c *Conn) error {
		return Exec(c, `INSERT INTO pet VALUES(?1, ?2)`, name, 4)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func countPets(t *testing.T, db *DB) int {
	t.Helper()
	n := -1
	err := db.Read(t.Context(), func(c *Conn) error {
		return Select(c, `SELECT count(*) FROM pet`, func(s *Stmt) error {
			n = s.ColumnInt(0)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWrite_IsWhollyThereOrNotAtAll(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		fn   func(*Conn) error
		want int
		err  error
	}{
		{"committed", func(*Conn) error { return nil }, 1, nil},
		{"refused by the caller", func(*Conn) error { return boom }, 0, boom},
		{"duplicate key", func(c *Conn) error {
			return Exec(c, `INSERT INTO pet VALUES('cat', 4)`)
		}, 0, nil},
		{"foreign key of nobody", func(c *Conn) error {
			return Exec(c, `INSERT INTO owner VALUES('ann', 'dog')`)
		}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := mustOpen(t, testOptions(t))
			err := db.Write(t.Context(), func(c *Conn) error {
				if err := Exec(c, `INSERT INTO pet VALUES('cat', 4)`); err != nil {
					return err
				}
				return tt.fn(c)
			})
			if tt.want == 1 != (err == nil) {
				t.Errorf("error is %v", err)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error is %v, want %v", err, tt.err)
			}
			if n := countPets(t, db); n != tt.want {
				t.Errorf("%d pets, want %d", n, tt.want)
			}
			addPet(t, db, "afterwards") // the connection is usable again
		})
	}
}

func TestWrite_PanicRollsBackAndGivesTheConnectionBack(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		err := db.Write(t.Context(), func(c *Conn) error {
			if err := Exec(c, `INSERT INTO pet VALUES('cat', 4)`); err != nil {
				return err
			}
			panic("caller's mistake")
		})
		t.Errorf("Write returned %v", err)
	}()
	if n := countPets(t, db); n != 0 {
		t.Errorf("%d pets, want 0", n)
	}
	addPet(t, db, "dog")
}

func TestRead_SeesOneStateAndCannotWrite(t *testing.T) {
	db := mustOpen(t, testOptions(t))
	addPet(t, db, "cat")
	err := db.Read(t.Context(), func(c *Conn) error {
		count := func() (n int, err error) {
			err = Select(c, `SELECT count(*) FROM pet`, func(s *Stmt) error {
				n = s.ColumnInt(0)
				return nil
			})
			return n, err
		}
		before, err := count()
		if err != nil {
			return err
		}
		addPet(t, db, "dog")
		after, err := count()
		if before != 1 || after != 1 {
			t.Errorf("the reader saw %d, then %d pets", before, after)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := countPets(t, db); n != 2 {
		t.Errorf("%d pets, want 2", n)
	}
	err = db.Read(t.Context(), func(c *Conn) error { return Exec(c, `DELETE FROM pet`) })
	if !errors.Is(err, ErrReadOnly) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("writing through a reader: %v", err)
	}
}

func TestContext_StopsAStatement(t *testing.T) {
	const forever = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n`
	db := mustOpen(t, testOptions(t))
	ops := map[string]func(context.Context, func(*Conn) error) error{"read": db.Read, "write": db.Write}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			err := op(ctx, func(c *Conn) error {
				if name == "write" {
					if err := Exec(c, `INSERT INTO pet VALUES('half', 2)`); err != nil {
						return err
					}
				}
				time.AfterFunc(5*time.Millisecond, cancel)
				return Exec(c, forever)
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			if n := countPets(t, db); n != 0 {
				t.Errorf("%d pets, want 0", n)
			}
			// And the connection works for the next one.
			if err := op(t.Context(), func(c *Conn) error { return Exec(c, `SELECT 1`) }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestContext_StopsWaitingForAConnection(t *testing.T) {
	o := testOptions(t)
	o.Readers = 1
	db := mustOpen(t, o)
	ops := map[string]func(context.Context, func(*Conn) error) error{"read": db.Read, "write": db.Write}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			err := op(t.Context(), func(*Conn) error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				defer cancel()
				return op(ctx, func(*Conn) error { return nil })
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestWrite_WaitsForAnotherProcessButNotForEver(t *testing.T) {
	o := testOptions(t)
	o.BusyTimeout = 300 * time.Millisecond // also for opening, on a busy machine
	db := mustOpen(t, o)
	o.Existing = true
	other := mustOpen(t, o) // its own connections and locks, as another process has
	nothing := func(*Conn) error { return nil }
	err := other.Write(t.Context(), func(*Conn) error {
		if err := db.Write(t.Context(), nothing); !errors.Is(err, ErrBusy) {
			t.Errorf("locked for longer than the time-out: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := db.Write(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("locked for longer than the caller's time: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), nothing); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
}

func TestClose_InterruptsWaitsAndRefuses(t *testing.T) {
	o := testOptions(t)
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.Write(context.Background(), func(c *Conn) error {
			close(started)
			return Exec(c, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n`)
		})
	}()
	<-started
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the running write ended with %v", err)
	}
	nothing := func(*Conn) error { return nil }
	if err := db.Write(t.Context(), nothing); !errors.Is(err, ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := db.Read(t.Context(), nothing); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if hasLog(o.Path) {
		t.Error("the log was not folded into the file")
	}
}

func TestOpen_GivesAllThreeFilesTheMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, mode := range []fs.FileMode{0, 0o600, 0o660} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			o := testOptions(t)
			o.Mode = mode
			db := mustOpen(t, o)
			addPet(t, db, "cat")
			want := mode
			if want == 0 {
				want = 0o640
			}
			for _, end := range []string{"", "-wal", "-shm"} {
				info, err := os.Stat(o.Path + end)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode() != want {
					t.Errorf("%q has mode %v, want %v", end, info.Mode(), want)
				}
			}
		})
	}
}

func TestOpen_SetsDurability(t *testing.T) {
	for sync, want := range map[Synchronous]int64{SyncNormal: 1, SyncFull: 2} {
		o := testOptions(t)
		o.Synchronous = sync
		db := mustOpen(t, o)
		err := db.Write(t.Context(), func(c *Conn) error {
			got, err := pragmaInt(c, "synchronous")
			if got != want {
				t.Errorf("synchronous is %d, want %d", got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
