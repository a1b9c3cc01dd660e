package agentdb

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// sameRoster checks that the roster says what the table and the journal say.
func sameRoster(t testing.TB, s *Store) {
	t.Helper()
	var want []record
	counts := Counts{ByStatus: map[agent.Status]int{}, ByNode: map[string]map[agent.Status]int{}}
	err := s.read(t.Context(), func(c *sqlitedb.Conn) error {
		journal, _, err := readJournal(c)
		if err != nil {
			return err
		}
		return sqlitedb.Select(c, selectRecord+" ORDER BY id", func(st *sqlitedb.Stmt) error {
			r := readRecord(st, nil)
			if what, named := journal[r.id]; named {
				r.keepalive, r.syncreq = what.keepalive, what.syncreq
			}
			want = append(want, r)
			if r.id != 0 {
				counts.Total++
				counts.ByStatus[r.status]++
				if counts.ByNode[r.node] == nil {
					counts.ByNode[r.node] = map[agent.Status]int{}
				}
				counts.ByNode[r.node][r.status]++
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []record
	s.roster.mu.RLock()
	for p := range s.roster.afterLocked(-1 << 31) {
		r := s.roster.unpackLocked(p)
		r.seq, r.print, r.told, r.regroups = 0, 0, 0, 0
		if r.lags {
			r.syncreq, r.lags = !r.syncreq, false // what the table is known to say
		}
		got = append(got, r)
	}
	size := s.roster.size
	s.roster.mu.RUnlock()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(record{})); d != "" || size != len(want) {
		t.Errorf("roster of %d is not the table: %s", size, d)
	}
	gotCounts, err := s.Counts(t.Context())
	if d := cmp.Diff(counts, gotCounts); d != "" || err != nil {
		t.Error(d, err)
	}
	counts.ByNode["a node without any"] = nil
	for node, states := range counts.ByNode {
		if got := s.ActiveAgents(node); got != states[agent.Active] {
			t.Errorf("node %q has %d active agents, not %d", node, got, states[agent.Active])
		}
	}
}

// Whatever is done, the roster is the table.
func TestRoster_IsTheTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := start(t)
		insert(t, s, 20)
		ctx := t.Context()
		id := rapid.Map(rapid.Int32Range(0, 30), func(n int32) agent.ID { return agent.ID(n) })
		status := rapid.SampledFrom([]string{"active", "pending", "disconnected", "never_connected", "bad"})
		sync := rapid.SampledFrom([]string{synced, syncReq, syncReq, "bad"})
		small := rapid.SampledFrom([]*string{nil, ptr(""), ptr("w1"), ptr("w2")})
		var confirms []func() error
		rt.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				_ = s.InsertAgent(ctx, NewAgent{ID: id.Draw(t, "id"), Name: "n", IP: small.Draw(t, "ip"), Group: small.Draw(t, "group")})
			},
			"delete": func(t *rapid.T) { _ = s.DeleteAgent(ctx, id.Draw(t, "id")) },
			"rename": func(t *rapid.T) { _ = s.RenameAgent(ctx, id.Draw(t, "id"), "other") },
			"keepalive": func(t *rapid.T) {
				_ = s.UpdateKeepalive(ctx, id.Draw(t, "id"), status.Draw(t, "status"), sync.Draw(t, "sync"))
			},
			"connection": func(t *rapid.T) {
				_ = s.UpdateConnectionStatus(ctx, id.Draw(t, "id"), status.Draw(t, "status"), sync.Draw(t, "sync"), 3)
			},
			"code": func(t *rapid.T) {
				_ = s.UpdateStatusCode(ctx, id.Draw(t, "id"), 2, sync.Draw(t, "sync"), small.Draw(t, "version"))
			},
			"data": func(t *rapid.T) {
				_ = s.UpdateData(ctx, Data{ID: id.Draw(t, "id"), NodeName: small.Draw(t, "node"), AgentIP: small.Draw(t, "ip"),
					ConnectionStatus: ptr(status.Draw(t, "status")), SyncStatus: ptr(sync.Draw(t, "sync")),
					GroupConfigStatus: ptr("synced"), Labels: rapid.SampledFrom([]*string{nil, ptr("a:1"), ptr("a:1\na:1")}).Draw(t, "labels")})
			},
			"report": func(t *rapid.T) {
				odd := rapid.SampledFrom([]string{"", `,"status_code":"x"`, `,"version":5`, `,"disconnection_time":7,"status_code":1`, `,"labels":[{"id":3,"key":"k","value":"v"}]`})
				var text string
				for i := range rapid.IntRange(1, 5).Draw(t, "rows") {
					if i > 0 {
						text += ","
					}
					text += fmt.Sprintf(`{"id":%d,"name":"n%d","node_name":"%s","last_keepalive":%d,"connection_status":"%s","group_config_status":"synced"%s}`,
						id.Draw(t, "id"), i, rapid.SampledFrom([]string{"w1", "w2"}).Draw(t, "node"), rapid.IntRange(1, 5).Draw(t, "time"), status.Draw(t, "status"), odd.Draw(t, "odd"))
				}
				_ = s.SetSyncInfo(ctx, []byte("["+text+"]"))
			},
			"disconnect": func(t *rapid.T) { _, _ = s.DisconnectAgents(ctx, -1, 1<<40, sync.Draw(t, "sync")) },
			"reset":      func(t *rapid.T) { _ = s.ResetConnections(ctx, sync.Draw(t, "sync")) },
			"report all": func(t *rapid.T) { _ = s.ReportAll(ctx, "w1") },
			"sync info":  func(*rapid.T) { _, _ = s.SyncInfo(ctx, nil) },
			"pending": func(t *rapid.T) {
				_, _, confirm, err := s.PendingInfo(ctx, rapid.IntRange(0, 5).Draw(t, "max"))
				if err != nil {
					t.Fatal(err)
				}
				confirms = append(confirms, func() error { return confirm(ctx) })
			},
			"confirm": func(t *rapid.T) {
				if len(confirms) > 0 {
					if err := confirms[rapid.IntRange(0, len(confirms)-1).Draw(t, "which")](); err != nil {
						t.Fatal(err)
					}
				}
			},
			"many at once": func(t *rapid.T) { manyAtOnce(ctx, t, s, id, status, sync) },
			"":             func(*rapid.T) { sameRoster(t, s) },
		})
		sameAfterCrash(t, s)
		before := s.Close()
		again := startAt(t, s.o)
		sameRoster(t, again)
		if before != nil {
			rt.Fatal(before)
		}
	})
}

// manyAtOnce makes one transaction of several operations, some of them put off.
func manyAtOnce(ctx context.Context, t *rapid.T, s *Store, id *rapid.Generator[agent.ID], status, sync *rapid.Generator[string]) {
	ids := rapid.SliceOfN(id, 1, 70).Draw(t, "ids")
	done := make(chan struct{})
	for _, i := range ids {
		st, sy := status.Draw(t, "status"), sync.Draw(t, "sync")
		go func() {
			_ = s.UpdateKeepalive(ctx, i, st, sy)
			done <- struct{}{}
		}()
	}
	for range ids {
		<-done
	}
}
