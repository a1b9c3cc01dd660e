package agentdb

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// column is what the file says of an agent, past the store.
func column(t *testing.T, s *Store, id agent.ID) (text string) {
	t.Helper()
	err := s.read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "SELECT sync_status FROM agent WHERE id = ?1", func(st *sqlitedb.Stmt) error {
			text = st.ColumnText(0)
			return nil
		}, int64(id))
	})
	must(t, err)
	return text
}

// confirmed is a store with agents of worker1 whose confirmation the file lacks.
func confirmed(t *testing.T, change ...func(*Options)) *Store {
	t.Helper()
	s := start(t, change...)
	s.journal.rest() // keep-alives write rows
	insert(t, s, 3)
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 3, "worker1", 1700000000, agent.Active)))
	for id := agent.ID(1); id <= 3; id++ {
		must(t, s.UpdateKeepalive(t.Context(), id, "active", syncReq))
	}
	_, _, confirm := pendingIDs(t, s, 0)
	must(t, confirm(t.Context()))
	if got := column(t, s, 2); got != syncReq {
		t.Fatal("the file says", got, "at once")
	}
	return s
}

func TestMarks_WhoeverReadsThemSeesTheTruth(t *testing.T) {
	for name, read := range map[string]func(*Store) (Page, error){
		"row": func(s *Store) (Page, error) { return s.AgentInfo(t.Context(), 2) },
		"statement": func(s *Store) (Page, error) {
			return s.SQL(t.Context(), "SELECT Sync_Status FROM agent WHERE id = 2", false)
		},
		"all": func(s *Store) (Page, error) { return s.SQL(t.Context(), "SELECT * FROM agent WHERE id = 2", false) },
	} {
		t.Run(name, func(t *testing.T) {
			page, err := read(confirmed(t))
			if err != nil || !bytes.Contains(page.JSON, []byte(`"sync_status":"synced"`)) && !bytes.Contains(page.JSON, []byte(`"Sync_Status":"synced"`)) {
				t.Errorf("%s, %v", page.JSON, err)
			}
		})
	}
	s := confirmed(t)
	if page, err := s.SyncInfo(t.Context(), nil); err != nil || string(page.JSON) != "[]" {
		t.Errorf("reported again: %s, %v", page.JSON, err)
	}
}

func TestMarks_TheNextWriteOfTheRowCarriesThem(t *testing.T) {
	s := confirmed(t)
	must(t, s.UpdateKeepalive(t.Context(), 2, "active", syncReq)) // nothing to write of the mark
	if r, _ := s.roster.get(2); !r.syncreq || r.lags || column(t, s, 2) != syncReq {
		t.Error(r)
	}
	must(t, s.UpdateConnectionStatus(t.Context(), 1, "active", synced, 0))
	if r, _ := s.roster.get(1); r.syncreq || r.lags || column(t, s, 1) != synced {
		t.Error(r)
	}
	if n := s.roster.lagging.Load(); n != 1 {
		t.Error(n, "rows lag")
	}
	must(t, s.DeleteAgent(t.Context(), 3))
	if n := s.roster.lagging.Load(); n != 0 {
		t.Error(n, "rows lag")
	}
	sameRoster(t, s)
}

func TestMarks_AreInTheFileAfterAWhileAndAtTheEnd(t *testing.T) {
	s := confirmed(t)
	must(t, s.Close())
	s = startAt(t, s.o)
	if got := column(t, s, 3); got != synced {
		t.Error("after the end the file says", got)
	}
	must(t, s.ReportAll(t.Context(), "worker1"))
	if got := column(t, s, 3); got != synced {
		t.Error("a new session wrote", got)
	}
	must(t, s.Close())
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, s.o)
		if due, _, _ := pendingIDs(t, s, 0); len(due) != 3 {
			t.Error("of a new session are left", due)
		}
		_, _, confirm := pendingIDs(t, s, 0)
		must(t, confirm(t.Context()))
		time.Sleep(marksLater + time.Second) // of the bubble
		synctest.Wait()
		if n := s.roster.lagging.Load(); n != 0 || column(t, s, 3) != synced {
			t.Error(n, "rows lag, and the file says", column(t, s, 3))
		}
	})
}

