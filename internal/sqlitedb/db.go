package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// DB is an open database. It is safe for use by many goroutines.
type DB struct {
	o    Options
	bare bool // read the file alone, without its log; set before the DB is shared

	// closing ends when Close begins, and with it every read and write that runs.
	closing context.Context
	stop    context.CancelFunc
	closed  sync.Once
	err     error // of Close

	writer  chan *Conn  // holds the writing connection while nobody uses it
	level   Synchronous // of the writing connection; for whoever holds it
	readers chan *Conn  // one slot a reader; nil is a connection not yet opened
}

func newDB(o Options) *DB {
	db := &DB{o: o, writer: make(chan *Conn, 1), readers: make(chan *Conn, o.Readers)}
	db.closing, db.stop = context.WithCancel(context.Background())
	for range o.Readers {
		db.readers <- nil
	}
	return db
}

// Path is the database file.
func (db *DB) Path() string { return db.o.Path }

// Close interrupts what runs, waits for it and closes the connections. The last
// process that closes a database folds its log into the file. Later calls return
// what the first did.
func (db *DB) Close() error {
	db.closed.Do(func() {
		db.stop()
		var errs []error
		// Readers first: the connection that goes last folds in the log, and only
		// the writer may.
		for range cap(db.readers) {
			if c := <-db.readers; c != nil {
				errs = append(errs, c.Close())
			}
		}
		if !db.o.ReadOnly {
			c := <-db.writer
			if db.o.Rollback {
				leaveWAL(c)
			}
			errs = append(errs, c.Close())
		}
		if err := errors.Join(errs...); err != nil {
			db.err = fmt.Errorf("close database %s: %w", db.o.Path, err)
		}
	})
	return db.err
}

// Read calls fn with a connection that sees one unchanging state of the database
// and cannot write. It waits for a free connection. fn must not keep the
// connection.
func (db *DB) Read(ctx context.Context, fn func(*Conn) error) error {
	ctx, done := db.scope(ctx)
	defer done()
	var c *Conn
	select {
	case c = <-db.readers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { db.readers <- c }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c == nil {
		opened, err := db.openReader()
		if err != nil {
			return explain(ctx, err)
		}
		c = opened
	}
	return db.transact(ctx, c, "BEGIN", fn)
}

// Write calls fn with the writing connection inside a transaction, which is
// committed when fn returns nil and rolled back otherwise. Writes wait for one
// another, and up to Options.BusyTimeout for those of other processes (ErrBusy).
// fn must not keep the connection nor end the transaction.
func (db *DB) Write(ctx context.Context, fn func(*Conn) error) error {
	return db.WriteSync(ctx, db.o.Synchronous, fn)
}

// WriteSync is Write with a commit that waits for the disk as much as level says,
// whatever Options.Synchronous is.
func (db *DB) WriteSync(ctx context.Context, level Synchronous, fn func(*Conn) error) error {
	return db.withWriter(ctx, func(ctx context.Context, c *Conn) error {
		if level != db.level {
			if err := pragma(c, "synchronous", level.pragma()); err != nil {
				return explain(ctx, err)
			}
			db.level = level
		}
		return db.transact(ctx, c, "BEGIN IMMEDIATE", fn)
	})
}

// Alone calls fn with the writing connection outside of any transaction, for
// statements that cannot run inside one, such as VACUUM. Writes wait meanwhile.
// fn must not keep the connection nor leave a transaction open.
func (db *DB) Alone(ctx context.Context, fn func(*Conn) error) error {
	return db.withWriter(ctx, func(ctx context.Context, c *Conn) (err error) {
		defer func() {
			c.SetInterrupt(nil)
			if !c.AutocommitEnabled() {
				err = errors.Join(err, sqlitex.ExecuteTransient(c, "ROLLBACK", nil))
			}
		}()
		c.SetInterrupt(ctx.Done())
		return explain(ctx, fn(c))
	})
}

// withWriter calls fn while it holds the writing connection.
func (db *DB) withWriter(ctx context.Context, fn func(context.Context, *Conn) error) error {
	if db.o.ReadOnly {
		return ErrReadOnly
	}
	ctx, done := db.scope(ctx)
	defer done()
	var c *Conn
	select {
	case c = <-db.writer:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { db.writer <- c }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fn(ctx, c)
}

// scope joins the caller's context and the life of the database.
func (db *DB) scope(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(db.closing, func() { cancel(ErrClosed) })
	if db.closing.Err() != nil {
		cancel(ErrClosed) // AfterFunc runs in its own time
	}
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// transact runs fn between begin and the transaction's end.
func (db *DB) transact(ctx context.Context, c *Conn, begin string, fn func(*Conn) error) (err error) {
	if err := db.begin(ctx, c, begin); err != nil {
		return err
	}
	// The end must happen whatever became of the context, and whatever fn did.
	committed := false
	defer func() {
		c.SetInterrupt(nil)
		// SQLite ends the transaction by itself after some failures.
		if !committed && !c.AutocommitEnabled() {
			err = errors.Join(err, sqlitex.ExecuteTransient(c, "ROLLBACK", nil))
		}
	}()
	c.SetInterrupt(ctx.Done())
	if err := fn(c); err != nil {
		return explain(ctx, err)
	}
	if err := Exec(c, "COMMIT"); err != nil {
		return explain(ctx, fmt.Errorf("commit: %w", err))
	}
	committed = true
	return nil
}

// begin starts a transaction. Connections wait for locks until they are
// interrupted, so the time-out is an interrupt that ends with the statement.
func (db *DB) begin(ctx context.Context, c *Conn, begin string) error {
	wait, cancel := context.WithTimeoutCause(ctx, db.o.BusyTimeout, ErrBusy)
	defer cancel()
	c.SetInterrupt(wait.Done())
	defer c.SetInterrupt(nil)
	err := Exec(c, begin)
	if err != nil && wait.Err() != nil {
		return context.Cause(wait)
	}
	return explain(ctx, err)
}

func (db *DB) openReader() (*Conn, error) {
	path, flags := db.o.Path, sqlite.OpenReadWrite
	if db.bare {
		u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "immutable=1"}
		path, flags = u.String(), sqlite.OpenReadOnly|sqlite.OpenURI
	}
	c, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	err = harden(c, readerCacheKiB)
	if err == nil {
		err = pragma(c, "query_only", "ON")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
