package agentdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// killed opens a copy of what the file and its log are now: the database of a
// process that was killed. Nothing must be under way.
func killed(t testing.TB, s *Store) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "global.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(s.o.Path + suffix)
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o600)
		}
		must(t, err)
	}
	return startAt(t, Options{Path: path})
}

// sameAfterCrash checks that a crash would lose no keep-alive, nor a mark but those
// that the file is never told at once.
func sameAfterCrash(t testing.TB, s *Store) {
	t.Helper()
	again := killed(t, s)
	sameRoster(t, again)
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	for p := range s.roster.afterLocked(-1 << 31) {
		want := s.roster.unpackLocked(p)
		got, ok := again.roster.get(want.id)
		if !ok || got.keepalive != want.keepalive || got.status != want.status || got.syncreq != (want.syncreq != want.lags) {
			t.Errorf("a crash makes of %+v: %+v", want, got)
		}
	}
}

// heard is a store with agents of which only the journal knows that they have
// shown themselves.
func heard(t *testing.T, change ...func(*Options)) *Store {
	t.Helper()
	s := start(t, change...)
	insert(t, s, 3)
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 3, "worker1", 1650000000, agent.Active)))
	for id := agent.ID(1); id <= 3; id++ {
		must(t, s.UpdateKeepalive(t.Context(), id, "active", syncReq))
	}
	if got := rowKeepalive(t, s, 2); got != 1650000000 || s.journal.behind.Load() != 3 {
		t.Fatalf("the row says %d at once, %d are behind", got, s.journal.behind.Load())
	}
	return s
}

// rowKeepalive is what the file says in the row, past the store.
func rowKeepalive(t *testing.T, s *Store, id agent.ID) (at int64) {
	t.Helper()
	must(t, s.read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "SELECT last_keepalive FROM agent WHERE id = ?1", func(st *sqlitedb.Stmt) error {
			at = st.ColumnInt64(0)
			return nil
		}, int64(id))
	}))
	return at
}

func TestJournal_WhoeverReadsSeesTheTruth(t *testing.T) {
	sql := func(statement string) func(*Store) ([]byte, error) {
		return func(s *Store) ([]byte, error) {
			page, err := s.SQL(t.Context(), statement, false)
			return page.JSON, err
		}
	}
	for name, read := range map[string]func(*Store) ([]byte, error){
		"row": func(s *Store) ([]byte, error) {
			page, err := s.AgentInfo(t.Context(), 2)
			return page.JSON, err
		},
		"statement": sql("SELECT Last_Keepalive FROM agent WHERE id = 2"),
		"all":       sql("SELECT * FROM agent WHERE id = 2"),
		"condition": sql("SELECT id, name FROM agent WHERE id = 2 AND last_keepalive > 1650000000"),
		"query": func(s *Store) (text []byte, err error) {
			err = s.Query(t.Context(), "SELECT id, name, last_keepalive FROM agent WHERE id = 2", nil, func(st *sqlitedb.Stmt) error {
				text = fmt.Appendf(nil, "of agent %d: %d", st.ColumnInt64(0), st.ColumnInt64(2))
				return nil
			})
			return text, err
		},
		"page of those to report": func(s *Store) ([]byte, error) {
			page, err := s.SyncInfo(t.Context(), nil)
			return page.JSON, err
		},
		"report": func(s *Store) ([]byte, error) {
			chunks, _, _, err := s.PendingInfo(t.Context(), 0)
			return bytes.Join(chunks, nil), err
		},
		"report of whole rows": func(s *Store) ([]byte, error) {
			chunks, _, _, err := s.PendingWhole(t.Context(), 0, 10)
			return bytes.Join(chunks, nil), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := read(heard(t))
			if err != nil || bytes.Contains(text, []byte("1650000000")) || len(text) < 10 {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
}

func TestJournal_RowsFollow(t *testing.T) {
	behind := heard(t)
	sameRoster(t, behind)
	sameAfterCrash(t, behind)
	must(t, behind.Close())
	s := startAt(t, behind.o)
	if got := rowKeepalive(t, s, 3); got <= 1650000000 {
		t.Error("after the end the row says", got)
	}
	must(t, s.Close())
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, behind.o)
		// The clock of the bubble is another.
		must(t, s.SetSyncInfo(t.Context(), fullReport(1, 1, "worker1", 1, agent.Active)))
		must(t, s.UpdateKeepalive(t.Context(), 1, "active", syncReq))
		if n := s.journal.behind.Load(); n != 1 {
			t.Fatal(n, "rows are behind")
		}
		time.Sleep(marksLater + time.Second)
		synctest.Wait()
		want, _ := s.roster.get(1)
		if got := rowKeepalive(t, s, 1); got != want.keepalive || s.journal.behind.Load() != 0 {
			t.Error("after a while the row says", got)
		}
		if left := dump(t, s, "SELECT * FROM t_keepalive"); left != "[]" || len(s.journal.agents) != 0 || s.journal.named != 0 {
			t.Errorf("left are %s, %v, %d", left, s.journal.agents, s.journal.named)
		}
	})
}

