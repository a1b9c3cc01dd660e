package filestate

import (
	"time"

	"testudo/internal/manifest"
	"testudo/internal/sqlitedb"
)

// appID marks cluster.db as ours ("Tcls").
const appID = 0x54636c73

// migrations is the schema, oldest first. Times are milliseconds since 1970,
// NULL when it never happened; digests are 64 bytes, NULL when unknown.
func migrations() []string {
	return []string{`
CREATE TABLE file_state(
	node   TEXT NOT NULL,
	file   TEXT NOT NULL,
	state  TEXT NOT NULL,
	digest BLOB,
	reason TEXT NOT NULL,
	since  INTEGER NOT NULL,
	PRIMARY KEY(node, file)
) WITHOUT ROWID;
CREATE TABLE file_count(
	node  TEXT NOT NULL,
	state TEXT NOT NULL,
	files INTEGER NOT NULL,
	PRIMARY KEY(node, state)
) WITHOUT ROWID;
CREATE TABLE node_state(
	node            TEXT PRIMARY KEY,
	role            TEXT NOT NULL DEFAULT '',
	version         TEXT NOT NULL DEFAULT '',
	address         TEXT NOT NULL DEFAULT '',
	connected       INTEGER NOT NULL DEFAULT 0,
	connected_since INTEGER,
	last_check      INTEGER,
	last_sync       INTEGER,
	in_step_since   INTEGER,
	lag             INTEGER NOT NULL DEFAULT 0,
	files           INTEGER NOT NULL DEFAULT 0,
	manifest_sum    BLOB,
	touched         INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE held_back(
	kind   TEXT PRIMARY KEY,
	since  INTEGER NOT NULL,
	detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE decision(
	kind     TEXT PRIMARY KEY,
	made     INTEGER NOT NULL,
	good_for INTEGER NOT NULL
) WITHOUT ROWID;
`}
}

// options describes the database at path as its owner opens it.
func options(path string) sqlitedb.Options {
	return sqlitedb.Options{Path: path, Readers: 2, Migrations: migrations(), AppID: appID}
}

// timeArg is a time as a statement's argument.
func timeArg(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// columnTime reads a time; NULL is the zero time.
func columnTime(s *sqlitedb.Stmt, col int) time.Time {
	if s.ColumnIsNull(col) {
		return time.Time{}
	}
	return time.UnixMilli(s.ColumnInt64(col))
}

// digestArg is a digest as a statement's argument.
func digestArg(d manifest.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

// columnDigest reads a digest; anything that is not one is the zero digest.
func columnDigest(s *sqlitedb.Stmt, col int) (d manifest.Digest) {
	if s.ColumnLen(col) == len(d) {
		s.ColumnBytes(col, d[:])
	}
	return d
}
