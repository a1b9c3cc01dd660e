package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

// magic begins every SQLite database of at least one page.
const magic = "SQLite format 3\x00"

// Open opens the database, making the file and bringing its schema up to date
// unless o.Existing. The directory must exist. Errors: ErrNotDatabase,
// ErrDamaged, ErrForeign, ErrSchema, ErrBusy, fs.ErrNotExist and other errors of
// the file system; the context bounds the migrations.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = o.withDefaults()
	db, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, explain(ctx, err))
	}
	return db, nil
}

func open(ctx context.Context, o Options) (*DB, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := prepareFile(o); err != nil {
		return nil, err
	}
	db := newDB(o)
	if o.ReadOnly {
		if err := db.openSnapshot(ctx); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return db, nil
	}
	c, err := db.openWriter(ctx)
	if err != nil {
		db.stop() // there is no connection to close yet
		return nil, err
	}
	db.writer <- c
	return db, nil
}

// prepareFile makes the file when it may be made, with the mode that SQLite then
// copies to the files beside it, and refuses what is no database before SQLite
// touches it.
func prepareFile(o Options) error {
	if !o.Existing {
		f, err := os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, o.Mode)
		if err == nil {
			// The umask may have taken bits away.
			return errors.Join(f.Chmod(o.Mode), f.Close())
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", ErrNotDatabase)
	}
	if info.Size() == 0 {
		return nil
	}
	f, err := os.Open(o.Path)
	if err != nil {
		return err
	}
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	if err := errors.Join(ignoreShort(err), f.Close()); err != nil {
		return err
	}
	if string(head) != magic {
		return ErrNotDatabase
	}
	return nil
}

// ignoreShort drops the error of a file that ended early.
func ignoreShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// openWriter makes the one connection that writes.
func (db *DB) openWriter(ctx context.Context) (*Conn, error) {
	c, err := sqlite.OpenConn(db.o.Path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	if err := db.setUpWriter(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (db *DB) setUpWriter(ctx context.Context, c *Conn) error {
	// What follows takes locks: it must not wait for ever for another process.
	wait, cancel := context.WithTimeoutCause(ctx, db.o.BusyTimeout, ErrBusy)
	defer cancel()
	c.SetInterrupt(wait.Done())
	defer c.SetInterrupt(nil)

	err := db.setUpJournal(c)
	if err != nil {
		return explain(wait, err)
	}
	if db.o.Existing {
		return explain(wait, db.checkSchema(c))
	}
	if db.o.Setup != nil {
		return explain(wait, db.setUpForeign(c))
	}
	if err := db.checkOwner(c); err != nil {
		return explain(wait, err)
	}
	// A migration may take longer than a lock should.
	schema := sqlitemigration.Schema{Migrations: db.o.Migrations, AppID: db.o.AppID}
	if err := sqlitemigration.Migrate(ctx, c, schema); err != nil {
		return explain(ctx, err)
	}
	return nil
}

// setUpForeign runs Options.Setup in a transaction.
func (db *DB) setUpForeign(c *Conn) (err error) {
	end, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		return err
	}
	defer end(&err)
	return db.o.Setup(c)
}

func (db *DB) setUpJournal(c *Conn) error {
	if err := harden(c, writerCacheKiB); err != nil {
		return err
	}
	if !db.o.Existing {
		if err := useWAL(c); err != nil {
			return err
		}
	}
	if db.o.LogPages > 0 {
		if err := pragma(c, "wal_autocheckpoint", fmt.Sprint(db.o.LogPages)); err != nil {
			return err
		}
	}
	if err := pragma(c, "journal_size_limit", fmt.Sprint(walKeepBytes)); err != nil {
		return err
	}
	db.level = db.o.Synchronous
	return pragma(c, "synchronous", db.level.pragma())
}

// useWAL switches to the write-ahead log. SQLite answers with the journal mode
// in force, which differs from the one asked for where the log cannot work.
func useWAL(c *Conn) error {
	mode := ""
	err := sqlitex.ExecuteTransient(c, "PRAGMA journal_mode = WAL", &sqlitex.ExecOptions{
		ResultFunc: func(s *Stmt) error {
			mode = s.ColumnText(0)
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("use a write-ahead log: %w", err)
	}
	if !strings.EqualFold(mode, "wal") {
		return fmt.Errorf("use a write-ahead log: journal mode is %q", mode)
	}
	return nil
}

// checkOwner refuses a database of another application or of a later release of
// this one. An empty database belongs to whoever comes first.
func (db *DB) checkOwner(c *Conn) error {
	id, err := pragmaInt(c, "application_id")
	if err != nil {
		return err
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return err
	}
	tables, err := pragmaInt(c, "schema_version")
	if err != nil {
		return err
	}
	if int32(id) != db.o.AppID && (id != 0 || tables != 0) {
		return fmt.Errorf("%w: application id %#x instead of %#x", ErrForeign, id, db.o.AppID)
	}
	if version > int64(len(db.o.Migrations)) {
		return fmt.Errorf("%w: version %d, known are %d", ErrSchema, version, len(db.o.Migrations))
	}
	return nil
}

// checkSchema is checkOwner for a database that may not be migrated.
func (db *DB) checkSchema(c *Conn) error {
	if db.o.Setup != nil {
		return db.o.Setup(c)
	}
	if err := db.checkOwner(c); err != nil {
		return err
	}
	version, err := pragmaInt(c, "user_version")
	if err != nil {
		return err
	}
	if version < int64(len(db.o.Migrations)) {
		return fmt.Errorf("%w: version %d instead of %d", ErrSchema, version, len(db.o.Migrations))
	}
	return nil
}

// openSnapshot opens a database for reading and checks that it is the right one.
func (db *DB) openSnapshot(ctx context.Context) error {
	err := db.Read(ctx, db.checkSchema)
	if err == nil || !cannotOpen(err) || hasLog(db.o.Path) {
		return err
	}
	// Nobody has the database open and there is no log, but we may not make the
	// files that reading through a log needs (another user's directory). Nothing
	// changes then either: read the bare file.
	db.bare = true
	return db.Read(ctx, db.checkSchema)
}

func cannotOpen(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCantOpen, sqlite.ResultReadOnly, sqlite.ResultPerm:
		return true
	default:
		return false
	}
}

// hasLog reports whether a write-ahead log lies beside the database.
func hasLog(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}