// What is written of an agent behind its keep-alive counts after a crash, not
// the journal's entry of before.
func TestJournal_LaterWritesCountMore(t *testing.T) {
	for name, write := range map[string]func(context.Context, *Store) error{
		"status": func(ctx context.Context, s *Store) error {
			return s.UpdateConnectionStatus(ctx, 2, "pending", synced, 0)
		},
		"report": func(ctx context.Context, s *Store) error {
			return s.SetSyncInfo(ctx, fullReport(2, 2, "worker1", 1600000000, agent.Active))
		},
		"another agent of the id": func(ctx context.Context, s *Store) error {
			if err := s.DeleteAgent(ctx, 2); err != nil {
				return err
			}
			return s.InsertAgent(ctx, NewAgent{ID: 2, Name: "new"})
		},
		"statement": func(ctx context.Context, s *Store) error {
			_, err := s.SQL(ctx, "UPDATE agent SET last_keepalive = 1600000000 WHERE id = 2", true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := heard(t, func(o *Options) { o.AllowWrites = true })
			must(t, write(t.Context(), s))
			sameRoster(t, s)
			sameAfterCrash(t, s)
		})
	}
}

// What another program has written since our process died is newer.
func TestJournal_AnotherProgramInBetween(t *testing.T) {
	s := heard(t)
	now, _ := s.roster.get(1)
	must(t, s.write(t.Context(), false, func(t *tx) error {
		return t.exec("UPDATE agent SET last_keepalive = ?1 WHERE id = 1", now.keepalive+5)
	}))
	again := killed(t, s)
	for id, want := range map[agent.ID]int64{1: now.keepalive + 5, 2: rowKeepalive(t, again, 3)} {
		if r, _ := again.roster.get(id); r.keepalive != want || want <= 1650000000 {
			t.Errorf("agent %d was heard at %d instead of %d", id, r.keepalive, want)
		}
	}
}

func TestJournal_Rests(t *testing.T) {
	s := heard(t)
	if _, err := s.SQL(t.Context(), "SELECT count(*) FROM agent", false); err != nil || !s.journal.open(time.Now().Unix()) {
		t.Error("a count is taken for a look at the last keep-alives", err)
	}
	if _, err := s.SQL(t.Context(), "SELECT max(last_keepalive) FROM agent", false); err != nil || s.journal.open(time.Now().Unix()) {
		t.Error("the journal goes on for somebody who looks at the last keep-alives", err)
	}
	if n := s.journal.behind.Load(); n != 0 {
		t.Error(n, "rows are behind")
	}
	if !s.journal.open(time.Now().Unix() - 3600) {
		t.Error("it rests for as long as the clock was set back")
	}
}

// A journal that is full takes no more, and is open again when it was cut.
func TestJournal_IsBounded(t *testing.T) {
	s := start(t)
	insert(t, s, 2)
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 2, "worker1", 1700000000, agent.Active)))
	must(t, s.UpdateKeepalive(t.Context(), 1, "active", synced))
	must(t, s.between(t.Context(), func(context.Context) error {
		s.journal.named = journalAgents
		return nil
	}))
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 2, "worker1", 1700000000, agent.Active)))
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 2, "worker1", 1700000001, agent.Active)))
	if got := rowKeepalive(t, s, 2); got != 1700000001 {
		t.Error("the row says", got)
	}
	must(t, s.writeLazily(t.Context(), func(t *tx) error { return t.followSome() }))
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 2, "worker1", 1700000002, agent.Active)))
	if got := rowKeepalive(t, s, 2); got != 1700000001 || s.journal.named != 2 {
		t.Errorf("the row says %d, %d agents are named", got, s.journal.named)
	}
	sameRoster(t, s)
}

