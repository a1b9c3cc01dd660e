package agentdb

import (
	"errors"
	"fmt"
	"testing"

	"testudo/internal/agent"
)

// inBrief sends what a worker has in brief to a master and returns which it sent
// and which the master wants whole.
func inBrief(t *testing.T, worker, master *Store) (sent string, refused []agent.ID) {
	t.Helper()
	list, _, confirm, err := worker.PendingBrief(t.Context(), 0, 100)
	must(t, err)
	rows, err := readBrief(list)
	must(t, err)
	ids := []agent.ID{}
	for _, r := range rows {
		ids = append(ids, r.id)
	}
	refused, err = master.SetBrief(t.Context(), list)
	must(t, err)
	must(t, confirm(t.Context(), refused))
	return fmt.Sprint(ids), refused
}

// inWhole sends the rest.
func inWhole(t *testing.T, worker, master *Store) (n int) {
	t.Helper()
	chunks, _, confirm, err := worker.PendingWhole(t.Context(), 0, 100)
	must(t, err)
	for _, c := range chunks {
		must(t, master.SetSyncInfo(t.Context(), c))
	}
	must(t, confirm(t.Context()))
	return len(chunks)
}

const reportedColumns = "SELECT " + reported + ", (SELECT group_concat(key || value) FROM labels l WHERE l.id = agent.id) AS labels FROM agent WHERE id > 0"

func sameReports(t *testing.T, worker, master *Store) {
	t.Helper()
	if a, b := dump(t, worker, reportedColumns), dump(t, master, reportedColumns); a != b {
		t.Errorf("worker %s\nmaster %s", a, b)
	}
}

func tell(t *testing.T, s *Store, id agent.ID, node, os string) {
	t.Helper()
	must(t, s.UpdateData(t.Context(), Data{
		ID: id, OSName: ptr(os), Version: ptr("Wazuh v4.7.5"), NodeName: ptr(node), AgentIP: ptr("10.0.0.1"), ManagerHost: ptr("h"),
		ConnectionStatus: ptr("active"), SyncStatus: ptr(syncReq), GroupConfigStatus: ptr("synced"), Labels: ptr("k:\"v\""),
	}))
}

// workerAndMaster have three agents, reported whole.
func workerAndMaster(t *testing.T) (worker, master *Store) {
	t.Helper()
	worker, master = start(t), start(t)
	insert(t, worker, 3)
	insert(t, master, 3)
	for id := agent.ID(1); id <= 3; id++ {
		tell(t, worker, id, "w1", "Debian")
	}
	if sent, _ := inBrief(t, worker, master); sent != "[]" {
		t.Fatal("in brief before the master has anything:", sent)
	}
	if inWhole(t, worker, master) == 0 {
		t.Fatal("nothing whole")
	}
	sameReports(t, worker, master)
	return worker, master
}

func TestBrief_TakesWhatChangesOften(t *testing.T) {
	worker, master := workerAndMaster(t)
	ctx := t.Context()
	must(t, worker.write(ctx, false, func(t *tx) error { return t.touch(1, 1800000000, true) }))
	must(t, worker.UpdateConnectionStatus(ctx, 2, "disconnected", syncReq, 3))
	tell(t, worker, 3, "w1", "Ubuntu") // goes whole
	sent, refused := inBrief(t, worker, master)
	if sent != "[001 002]" || len(refused) > 0 {
		t.Error(sent, refused)
	}
	if inWhole(t, worker, master) != 1 {
		t.Error("what changed did not go whole")
	}
	sameReports(t, worker, master)
	sameRoster(t, worker)
	sameRoster(t, master)
	if due, _, _ := pendingIDs(t, worker, 0); len(due) != 0 {
		t.Error("still to be sent:", due)
	}
	must(t, worker.ReportAll(ctx, "w1")) // another session with the same master
	if sent, refused := inBrief(t, worker, master); sent != "[001 002 003]" || len(refused) > 0 {
		t.Error(sent, refused)
	}
}

func TestBrief_TheMasterAsksForWhatItDoesNotHave(t *testing.T) {
	for name, change := range map[string]func(worker, master *Store) *Store{
		"another node": func(_, master *Store) *Store { tell(t, master, 2, "w2", "Debian"); return master },
		"renamed":      func(_, master *Store) *Store { must(t, master.RenameAgent(t.Context(), 2, "other")); return master },
		"restarted": func(_, master *Store) *Store {
			must(t, master.Close())
			return startAt(t, master.o)
		},
		"enrolled anew": func(_, master *Store) *Store {
			must(t, master.DeleteAgent(t.Context(), 2))
			must(t, master.InsertAgent(t.Context(), NewAgent{ID: 2, Name: "agent-000002"}))
			return master
		},
	} {
		t.Run(name, func(t *testing.T) {
			worker, master := workerAndMaster(t)
			master = change(worker, master)
			must(t, worker.write(t.Context(), false, func(t *tx) error { return t.touch(2, 2000000000, true) }))
			sent, refused := inBrief(t, worker, master)
			if sent != "[002]" || fmt.Sprint(refused) != "[002]" {
				t.Error(sent, refused)
			}
			if due, _, _ := pendingIDs(t, worker, 0); len(due) != 1 {
				t.Fatal("not to be sent any more:", due)
			}
			inWhole(t, worker, master)
			sameReports(t, worker, master)
		})
	}
}

