package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

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

// Text returns what is at the bottom of err, without what was put around it and
// without the name of SQLite's result code: "UNIQUE constraint failed: pet.name".
func Text(err error) string {
	code := sqlite.ErrCode(err)
	for err != nil {
		inner := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all := joined.Unwrap() // the first one is our own name for the rest
			inner = all[len(all)-1]
		}
		if inner == nil {
			return strings.TrimPrefix(err.Error(), code.Message()+": ")
		}
		err = inner
	}
	return ""
}

// IsFull reports whether err says that there is no room left for the database or
// that the disk refuses to be written: an error that may be gone later.
func IsFull(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr:
		return true
	default:
		return false
	}
}

// IsConstraint reports whether err says that a value breaks a rule of the schema.
func IsConstraint(err error) bool {
	return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultConstraint
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
