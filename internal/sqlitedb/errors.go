package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"zombiezen.com/go/sqlite"
)

var (
	// ErrNotDatabase is returned when the file is not an SQLite database.
	ErrNotDatabase = errors.New("not an SQLite database")

	// ErrDamaged is returned when the file is an SQLite database whose content
	// contradicts itself.
	ErrDamaged = errors.New("database is damaged")

	// ErrForeign is returned when the database was made by another application.
	ErrForeign = errors.New("database belongs to another application")

	// ErrSchema is returned when the schema is newer than the known migrations,
	// or, for a database opened without the right to migrate, when it is older.
	ErrSchema = errors.New("database has another schema version")

	// ErrBusy is returned when another process held the database's lock for the
	// whole of Options.BusyTimeout.
	ErrBusy = errors.New("database is locked by another process")

	// ErrReadOnly is returned by Write on a database opened for reading only.
	// It is also a permission error: errors.Is(err, fs.ErrPermission).
	ErrReadOnly = fmt.Errorf("database cannot be written: %w", fs.ErrPermission)

	// ErrClosed is returned by operations on a closed database.
	ErrClosed = errors.New("database is closed")
)

// IsBroken reports whether err says that the file itself is unusable, so that
// trying again without replacing it is in vain.
func IsBroken(err error) bool {
	return errors.Is(err, ErrNotDatabase) || errors.Is(err, ErrDamaged)
}

// explain gives err the sentinel that belongs to SQLite's result code. An
// interrupted statement is reported as the end of the context that caused it.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch code := sqlite.ErrCode(err).ToPrimary(); code {
	case sqlite.ResultInterrupt:
		if kind = context.Cause(ctx); kind == nil {
			return err
		}
		return kind
	case sqlite.ResultNotADB:
		kind = ErrNotDatabase
	case sqlite.ResultCorrupt:
		kind = ErrDamaged
	case sqlite.ResultBusy:
		kind = ErrBusy
	case sqlite.ResultReadOnly, sqlite.ResultPerm:
		kind = ErrReadOnly
	default:
		return err
	}
	if errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}
