package inventory

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, s *Store, id agent.ID, statement string) string {
	t.Helper()
	rows, err := s.SQL(t.Context(), id, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return string(rows)
}

func TestSQL_Answers(t *testing.T) {
	s := openStore(t, Options{})
	for statement, want := range map[string]string{
		"select 1":                                         `[{"1":1}]`,
		"select 1; select 2":                               `[{"1":1}]`,
		"select value from metadata":                       `[{"value":"13"}]`,
		"select max(1,2), null as q":                       `[{"max(1,2)":2}]`,
		"select null":                                      `[{}]`,
		"select * from sys_programs":                       `[]`,
		"select count(*) from sync_info":                   `[{"count(*)":14}]`,
		"values (1), (2)":                                  `[{"column1":1},{"column1":2}]`,
		"pragma user_version":                              `[{"user_version":0}]`,
		"select x'41420043' as a, x'' as b":                `[{"a":"AB","b":""}]`,
		"select char(127)||char(31)||char(8)||'/é\"' as b": "[{\"b\":\"\x7f\\u001f\\b/é\\\"\"}]",
		"select 1.0/3 as a, 0.1+0.2 as b, 9e999 as c, 1e15 as d, 999999999999999 as e, -0.0 as f": `[{"a":0.33333333333333331,"b":0.3,"c":null,"d":1e+15,"e":999999999999999,"f":-0}]`,
		"select 9007199254740993 as a, 9223372036854775807 as b, 100000.0 as c, 1e-7 as d":        `[{"a":9.00719925474099e+15,"b":9.2233720368547758e+18,"c":100000,"d":1e-07}]`,
	} {
		if got := query(t, s, 1, statement); got != want {
			t.Errorf("%s\n got %s\nwant %s", statement, got, want)
		}
	}
}

func TestSQL_Refuses(t *testing.T) {
	s := openStore(t, Options{})
	outside := filepath.Join(t.TempDir(), "x.db")
	for statement, want := range map[string]error{
		"":                                     ErrQuery,
		"-- nothing":                           ErrQuery,
		"selec":                                ErrQuery,
		"select * from nope":                   ErrQuery,
		"select '":                             ErrQuery,
		"\xff\x00":                             ErrQuery,
		"begin":                                ErrQuery,
		"commit":                               ErrQuery,
		"attach '" + outside + "' as x":        ErrQuery,
		"vacuum into '" + outside + "'":        ErrQuery,
		"pragma query_only = 0":                ErrQuery,
		"pragma journal_mode = wal":            ErrQuery,
		"select length(randomblob(900000000))": ErrQuery,
		"insert into metadata values (5, 6)":   ErrWriteRefused,
		"delete from sys_programs":             ErrWriteRefused,
		"with x as (select 1) insert into metadata select 1, 2": ErrWriteRefused,
		"drop table metadata": ErrWriteRefused,
	} {
		if _, err := s.SQL(t.Context(), 1, statement); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", statement, err, want)
		}
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a statement made a file outside")
	}
	if got := query(t, s, 1, "select count(*) as n from metadata"); got != `[{"n":1}]` {
		t.Errorf("after all that: %s", got)
	}
}

func TestSQL_Writes(t *testing.T) {
	s := openStore(t, Options{Writable: true})
	for _, statement := range []string{
		"insert into metadata values (5, 6)",
		"with x as (select 1) insert into metadata select 7, 8",
	} {
		if got := query(t, s, 1, statement); got != "[]" {
			t.Errorf("%s: %s", statement, got)
		}
	}
	if got := query(t, s, 1, "select key from metadata order by rowid"); got != `[{"key":"db_version"},{"key":"5"},{"key":"7"}]` {
		t.Error(got)
	}
	if _, err := s.SQL(t.Context(), 1, "attach '/tmp/x' as y"); !errors.Is(err, ErrQuery) {
		t.Error(err)
	}
}

