package inventory

import "errors"

var (
	// ErrQuery is returned when a statement cannot be run: it is no SQL, names
	// what is not there, violates a constraint, reaches beyond the database or took
	// too long. The socket's text for it is "Cannot execute SQL query".
	ErrQuery = errors.New("statement cannot be executed")

	// ErrWriteRefused is returned by SQL for a statement that would write while
	// Options.Writable is not set.
	ErrWriteRefused = errors.New("statement would write, which the configuration does not allow")

	// ErrOpen is returned when an agent's database can be neither opened nor made.
	ErrOpen = errors.New("database of the agent cannot be opened")

	// ErrSync is returned by Sync when the record cannot be stored: unknown table
	// or operation, no JSON object, a value of the wrong kind, a violated
	// constraint. The socket answers with the word "err" alone.
	ErrSync = errors.New("inventory record refused")

	// ErrClosed is returned once Close has begun.
	ErrClosed = errors.New("inventory is closed")
)