// Part of what follows may be refused, as on a full disk. What has not followed
// stays in the journal.
func TestJournal_RowsThatCannotFollow(t *testing.T) {
	s := start(t)
	const n = piece + 100
	insert(t, s, n)
	for at := range int64(2) {
		must(t, s.SetSyncInfo(t.Context(), fullReport(1, n, "worker1", 1700000000+at, agent.Active)))
	}
	set := func(statement string) {
		must(t, s.write(t.Context(), false, func(t *tx) error { return t.exec(statement) }))
	}
	set("CREATE TEMP TRIGGER no BEFORE UPDATE ON agent WHEN old.id = 2 BEGIN SELECT raise(ABORT, 'no room'); END")
	for range 3 {
		if err := s.writeLazily(t.Context(), func(t *tx) error { return t.followSome() }); err == nil {
			t.Error("the row was written")
		}
	}
	sameAfterCrash(t, s)
	set("DROP TRIGGER no")
	set("CREATE TEMP TRIGGER no BEFORE DELETE ON t_keepalive BEGIN SELECT raise(ABORT, 'no room'); END")
	for range 2 {
		_ = s.writeLazily(t.Context(), func(t *tx) error { return t.followSome() })
	}
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, n, "worker1", 1600000000, agent.Active)))
	sameAfterCrash(t, s)
	set("DROP TRIGGER no")
}

// A part that is refused is tried again after a while, not at once.
func TestJournal_WaitsAfterARefusal(t *testing.T) {
	said := make(lines, 100)
	home := startAt(t, Options{Path: filepath.Join(t.TempDir(), "global.db")})
	must(t, home.Close())
	synctest.Test(t, func(t *testing.T) {
		s := startAt(t, Options{Path: home.o.Path, Log: slog.New(said)})
		insert(t, s, 1)
		for at := range int64(2) {
			must(t, s.SetSyncInfo(t.Context(), fullReport(1, 1, "worker1", 1+at, agent.Active)))
		}
		set := func(statement string) {
			must(t, s.write(t.Context(), false, func(t *tx) error { return t.exec(statement) }))
		}
		set("CREATE TABLE tries (n)")
		// What the trigger has done by then stays.
		set("CREATE TRIGGER no BEFORE UPDATE ON agent BEGIN INSERT INTO tries VALUES (1); SELECT raise(FAIL, 'no room'); END")
		time.Sleep(4*marksLater + time.Second)
		synctest.Wait()
		set("DROP TRIGGER no")
		if got := dump(t, s, "SELECT count(*) AS n FROM tries"); got != `[{"n":4}]` || len(said) != 1 {
			t.Errorf("tried %s, said %d times", got, len(said))
		}
	})
}

// An agent that another program has put in the place of one that it, or we, have
// removed is a new one.
func TestJournal_AnotherAgentOfTheID(t *testing.T) {
	const put = "INSERT INTO agent (id, name, date_add) VALUES (2, 'new', 1)"
	for name, ours := range map[string]bool{"removed by another": false, "removed by us": true} {
		t.Run(name, func(t *testing.T) {
			s := heard(t)
			if ours {
				must(t, s.DeleteAgent(t.Context(), 2))
			}
			must(t, s.write(t.Context(), false, func(t *tx) error {
				return errors.Join(t.exec("DELETE FROM agent WHERE id = 2"), t.exec(put))
			}))
			if r, _ := killed(t, s).roster.get(2); r.name != "new" || r.keepalive != noKeepalive {
				t.Errorf("it was heard at %d: %+v", r.keepalive, r)
			}
		})
	}
}

// A database whose rows cannot be written can be saved, with its journal.
func TestJournal_InABackup(t *testing.T) {
	s := heard(t, func(o *Options) { o.Backups.Dir = t.TempDir() })
	want, _ := s.roster.get(2)
	set := func(statement string) {
		must(t, s.write(t.Context(), false, func(t *tx) error { return t.exec(statement) }))
	}
	set("CREATE TEMP TRIGGER no BEFORE UPDATE ON agent BEGIN SELECT raise(ABORT, 'no room'); END")
	path, err := s.Backup(t.Context())
	must(t, err)
	set("DROP TRIGGER no")
	must(t, s.UpdateKeepalive(t.Context(), 3, "active", synced))
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 3, "worker1", 1990000000, agent.Active)))
	must(t, s.SetSyncInfo(t.Context(), fullReport(1, 3, "worker1", 1990000001, agent.Active)))
	must(t, s.Restore(t.Context(), filepath.Base(path), false))
	if got := rowKeepalive(t, s, 2); got != want.keepalive || s.journal.behind.Load() != 0 {
		t.Error("the row says", got)
	}
	sameRoster(t, s)
	sameAfterCrash(t, s)
}

// What is no entry of ours keeps nobody from opening the file.
func TestJournal_OddEntries(t *testing.T) {
	s := heard(t)
	must(t, s.write(t.Context(), false, func(t *tx) error {
		return t.exec("INSERT INTO t_keepalive VALUES (99, 1800000000, 'odd', '1,,a'), (100, 'then', '', '')")
	}))
	again := killed(t, s)
	if r, _ := again.roster.get(1); r.keepalive < 1800000000-1 {
		t.Error("heard at", r.keepalive)
	}
	sameRoster(t, again)
}
