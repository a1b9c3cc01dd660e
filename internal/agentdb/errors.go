package agentdb

import (
	"context"
	"errors"
	"fmt"

	"testudo/internal/sqlitedb"
)

var (
	// ErrClosed is returned by operations on a store whose Run has ended or that
	// is closed.
	ErrClosed = errors.New("agent database is closed")

	// ErrOldSchema is returned by Open for a global.db of an earlier release.
	ErrOldSchema = errors.New("agent database has an older schema: let a 4.7.5 database daemon start on it once, which brings it up to date, or restore a backup made by 4.7.5")

	// ErrNewSchema is returned by Open for a global.db of a later release.
	ErrNewSchema = errors.New("agent database has a newer schema than this release knows: restore a backup made by 4.7.5 (testudo db restore)")

	// ErrNotAgents is returned by Open when the file is a database, but not one of
	// agents.
	ErrNotAgents = errors.New("database holds no agents")

	// ErrWriteRefused is returned by SQL for a statement that would write, unless
	// writing is allowed.
	ErrWriteRefused = errors.New("statement would write, which is not allowed")

	// ErrLabelID is returned by SetSyncInfo for labels of an agent whose id is no
	// number.
	ErrLabelID = errors.New("Cannot update labels due to invalid id.") //nolint:staticcheck // what callers are answered

	// ErrSyntax is returned by SetSyncInfo when its argument is no JSON.
	ErrSyntax = errors.New("not JSON")
)

// QueryError is returned when the database refuses a statement. Text is what the
// database says about it, such as "UNIQUE constraint failed: agent.id".
type QueryError struct {
	Text string
	err  error
}

// Error is Text.
func (e *QueryError) Error() string { return e.Text }

// Unwrap is the error as the database gave it.
func (e *QueryError) Unwrap() error { return e.err }

// asQuery makes a QueryError of an error of the database. The end of a context
// and a closed store are not of the database.
func asQuery(err error) error {
	var known *QueryError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sqlitedb.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return &QueryError{Text: sqlitedb.Text(err), err: err}
}
