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