func TestBrief_OfAnAgentThatIsNotThere(t *testing.T) {
	worker, master := workerAndMaster(t)
	must(t, master.DeleteAgent(t.Context(), 2))
	must(t, worker.UpdateKeepalive(t.Context(), 2, "pending", syncReq))
	if sent, refused := inBrief(t, worker, master); sent != "[002]" || len(refused) > 0 {
		t.Error(sent, refused)
	}
}

func TestBrief_ChangedMeanwhileStaysToBeSent(t *testing.T) {
	worker, master := workerAndMaster(t)
	must(t, worker.UpdateKeepalive(t.Context(), 1, "pending", syncReq))
	list, _, confirm, err := worker.PendingBrief(t.Context(), 0, 100)
	must(t, err)
	tell(t, worker, 1, "w1", "Ubuntu")
	_, err = master.SetBrief(t.Context(), list)
	must(t, err)
	must(t, confirm(t.Context(), nil))
	if inWhole(t, worker, master) != 1 {
		t.Error("lost")
	}
	sameReports(t, worker, master)
}

func TestSetsOnlyStates(t *testing.T) {
	for statement, want := range map[string]bool{
		"UPDATE agent SET sync_status = 'syncreq'":                                      true,
		"UPDATE agent SET last_keepalive = 12, sync_status = 'syncreq' WHERE id > 0":    true,
		"UPDATE agent SET sync_status = 'syncreq', name = 'x' WHERE id > 0":             false,
		"UPDATE agent SET sync_status = 'x WHERE ', name = 'y'":                         false,
		"UPDATE agent SET sync_status = 'x'' WHERE ', name = 'y'":                       false,
		"UPDATE agent SET last_keepalive = (SELECT 1) WHERE id > 0":                     false,
		"UPDATE agent SET (last_keepalive, name) = (1, 'x')":                            false,
		"UPDATE labels SET value = 'x'":                                                 false,
		"UPDATE agent SET last_keepalive = 1; UPDATE agent SET name = 'x' WHERE id = 1": false,
	} {
		if got := setsOnlyStates(statement); got != want {
			t.Errorf("%s: %v", statement, got)
		}
	}
}

func FuzzReadBrief(f *testing.F) {
	f.Add([]byte("7 1700000000 a 0 0 9f86d081884c7d65;8 - n - - 1;"))
	f.Fuzz(func(t *testing.T, list []byte) {
		rows, err := readBrief(list)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Error(err)
			}
			return
		}
		var again []byte
		for i := range rows {
			again = appendBrief(again, &rows[i])
		}
		same, err := readBrief(again)
		if err != nil || fmt.Sprint(same) != fmt.Sprint(rows) {
			t.Errorf("%s became %s, %v", list, again, err)
		}
	})
}

// Rows without a node look the same on all workers: there too the newer keep-alive
// wins.
func TestBrief_WithoutNode(t *testing.T) {
	const row = "SELECT last_keepalive, connection_status FROM agent WHERE id = 1"
	for before, want := range map[int64]string{
		99:  `[{"last_keepalive":100,"connection_status":"disconnected"}]`,
		101: `[{"last_keepalive":101,"connection_status":"pending"}]`,
	} {
		worker, master := start(t), start(t)
		insert(t, worker, 1)
		insert(t, master, 1)
		heard := func(s *Store, at int64) {
			must(t, s.write(t.Context(), false, func(t *tx) error { return t.touch(1, at, true) }))
		}
		must(t, worker.UpdateKeepalive(t.Context(), 1, "pending", syncReq))
		inWhole(t, worker, master)
		heard(master, before)
		must(t, worker.UpdateConnectionStatus(t.Context(), 1, "disconnected", syncReq, 4))
		heard(worker, 100)
		if sent, refused := inBrief(t, worker, master); sent != "[001]" || len(refused) > 0 {
			t.Error(sent, refused)
		}
		if got := dump(t, master, row); got != want {
			t.Errorf("with %d: %s", before, got)
		}
		sameRoster(t, master)
	}
}
