package agentdb

import (
	"fmt"

	"testudo/internal/sqlitedb"
)

// schemaVersion is the metadata's db_version (docs/agentdb.md §8).
const schemaVersion = "6"

// neverSilent is the last keep-alive of the manager's own row: 31 December 9999.
const neverSilent = 253402300799

// schema returns the statements that make the tables. The texts of the checks
// are seen by callers, in the errors of the database.
func schema() []string {
	return []string{
		"CREATE TABLE agent (" + `
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	ip TEXT,
	register_ip TEXT,
	internal_key TEXT,
	os_name TEXT,
	os_version TEXT,
	os_major TEXT,
	os_minor TEXT,
	os_codename TEXT,
	os_build TEXT,
	os_platform TEXT,
	os_uname TEXT,
	os_arch TEXT,
	version TEXT,
	config_sum TEXT,
	merged_sum TEXT,
	manager_host TEXT,
	node_name TEXT DEFAULT 'unknown',
	date_add INTEGER NOT NULL,
	last_keepalive INTEGER,
	` + "`group`" + ` TEXT DEFAULT 'default',
	group_hash TEXT DEFAULT NULL,
	group_sync_status TEXT NOT NULL DEFAULT 'synced'
		CHECK (group_sync_status IN ('synced', 'syncreq')),
	sync_status TEXT NOT NULL DEFAULT 'synced'
		CHECK (sync_status IN ('synced', 'syncreq')),
	connection_status TEXT NOT NULL DEFAULT 'never_connected'
		CHECK (connection_status IN ('pending', 'never_connected', 'active', 'disconnected')),
	disconnection_time INTEGER DEFAULT 0,
	group_config_status TEXT NOT NULL DEFAULT 'not synced'
		CHECK (group_config_status IN ('synced', 'not synced')),
	status_code INTEGER DEFAULT 0)`,
		"CREATE INDEX agent_name ON agent (name)",
		"CREATE INDEX agent_ip ON agent (ip)",
		"CREATE INDEX agent_group_hash ON agent (group_hash)",
		`CREATE TABLE labels (
	id INTEGER REFERENCES agent (id) ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (id, key))`,
		"CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT)",
		"CREATE TABLE `group` (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, UNIQUE (name))",
		"CREATE INDEX group_name ON `group` (name)",
		"CREATE TABLE belongs (" + `
	id_agent INTEGER REFERENCES agent (id) ON DELETE CASCADE,
	id_group INTEGER REFERENCES ` + "`group`" + ` (id) ON DELETE CASCADE,
	priority INTEGER NOT NULL DEFAULT 0,
	UNIQUE (id_agent, priority),
	PRIMARY KEY (id_agent, id_group))`,
		"CREATE INDEX belongs_id_agent ON belongs (id_agent)",
		"CREATE INDEX belongs_id_group ON belongs (id_group)",
		"CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT)",
		"INSERT INTO metadata (key, value) VALUES ('db_version', '" + schemaVersion + "')",
		"INSERT INTO info (key, value) VALUES ('openssl_support', 'yes')",
		`INSERT INTO agent (id, name, ip, register_ip, date_add, last_keepalive, ` + "`group`" + `, connection_status)
	VALUES (0, 'localhost', '127.0.0.1', '127.0.0.1', unixepoch(), ` + fmt.Sprint(neverSilent) + `, NULL, 'active')`,
	}
}

// foreseenTable makes a table of our own, see foreseen. The original does not
// know it and does no harm to it: agents that it deletes go from there, too.
const foreseenTable = "CREATE TABLE IF NOT EXISTS t_foreseen" +
	" (id INTEGER PRIMARY KEY REFERENCES agent (id) ON DELETE CASCADE, since INTEGER NOT NULL)"

// setUp makes the schema in an empty file and checks the version of another.
func setUp(c *sqlitedb.Conn) error {
	tables, agents, versions := 0, 0, 0
	err := sqlitedb.Select(c, "SELECT name FROM sqlite_schema WHERE type = 'table'", func(s *sqlitedb.Stmt) error {
		tables++
		switch s.ColumnText(0) {
		case "agent":
			agents++
		case "metadata":
			versions++
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case tables == 0:
		for _, statement := range schema() {
			if err := sqlitedb.SelectOne(c, statement, func(*sqlitedb.Stmt) error { return nil }); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		return nil
	case agents == 0:
		return ErrNotAgents
	case versions == 0:
		return ErrOldSchema // version 0 had no such table
	}
	return checkVersion(c)
}

func checkVersion(c *sqlitedb.Conn) error {
	version := int64(0)
	err := sqlitedb.Select(c, "SELECT value FROM metadata WHERE key = 'db_version'", func(s *sqlitedb.Stmt) error {
		version = s.ColumnInt64(0)
		return nil
	})
	switch {
	case err != nil:
		return err
	case fmt.Sprint(version) == schemaVersion:
		return nil
	case version < 6:
		return fmt.Errorf("%w (version %d)", ErrOldSchema, version)
	default:
		return fmt.Errorf("%w (version %d)", ErrNewSchema, version)
	}
}
