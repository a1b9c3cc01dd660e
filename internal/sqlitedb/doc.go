// Package sqlitedb opens SQLite databases the way this house wants them: a
// write-ahead log, one connection that writes and a few that read, a schema
// that brings itself up to date, and errors that say what is wrong with the
// file rather than which number SQLite gave.
//
// Two promises shape the package. A [DB.Write] is one transaction that is either
// wholly there afterwards or not at all, and only one runs at a time; a
// [DB.Read] is one snapshot that no writer disturbs. Both stop when their
// context ends, also in the middle of a statement and while waiting for a lock
// that another process holds.
//
// The package owns the SQLite library: others see it as [Conn] and [Stmt] and
// need not import it.
package sqlitedb
