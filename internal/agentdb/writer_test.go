package agentdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// together runs operations in one transaction: they are queued while the writer
// is held up. It returns their errors.
func together(t *testing.T, s *Store, ops ...func() error) []error {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.between(t.Context(), func(context.Context) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	results := make([]chan error, len(ops))
	for i, fn := range ops {
		results[i] = make(chan error, 1)
		waiting := len(s.ops)
		go func() { results[i] <- fn() }()
		for len(s.ops) == waiting { // until it is queued
			select {
			case err := <-results[i]: // refused before it came to that
				results[i] <- err
				waiting = -1
			default:
			}
		}
	}
	close(release)
	errs := []error{}
	for _, r := range results {
		errs = append(errs, <-r)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	return errs
}

func TestWriter_NeighboursAreNotDisturbed(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	runs := 0
	boom := errors.New("boom")
	errs := together(t, s,
		func() error { return s.InsertAgent(ctx, NewAgent{ID: 1, Name: "a"}) },
		func() error { return s.InsertAgent(ctx, NewAgent{ID: 1, Name: "b"}) },
		func() error {
			return s.write(ctx, false, func(tx *tx) error {
				runs++
				return errors.Join(tx.exec("INSERT INTO info VALUES ('k', ?1)", fmt.Sprint(runs)), boom)
			})
		},
		func() error { return s.write(ctx, false, func(*tx) error { panic("broken operation") }) },
		func() error { return s.InsertAgent(ctx, NewAgent{ID: 2, Name: "c"}) },
	)
	var refused *QueryError
	if errs[0] != nil || !errors.As(errs[1], &refused) || !errors.Is(errs[2], boom) || errs[4] != nil ||
		errs[3] == nil || !strings.Contains(errs[3].Error(), "broken operation") {
		t.Error(errs)
	}
	if got := dump(t, s, "SELECT id, name FROM agent WHERE id > 0"); got != `[{"id":1,"name":"a"},{"id":2,"name":"c"}]` {
		t.Error(got)
	}
	// What an operation did before it returned an error stays.
	if got := dump(t, s, "SELECT value FROM info WHERE key = 'k'"); got != fmt.Sprintf(`[{"value":"%d"}]`, runs) {
		t.Error(got, runs)
	}
	sameRoster(t, s)
}

func TestWriter_CallerThatGivesUp(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	errs := together(t, s,
		func() error { return s.InsertAgent(ctx, NewAgent{ID: 1, Name: "a"}) },
		func() error { cancel(); return s.InsertAgent(t.Context(), NewAgent{ID: 2, Name: "b"}) },
	)
	if !errors.Is(errs[0], context.Canceled) || errs[1] != nil {
		t.Error(errs)
	}
	if got := dump(t, s, "SELECT id FROM agent"); got != `[{"id":0},{"id":2}]` {
		t.Error(got)
	}
}

func TestWriter_Closed(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: t.TempDir() + "/global.db"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "a"}); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.InsertAgent(t.Context(), NewAgent{ID: 2, Name: "a"}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if page, err := s.AgentName(t.Context(), 1); err != nil || string(page.JSON) != `[{"name":"a"}]` {
		t.Error("reading while the file is open:", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.AgentName(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Run(t.Context()); err != nil && !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
}

// limitPages lets the file grow by n pages at most, as a full disk would.
func limitPages(t *testing.T, s *Store, n int) {
	t.Helper()
	err := s.between(t.Context(), func(ctx context.Context) error {
		return s.db.Load().Alone(ctx, func(c *sqlitedb.Conn) error {
			pages := 0
			err := sqlitedb.SelectOne(c, "PRAGMA page_count", func(st *sqlitedb.Stmt) error {
				pages = st.ColumnInt(0)
				return nil
			})
			if err != nil {
				return err
			}
			return sqlitedb.SelectOne(c, fmt.Sprintf("PRAGMA max_page_count = %d", pages+n), func(*sqlitedb.Stmt) error { return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriter_NoRoom(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	limitPages(t, s, 1)
	fits, failed := 0, error(nil)
	for id := agent.ID(1); failed == nil; id++ {
		if id > 10000 {
			t.Fatal("the limit does not work")
		}
		failed = s.InsertAgent(ctx, NewAgent{ID: id, Name: strings.Repeat("n", 200)})
		if failed == nil {
			fits++
		}
	}
	var refused *QueryError
	if !errors.As(failed, &refused) || refused.Text != "database or disk is full" || !sqlitedb.IsFull(failed) {
		t.Error(failed)
	}
	sameRoster(t, s)
	// All of a transaction fails with it, and only that.
	long := strings.Repeat("n", 5000)
	errs := together(t, s,
		func() error { return s.UpdateKeepalive(ctx, 1, "active", "syncreq") },
		func() error { return s.InsertAgent(ctx, NewAgent{ID: 20000, Name: long}) },
		func() error { return s.UpdateKeepalive(ctx, 2, "active", "syncreq") },
	)
	if errs[1] == nil || errs[0] == nil && errs[2] != nil {
		t.Error(errs)
	}
	sameRoster(t, s)
	limitPages(t, s, 1000)
	if err := s.InsertAgent(ctx, NewAgent{ID: 20000, Name: long}); err != nil {
		t.Error(err)
	}
	if counts, err := s.Counts(ctx); err != nil || counts.Total != fits+1 {
		t.Error(counts, fits, err)
	}
	sameRoster(t, s)
}

func TestSQL(t *testing.T) {
	s := start(t, func(o *Options) { o.AllowWrites = true })
	insert(t, s, 1)
	ctx := t.Context()
	tests := []struct {
		statement string
		write     bool
		want      string
		err       string
	}{
		{"select count(*) from agent where id > 0", false, `[{"count(*)":1}]`, ""},
		{"select id as 'id', name from agent where id = 1; select 2", false, `[{"id":1,"name":"agent-000001"}]`, ""},
		{"select 1.0 as a, 9007199254740993 as b, 253402300799 as c, 1.5 as d, null as e, x'41004242' as f, 'a\"\\/' || char(1) as g, -0.000001 as h, 1e300 as i", false,
			`[{"a":1,"b":9.00719925474099e+15,"c":253402300799,"d":1.5,"f":"A","g":"a\"\\/\u0001","h":-1e-06,"i":1e+300}]`, ""},
		{"begin", false, `[]`, ""},
		{"COMMIT;", true, `[]`, ""},
		{"select", false, ``, "incomplete input"},
		{"select * from nowhere", false, ``, "no such table: nowhere"},
		{"update agent set node_name = 'w9' where id = 1", false, ``, ErrWriteRefused.Error()},
		{"update agent set node_name = 'w9' where id = 1", true, `[]`, ""},
		{"attach 'x.db' as x", true, ``, "not authorized"},
		{"pragma query_only = off", true, ``, "not authorized"},
		{"select 123456789012345678 as j, 1e400 as k, 0.1 as l, 1e15 as m, 999999999999999 as n, 1e14 as o", false,
			`[{"j":1.2345678901234568e+17,"k":null,"l":0.1,"m":1e+15,"n":999999999999999,"o":100000000000000}]`, ""},
		{" ", false, ``, "not an error"},
	}
	for _, tt := range tests {
		page, err := s.SQL(ctx, tt.statement, tt.write)
		if tt.err == "" && (err != nil || string(page.JSON) != tt.want) || tt.err != "" && (err == nil || err.Error() != tt.err) {
			t.Errorf("%s: %s, %v; want %s %s", tt.statement, page.JSON, err, tt.want, tt.err)
		}
	}
	if list, _, err := s.Agents(ctx, Filter{Node: "w9"}); len(list) != 1 || err != nil {
		t.Error("the write is not seen in lists:", list, err)
	}
	sameRoster(t, s)
	endless := "with recursive n(i) as (select 1 union all select i + 1 from n) select %s from n"
	page, err := s.SQL(ctx, fmt.Sprintf(endless, "i"), false)
	if err != nil || len(page.JSON) > 66000 || !page.More {
		t.Error("rows without end:", len(page.JSON), err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.SQL(short, fmt.Sprintf(endless, "max(i)"), false); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
