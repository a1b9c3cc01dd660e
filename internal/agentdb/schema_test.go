package agentdb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"testudo/internal/recording"
	"testudo/internal/sqlitedb"
)

// goldenCopy returns the path of a copy, which may be written, of a database that
// was made by a 4.7.5 node.
func goldenCopy(t *testing.T) string {
	t.Helper()
	data := recording.Read(t, "golden/db/global.db")
	path := filepath.Join(t.TempDir(), "global.db")
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, 0o660)); err != nil {
		t.Fatal(err)
	}
	return path
}

// shape is everything of a schema but its white space.
func shape(t *testing.T, s *Store) string {
	t.Helper()
	var all []string
	for _, table := range []string{"agent", "labels", "info", "group", "belongs", "metadata", "sqlite_sequence"} {
		all = append(all, table,
			dump(t, s, "SELECT name, type, \"notnull\", upper(dflt_value) AS dflt, pk FROM pragma_table_info(?1)", table),
			dump(t, s, "SELECT seq, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1) ORDER BY id", table),
			dump(t, s, "SELECT l.name, l.\"unique\", l.origin, l.partial, i.seqno, i.name AS col FROM pragma_index_list(?1) l,"+
				" pragma_index_info(l.name) i ORDER BY l.name, i.seqno", table))
	}
	return strings.Join(append(all,
		dump(t, s, "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"),
		dump(t, s, "SELECT * FROM pragma_user_version, pragma_application_id, pragma_page_size, pragma_encoding"),
		dump(t, s, "SELECT key, value FROM metadata"), dump(t, s, "SELECT key, value FROM info"),
		dump(t, s, "SELECT id, name, ip, register_ip, node_name, last_keepalive, `group`, group_hash, group_sync_status,"+
			" sync_status, connection_status, disconnection_time, group_config_status, status_code FROM agent WHERE id = 0"),
	), "\n")
}

func TestSchema_IsTheOriginals(t *testing.T) {
	theirs := shape(t, startAt(t, Options{Path: goldenCopy(t)}))
	ours := shape(t, start(t))
	if theirs != ours {
		t.Errorf("theirs:\n%s\nours:\n%s", theirs, ours)
	}
}

func TestOpen_FileOfTheOriginal(t *testing.T) {
	path := goldenCopy(t)
	s := startAt(t, Options{Path: path})
	counts, err := s.Counts(t.Context())
	if err != nil || counts.Total != 12 {
		t.Error(counts, err)
	}
	if err := s.UpdateKeepalive(t.Context(), 3, "active", "syncreq"); err != nil {
		t.Error(err)
	}
	page, err := s.AgentGroup(t.Context(), 1)
	if err != nil || string(page.JSON) != `[{"group":"default,web"}]` {
		t.Error(string(page.JSON), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As it was: no file beside it, and in rollback journal mode.
	data, err := os.ReadFile(path)
	if err != nil || data[18] != 1 {
		t.Error("journal mode", data[18], err)
	}
	if left, _ := filepath.Glob(path + "-*"); len(left) > 0 {
		t.Error(left)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Error(info.Mode(), err)
	}
}

func TestOpen_RefusesWhatItCannotUse(t *testing.T) {
	prepare := func(t *testing.T, statements ...string) string {
		path := filepath.Join(t.TempDir(), "global.db")
		db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path, Rollback: true, Setup: func(c *sqlitedb.Conn) error {
			if err := setUp(c); err != nil {
				return err
			}
			for _, q := range statements {
				if err := sqlitedb.Exec(c, q); err != nil {
					return err
				}
			}
			return nil
		}})
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		path func(t *testing.T) string
		want error
		text string
	}{
		{"older", func(t *testing.T) string { return prepare(t, "UPDATE metadata SET value = '5'") }, ErrOldSchema, "version 5"},
		{"before versions", func(t *testing.T) string { return prepare(t, "DROP TABLE metadata") }, ErrOldSchema, ""},
		{"newer", func(t *testing.T) string { return prepare(t, "UPDATE metadata SET value = '7'") }, ErrNewSchema, "version 7"},
		{"other database", func(t *testing.T) string { return prepare(t, "DROP TABLE agent") }, ErrNotAgents, ""},
		{"no database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "global.db")
			if err := os.WriteFile(path, []byte(strings.Repeat("text", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlitedb.ErrNotDatabase, "testudo db restore"},
		{"damaged", func(t *testing.T) string {
			path := prepare(t)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt([]byte(strings.Repeat("\xff", 4096)), 4096)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			return path
		}, sqlitedb.ErrDamaged, "testudo db restore"},
		{"no directory", func(t *testing.T) string { return filepath.Join(t.TempDir(), "x", "global.db") }, os.ErrNotExist, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path(t)
			for range 2 { // the refusal leaves it free
				s, err := Open(t.Context(), Options{Path: path})
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
					t.Fatal(s, err)
				}
			}
		})
	}
}

func TestOpen_Twice(t *testing.T) {
	s := start(t)
	if second, err := Open(t.Context(), Options{Path: s.o.Path}); !errors.Is(err, ErrInUse) {
		t.Error(second, err)
	}
}
