package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"testudo/internal/fleet"
	"testudo/internal/nodedb"
	"testudo/internal/sqlitedb"
)

const (
	reporters = 5  // connections that write at a time
	enrolled  = 2  // new agents of each of them, each time
	askedAt   = 60 // agents asked for in one statement
)

// written is what the database must hold of an agent: the values of the writes
// that were answered. A nil value was never written.
type written struct {
	Key    *string `json:"internal_key"`
	Added  int64   `json:"date_add"`
	Sum    *string `json:"config_sum"`
	Status *string `json:"connection_status"`
	Alive  int64   `json:"last_keepalive"` // not before this
	Groups *string `json:"group"`
}

// lacks says what a row does not have of what was written; empty for nothing.
func (w written) lacks(row written) string {
	for _, f := range []struct {
		name      string
		want, got *string
	}{
		{"internal_key", w.Key, row.Key}, {"config_sum", w.Sum, row.Sum},
		{"connection_status", w.Status, row.Status}, {"group", w.Groups, row.Groups},
	} {
		if f.want != nil && (f.got == nil || *f.got != *f.want) {
			return fmt.Sprintf("%s is %s, want %s", f.name, shown(f.got), *f.want)
		}
	}
	switch {
	case w.Key != nil && w.Added != row.Added:
		return fmt.Sprintf("date_add is %d, want %d", row.Added, w.Added)
	case row.Alive < w.Alive:
		return fmt.Sprintf("last_keepalive is %d, was %d", row.Alive, w.Alive)
	}
	return ""
}

func shown(text *string) string {
	if text == nil {
		return "NULL"
	}
	return *text
}

// reporter is one connection to a node's database that enrols agents of its own
// and writes what they report.
type reporter struct {
	*rand.Rand
	onWorker bool  // where groups are the master's to set
	fresh    []int // agents to be enrolled first
	agents   []int
	answered map[int]written // what was answered "ok"
	doubt    *written        // of inDoubt, if the write without an answer was carried out
	inDoubt  int
	touched  map[int]bool // since the last look
	writes   int
}

// groupLists are what agents are assigned, one after the other.
func groupLists() []string {
	return []string{"g0", "g1", "g0,g1", "g2", "g1,g2", "g3,g0", "g3", "g2,g3,g1"}
}

// next is the next write: the agent, its command, what it leaves there.
func (r *reporter) next() (id int, command string, after written) {
	r.writes++
	now := time.Now().Unix()
	if len(r.fresh) > 0 {
		id, r.fresh = r.fresh[0], r.fresh[1:]
		key := fmt.Sprintf("key-%d-%d", id, r.writes)
		after = written{Key: &key, Added: int64(1_700_000_000 + r.writes)}
		r.agents = append(r.agents, id)
		return id, fmt.Sprintf(`global insert-agent {"id":%d,"name":%q,"date_add":%d,"ip":"any","internal_key":%q}`,
			id, agentName(id), after.Added, key), after
	}
	id = r.agents[r.IntN(len(r.agents))]
	after = r.answered[id]
	status := []string{"active", "pending", "disconnected"}[r.writes%3]
	switch r.IntN(3 - count(r.onWorker)) {
	case 0:
		after.Status, after.Alive = &status, now
		command = fmt.Sprintf(`global update-keepalive {"id":%d,"connection_status":%q,"sync_status":"syncreq"}`, id, status)
	case 1:
		sum := fmt.Sprintf("%032x", r.writes)
		after.Sum, after.Status, after.Alive = &sum, &status, now
		command = fmt.Sprintf(`global update-agent-data {"id":%d,"config_sum":%q,"version":"Wazuh v4.7.5","connection_status":%q,"sync_status":"syncreq","group_config_status":"synced"}`,
			id, sum, status)
	default:
		lists := groupLists()
		list := lists[r.writes%len(lists)]
		after.Groups = &list
		command = fmt.Sprintf(`global set-agent-groups {"mode":"override","sync_status":"syncreq","data":[{"id":%d,"groups":["%s"]}]}`,
			id, strings.ReplaceAll(list, ",", `","`))
	}
	return id, command, after
}

// report writes until the node is gone; each answered write is counted.
func (r *reporter) report(ctx context.Context, home string, count func()) error {
	conn, err := dialDatabase(ctx, home)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		id, command, after := r.next()
		r.touched[id] = true
		switch err := conn.Do(ctx, command); {
		case errors.Is(err, nodedb.ErrLost):
			r.inDoubt, r.doubt = id, &after
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w, to %s", err, command)
		}
		r.answered[id] = after
		count()
	}
}

// check compares a row with what was answered. The write that had no answer may
// have been carried out or not; from now on it is as the row says.
func (r *reporter) check(id int, row written) string {
	why := r.answered[id].lacks(row)
	if r.doubt != nil && r.inDoubt == id && why != "" && r.doubt.lacks(row) == "" {
		r.answered[id], why = *r.doubt, ""
	}
	return why
}

// dialDatabase waits for a node's database and connects to it.
func dialDatabase(ctx context.Context, home string) (*nodedb.Conn, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := nodedb.DialHome(ctx, home)
		if !errors.Is(err, nodedb.ErrNobody) {
			return conn, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the database: %w", ctx.Err())
		}
	}
}

func agentName(id int) string { return fmt.Sprintf("host-%d", id) }

// keys gives agents up to a number their keys: those without lose their rows.
func keys(t *testing.T, n *fleet.Node, last int) {
	t.Helper()
	var b strings.Builder
	for id := 1; id <= last; id++ {
		fmt.Fprintf(&b, "%03d %s any %064x\n", id, agentName(id), id)
	}
	put(t, n, "etc/client.keys", b.String())
}