func TestMarks_AStatementThatWritesKeepsThem(t *testing.T) {
	s := confirmed(t, func(o *Options) { o.AllowWrites = true })
	if _, err := s.SQL(t.Context(), "UPDATE agent SET os_arch = 'x' WHERE id = 1", true); err != nil {
		t.Fatal(err)
	}
	if due, _, _ := pendingIDs(t, s, 0); len(due) != 0 {
		t.Error("reported again:", due)
	}
	sameRoster(t, s)
}

// Whichever way a statement reaches the columns in which rows lag, it sees the
// truth; and only then are the rows written for it.
func TestSQL_SeesTheTruth(t *testing.T) {
	const first, later = 1990000000, 1990000001
	s := start(t, func(o *Options) { o.AllowWrites = true })
	insert(t, s, 2)
	for _, statement := range []string{
		"CREATE VIEW seen AS SELECT id, last_keepalive AS at, sync_status AS mark FROM agent",
		"CREATE TABLE times (id, last_keepalive)", "INSERT INTO times VALUES (2, 1990000001)",
	} {
		if _, err := s.SQL(t.Context(), statement, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		statement, want string
		rests           bool
	}{
		{"SELECT id, last_keepalive AS at FROM agent WHERE id = 2", `[{"id":2,"at":1990000001}]`, true},
		{"SELECT a.\"LAST_KEEPALIVE\" AS at FROM agent a WHERE id = 2", `[{"at":1990000001}]`, true},
		{"SELECT [last_keepalive]+0 AS at FROM (SELECT agent.* FROM agent) WHERE id = 2", `[{"at":1990000001}]`, true},
		{"SELECT id FROM (SELECT * FROM agent WHERE id > 0 ORDER BY last_keepalive DESC LIMIT 1)", `[{"id":2}]`, true},
		{"SELECT id FROM agent WHERE id = 2 AND EXISTS (SELECT 1 FROM agent b WHERE b.last_keepalive = 1990000001)", `[{"id":2}]`, true},
		{"SELECT at FROM seen WHERE id = 2", `[{"at":1990000001}]`, true},
		{"SELECT count(at) AS n FROM seen WHERE id IN (SELECT id FROM seen WHERE at = 1990000001)", `[{"n":1}]`, true},
		{"SELECT id FROM agent NATURAL JOIN times", `[{"id":2}]`, true},
		{"SELECT id FROM agent JOIN times USING (id, last_keepalive)", `[{"id":2}]`, true},
		{"SELECT count(*) AS n FROM agent", `[{"n":3}]`, false},
		{"SELECT * FROM labels", `[]`, false},
		{"SELECT id, 'last_keepalive' AS x FROM agent WHERE id = 2", `[{"id":2,"x":"last_keepalive"}]`, false},
	} {
		for _, at := range []int64{first - 1, first} { // the second one goes to the journal
			must(t, s.SetSyncInfo(t.Context(), fullReport(1, 2, "worker1", at, agent.Active)))
		}
		s.journal.restTil.Store(0)
		must(t, s.SetSyncInfo(t.Context(), fullReport(2, 2, "worker1", later, agent.Active)))
		if !s.journal.isBehind(2) {
			t.Fatal("the row is not behind")
		}
		page, err := s.SQL(t.Context(), tt.statement, false)
		if err != nil || string(page.JSON) != tt.want || s.journal.open(time.Now().Unix()) == tt.rests {
			t.Errorf("%s: %s, %v; rows are written at once: %v", tt.statement, page.JSON, err, !tt.rests)
		}
	}
}

// A statement may drop our own tables, too.
func TestSQL_DropsTablesOfOurs(t *testing.T) {
	s := heard(t, func(o *Options) { o.AllowWrites, o.Master = true, true })
	must(t, s.FollowAgent(t.Context(), NewAgent{ID: 7, Name: "a"}))
	for _, table := range []string{"t_keepalive", "t_foreseen"} {
		if _, err := s.SQL(t.Context(), "DROP TABLE "+table, true); err != nil {
			t.Error(err)
		}
	}
	for at := range int64(2) {
		must(t, s.SetSyncInfo(t.Context(), fullReport(1, 3, "worker1", 1990000000+at, agent.Active)))
	}
	if s.journal.behind.Load() != 3 {
		t.Error(s.journal.behind.Load(), "rows are behind")
	}
	must(t, s.FollowAgent(t.Context(), NewAgent{ID: 8, Name: "a"}))
	sameRoster(t, s)
	sameAfterCrash(t, s)
}