func TestSQL_EndsWithItsTime(t *testing.T) {
	const endless = "with recursive n(x) as (values (1) union all select x + 1 from n) select max(x) from n"
	s := openStore(t, Options{Timeout: 50 * time.Millisecond})
	if _, err := s.SQL(t.Context(), 1, endless); !errors.Is(err, ErrQuery) {
		t.Errorf("%v, want ErrQuery", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.SQL(ctx, 1, "select 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
}

func TestSQL_ReplyIsBounded(t *testing.T) {
	s := openStore(t, Options{})
	rows := query(t, s, 1, "with recursive n(x) as (values (1) union all select x + 1 from n) select x from n")
	if len(rows) <= MaxReply || len(rows) > MaxReply+64 {
		t.Errorf("%d bytes", len(rows))
	}
}

func TestStore_OpensFewFiles(t *testing.T) {
	s := openStore(t, Options{MaxOpen: 3})
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if _, err := s.SQL(t.Context(), agent.ID(i%20), "select count(*) from sys_osinfo"); err != nil {
				t.Error(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.open) > 3 {
				t.Errorf("%d files open", len(s.open))
			}
		})
	}
	all.Wait()
	if !s.Exists(0) || !s.Exists(19) || s.Exists(20) {
		t.Error("the wrong files exist")
	}
}

func TestStore_ClosesTheOneUnusedForLongest(t *testing.T) {
	s := openStore(t, Options{MaxOpen: 2})
	for _, id := range []agent.ID{1, 2, 1, 3} {
		query(t, s, id, "select 1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[1] == nil || s.open[2] != nil || s.open[3] == nil {
		t.Errorf("open are %v", s.open)
	}
}

func TestRemove(t *testing.T) {
	s := openStore(t, Options{})
	query(t, s, 1, "select 1")
	query(t, s, 0, "select 1")
	got := s.Remove(t.Context(), []agent.ID{1, 99, 0, 1})
	if diff := cmp.Diff(map[agent.ID]Removal{1: Removed, 99: CannotDelete, 0: Removed}, got); diff != "" {
		t.Error(diff)
	}
	if left, _ := os.ReadDir(s.o.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	// The next request makes a new one.
	query(t, s, 1, "select 1")
	if !s.Exists(1) {
		t.Error("no file")
	}
}

func TestRemove_WhileInUse(t *testing.T) {
	s := openStore(t, Options{MaxOpen: 4})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			id := agent.ID(i % 3)
			if i%5 == 0 {
				s.Remove(t.Context(), []agent.ID{id})
				return
			}
			if _, err := s.SQL(t.Context(), id, "select * from sys_ports"); err != nil && !errors.Is(err, ErrQuery) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpen_DamagedFile(t *testing.T) {
	s := openStore(t, Options{})
	if err := os.WriteFile(filepath.Join(s.o.Dir, "001.db"), []byte("no database at all, no"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SQL(t.Context(), 1, "select 1"); !errors.Is(err, ErrOpen) {
		t.Errorf("%v, want ErrOpen", err)
	}
	if got := s.Remove(t.Context(), []agent.ID{1})[1]; got != Removed {
		t.Error(got)
	}
}

// What was missing for a new database may come back.
func TestOpen_AfterAFailureToMakeOne(t *testing.T) {
	s := openStore(t, Options{})
	away := s.o.Dir + "-away"
	if err := os.Rename(s.o.Dir, away); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SQL(t.Context(), 1, "select 1"); !errors.Is(err, ErrOpen) {
		t.Errorf("%v, want ErrOpen", err)
	}
	if err := os.Rename(away, s.o.Dir); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, 1, "select 1"); got != `[{"1":1}]` {
		t.Error(got)
	}
}

func TestOpen_RemovesWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, templateName+"123"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, templateName+"123", "template.db"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	openStore(t, Options{Dir: dir})
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestClose_EndsRequests(t *testing.T) {
	s := openStore(t, Options{})
	query(t, s, 1, "select 1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SQL(t.Context(), 1, "select 1"); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestSchema compares tables, columns and indices with those of a file that the
// original made.
func TestSchema(t *testing.T) {
	s := openStore(t, Options{})
	var got []string
	err := s.with(t.Context(), 1, func(ctx context.Context, db *sqlitedb.DB) error {
		return db.Read(ctx, func(c *sqlitedb.Conn) error {
			return sqlitedb.Select(c, facts, func(row *sqlitedb.Stmt) error {
				got = append(got, row.ColumnText(0))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("testdata/schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		want = append(want, lines.Text())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const facts = `
SELECT 'column ' || t.name || ' ' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' ||
       coalesce(c.dflt_value, '-') || ' ' || c.pk
  FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'
UNION ALL
SELECT 'index ' || t.name || ' ' || i.name || ' ' || i."unique" || ' ' ||
       (SELECT group_concat(name) FROM pragma_index_info(i.name))
  FROM sqlite_schema t, pragma_index_list(t.name) i WHERE t.type = 'table'`
