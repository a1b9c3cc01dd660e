package sqlitedb

import (
	"strings"

	"zombiezen.com/go/sqlite"
)

// guardedLength bounds, while Guard holds, one text or row in bytes.
const guardedLength = 4 << 20

// Guard calls fn while c refuses what a statement of a stranger must not do:
// reach other files, change the connection's settings, end the transaction, or
// make values of more than 4 MiB. (Code is never loaded by this build of SQLite.) Such a statement fails with "not
// authorized".
func Guard(c *Conn, fn func() error) error { return GuardReads(c, nil, fn) }

// GuardReads is Guard that asks mayRead, unless it is nil, for each column of a table
// that a statement can read, by itself or through a view. With a false one the
// statement fails as one that is not authorized.
func GuardReads(c *Conn, mayRead func(table, column string) bool, fn func() error) error {
	both := func(a sqlite.Action) sqlite.AuthResult {
		if mayRead != nil && a.Type() == sqlite.OpRead && !mayRead(a.Table(), a.Column()) {
			return sqlite.AuthResultDeny
		}
		return authorize(a)
	}
	if err := c.SetAuthorizer(sqlite.AuthorizeFunc(both)); err != nil {
		return err
	}
	before := c.Limit(sqlite.LimitLength, guardedLength)
	defer func() {
		c.Limit(sqlite.LimitLength, before)
		_ = c.SetAuthorizer(nil) // cannot fail for nil
	}()
	return fn()
}

func authorize(a sqlite.Action) sqlite.AuthResult {
	switch a.Type() {
	case sqlite.OpAttach, sqlite.OpDetach, sqlite.OpTransaction, sqlite.OpSavepoint, sqlite.OpCreateVTable:
		return sqlite.AuthResultDeny
	case sqlite.OpPragma:
		if !harmlessPragma(a.Pragma()) || a.PragmaArg() != "" && !takesName(a.Pragma()) {
			return sqlite.AuthResultDeny
		}
	}
	return sqlite.AuthResultOK
}

// harmlessPragma reports whether reading the pragma tells of the database alone.
func harmlessPragma(name string) bool {
	switch strings.ToLower(name) {
	case "user_version", "application_id", "schema_version", "page_count", "page_size", "freelist_count",
		"journal_mode", "foreign_keys", "encoding", "data_version", "table_list", "quick_check", "integrity_check":
		return true
	default:
		return takesName(name)
	}
}

// takesName reports whether the pragma's argument is the name of what is asked
// for rather than a value to set.
func takesName(name string) bool {
	switch strings.ToLower(name) {
	case "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list", "foreign_key_check":
		return true
	default:
		return false
	}
}