// groupsMissing says that agents cannot be given all groups yet.
func groupsMissing(t *testing.T, n *fleet.Node) string {
	t.Helper()
	conn, err := dialDatabase(within(t, time.Minute), n.Home)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	payload, _, err := conn.Call(t.Context(), "global select-groups")
	for i := range 4 {
		if err != nil || !strings.Contains(string(payload), fmt.Sprintf(`"g%d"`, i)) {
			return fmt.Sprintf("the groups are %s, %v", payload, err)
		}
	}
	return ""
}

// asked are rows of agents as the node answers.
func asked(t *testing.T, conn *nodedb.Conn, ids []int) map[int]written {
	t.Helper()
	rows := make(map[int]written, len(ids))
	for some := range slices.Chunk(ids, askedAt) {
		list := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(some), "[]")), ",")
		payload, _, err := conn.Call(t.Context(), "global sql SELECT id, internal_key, date_add, config_sum, connection_status, "+
			"last_keepalive, `group` FROM agent WHERE id IN ("+list+")")
		if err != nil {
			t.Fatal(err)
		}
		var found []struct {
			ID int `json:"id"`
			written
		}
		if err := json.Unmarshal(payload, &found); err != nil {
			t.Fatalf("%v: %.200s", err, payload)
		}
		for _, row := range found {
			rows[row.ID] = row.written
		}
	}
	return rows
}

// look checks that a node that was started again has all that was answered: of
// the agents written to since the last look, or of all.
func look(t *testing.T, n *fleet.Node, crowd []*reporter, all bool) {
	t.Helper()
	conn, err := dialDatabase(within(t, time.Minute), n.Home)
	if err != nil {
		t.Fatalf("%v; its log ends:\n%s", err, tail(n, 5))
	}
	defer conn.Close()
	for _, r := range crowd {
		var ids []int
		for id := range r.answered {
			if all || r.touched[id] {
				ids = append(ids, id)
			}
		}
		rows := asked(t, conn, ids)
		for _, id := range ids {
			row, there := rows[id]
			if !there {
				t.Errorf("agent %d is lost", id)
			} else if why := r.check(id, row); why != "" {
				t.Errorf("agent %d: %s", id, why)
			}
		}
		r.doubt = nil
		clear(r.touched)
	}
}

// burst has all reporters write, and kills the node after so many answers.
func burst(t *testing.T, n *fleet.Node, crowd []*reporter, answers int64) (answered int64) {
	t.Helper()
	var count atomic.Int64
	enough := make(chan struct{})
	g, ctx := errgroup.WithContext(within(t, time.Minute))
	for _, r := range crowd {
		g.Go(func() error {
			return r.report(ctx, n.Home, func() {
				if count.Add(1) == answers {
					close(enough)
				}
			})
		})
	}
	select {
	case <-enough:
	case <-ctx.Done(): // Wait says why
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v; its log ends:\n%s", err, tail(n, 5))
	}
	return count.Load()
}

// A node that is killed in the middle of writes to its database of agents: what
// was answered "ok" is there when it is started again, and the file is sound.
func TestDatabase_KilledInWriteBursts(t *testing.T) {
	t.Parallel() // half of the time they wait for a node to start
	kills := 200
	if testing.Short() {
		kills = 15
	}
	seed := seedOf(t)
	f := cluster(t, fleet.Options{Prepare: func(n *fleet.Node) error {
		for i := range 4 {
			if err := os.MkdirAll(filepath.Join(n.Home, fmt.Sprintf("etc/shared/g%d", i)), 0o770); err != nil {
				return err
			}
		}
		return nil
	}})
	boss, chance := f.Master(), rand.New(rand.NewPCG(seed, 5))
	crowd := make([]*reporter, reporters)
	for i := range crowd {
		crowd[i] = &reporter{Rand: rand.New(rand.NewPCG(seed, uint64(100+i))), answered: map[int]written{}, touched: map[int]bool{}}
	}
	if err := boss.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string { return groupsMissing(t, boss) })
	if err := boss.Kill(); err != nil {
		t.Fatal(err)
	}
	last, doubts, total := 0, 0, int64(0)
	for i := range kills {
		for _, r := range crowd {
			// A row that follows its key, made before a crash, is as good as enrolled.
			r.fresh = r.fresh[:0]
			for range enrolled {
				last++
				r.fresh = append(r.fresh, last)
			}
		}
		keys(t, boss, last)
		if err := boss.Start(); err != nil {
			t.Fatal(err)
		}
		look(t, boss, crowd, i%20 == 0)
		total += burst(t, boss, crowd, 1+chance.Int64N(300))
		for _, r := range crowd {
			doubts += count(r.doubt != nil)
		}
		if t.Failed() {
			t.Fatalf("at kill %d; its log ends:\n%s", i, tail(boss, 5))
		}
	}
	t.Logf("%d kills, %d writes answered, %d cut off", kills, total, doubts)
	soundAgents(t, boss)
	if err := f.Start(within(t, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	look(t, boss, crowd, true)
	verify(t, f)
	soundAgents(t, boss)
}

// soundAgents checks the structure of a node's database of agents, which nobody
// has open, with what a killed node left beside it.
func soundAgents(t *testing.T, n *fleet.Node) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{
		Path: filepath.Join(n.Home, nodedb.FilePath), ReadOnly: true, Setup: func(*sqlitedb.Conn) error { return nil },
	})
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	err = db.Read(t.Context(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "PRAGMA integrity_check", func(s *sqlitedb.Stmt) error {
			if finding := s.ColumnText(0); finding != "ok" {
				t.Errorf("%s: %s", nodedb.FilePath, finding)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}
