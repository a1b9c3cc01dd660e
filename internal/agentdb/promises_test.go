package agentdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"testudo/internal/agent"
	"testudo/internal/sqlitedb"
)

// promises is a store under test beside what it has promised: the last keep-alive
// and the status of each agent, as they follow from what it has answered.
type promises struct {
	s       *Store
	told    map[agent.ID]promise
	backups map[string]map[agent.ID]promise
}

type promise struct {
	keepalive int64 // or noKeepalive
	status    agent.Status
	name      string
}

// open runs a store on a file until another takes its place.
func (p *promises) open(t *rapid.T, path string) {
	s, err := Open(context.Background(), Options{Path: path, Master: true, AllowWrites: true,
		Backups: BackupOptions{Dir: filepath.Join(filepath.Dir(path), "backup"), MaxFiles: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Run(context.Background()) }()
	p.s = s
}

// kill goes on with what a killed process would have left.
func (p *promises) kill(t *rapid.T, inBetween func(*sqlitedb.Conn) error) {
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Dir(p.s.o.Path)), "home-*")
	path := filepath.Join(dir, "global.db")
	for _, suffix := range []string{"", "-wal"} {
		data, readErr := os.ReadFile(p.s.o.Path + suffix)
		err = errors.Join(err, readErr, os.WriteFile(path+suffix, data, 0o600))
	}
	old := p.s.backupOptions().Dir
	_, noBackups := os.Stat(old)
	if err = errors.Join(err, p.s.Close()); noBackups == nil {
		err = errors.Join(err, os.Rename(old, filepath.Join(dir, "backup")))
	}
	if err == nil && inBetween != nil {
		var db *sqlitedb.DB
		if db, err = sqlitedb.Open(context.Background(), sqlitedb.Options{Path: path, Rollback: true, Setup: func(*sqlitedb.Conn) error { return nil }}); err == nil {
			err = errors.Join(db.Write(context.Background(), inBetween), db.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	p.open(t, path)
}

// heard takes down that an agent has shown itself now.
func (p *promises) heard(t *rapid.T, since int64, id agent.ID, status agent.Status) {
	was, there := p.told[id]
	if !there {
		return
	}
	r, _ := p.s.roster.get(id)
	if r.keepalive < since || r.keepalive > time.Now().Unix() {
		t.Fatalf("agent %d shows itself at %d and is said to have at %d", id, since, r.keepalive)
	}
	was.keepalive, was.status = r.keepalive, status
	p.told[id] = was
}

// limitPages lets the file grow by n pages at most, as a full disk would.
func (p *promises) limitPages(t *rapid.T, n int) {
	ctx := context.Background()
	sure(t, p.s.between(ctx, func(ctx context.Context) error {
		return p.s.db.Load().Alone(ctx, func(c *sqlitedb.Conn) (err error) {
			pages := 0
			for _, pragma := range []string{"PRAGMA page_count", "PRAGMA max_page_count = "} {
				if pages > 0 {
					pragma += fmt.Sprint(pages + n)
				}
				err = errors.Join(err, sqlitedb.SelectOne(c, pragma, func(st *sqlitedb.Stmt) error {
					pages = st.ColumnInt(0)
					return nil
				}))
			}
			return err
		})
	}))
}

// keptAll checks that the store says what it has promised, wherever it is asked.
func (p *promises) keptAll(t *rapid.T) {
	p.s.journal.restTil.Store(0) // statements have it rest
	got := map[agent.ID]promise{}
	p.s.roster.mu.RLock()
	for r := range p.s.roster.afterLocked(agent.Manager) {
		got[r.id()] = promise{r.keepalive, r.status(), r.name()}
	}
	p.s.roster.mu.RUnlock()
	if fmt.Sprint(got) != fmt.Sprint(p.told) {
		t.Fatalf("in memory: %v\nwas promised: %v", got, p.told)
	}
	if p.s.roster.lagging.Load() < 0 || p.s.journal.behind.Load() < 0 || p.s.journal.named < 0 {
		t.Fatal("less than nothing", p.s.roster.lagging.Load(), p.s.journal.behind.Load(), p.s.journal.named)
	}
}

func (p *promises) keptInFile(t *rapid.T) {
	got := map[agent.ID]promise{}
	sure(t, p.s.catchUpAll(context.Background()))
	sure(t, p.s.read(context.Background(), func(c *sqlitedb.Conn) error {
		return sqlitedb.Select(c, "SELECT id, last_keepalive, connection_status, name FROM agent WHERE id > 0", func(st *sqlitedb.Stmt) error {
			one := promise{noKeepalive, agent.Status(st.ColumnText(2)), st.ColumnText(3)}
			if !st.ColumnIsNull(1) {
				one.keepalive = st.ColumnInt64(1)
			}
			got[agent.ID(st.ColumnInt64(0))] = one
			return nil
		})
	}))
	if fmt.Sprint(got) != fmt.Sprint(p.told) {
		t.Fatalf("in the file: %v\nwas promised: %v", got, p.told)
	}
}

func someID() *rapid.Generator[agent.ID] {
	return rapid.Map(rapid.Int32Range(1, 4), func(n int32) agent.ID { return agent.ID(n) })
}

func someStatus() *rapid.Generator[agent.Status] {
	return rapid.SampledFrom([]agent.Status{agent.Active, agent.Active, agent.Pending, agent.Disconnected})
}

// changes is what programs do to agents.
func (p *promises) changes(ctx context.Context) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"insert": func(t *rapid.T) {
			id := someID().Draw(t, "id")
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
			if err := p.s.InsertAgent(ctx, NewAgent{ID: id, Name: name}); err == nil {
				p.told[id] = promise{noKeepalive, agent.NeverConnected, name}
			} else if _, there := p.told[id]; !there {
				t.Fatal(err)
			}
		},
		"delete": func(t *rapid.T) {
			id := someID().Draw(t, "id")
			sure(t, p.s.DeleteAgent(ctx, id))
			delete(p.told, id)
		},
		"rename": func(t *rapid.T) {
			id := someID().Draw(t, "id")
			sure(t, p.s.RenameAgent(ctx, id, "c"))
			if one, there := p.told[id]; there {
				one.name = "c"
				p.told[id] = one
			}
		},
		"status": func(t *rapid.T) {
			id, status := someID().Draw(t, "id"), someStatus().Draw(t, "status")
			sure(t, p.s.UpdateConnectionStatus(ctx, id, string(status), syncReq, 3))
			if one, there := p.told[id]; there {
				one.status = status
				p.told[id] = one
			}
		},
		"groups": func(t *rapid.T) {
			_, _ = p.s.InsertGroup(ctx, "default"), p.s.InsertGroup(ctx, "g")
			_ = p.s.SetGroups(ctx, GroupChange{rapid.SampledFrom([]string{GroupsOverride, GroupsRemove}).Draw(t, "mode"), syncReq,
				[]AgentGroups{{ID: someID().Draw(t, "id"), Groups: []string{"g"}}}})
		},
		"silent": func(t *rapid.T) {
			before := time.Now().Unix() + rapid.Int64Range(-6, 6).Draw(t, "before")
			_, err := p.s.DisconnectAgents(ctx, 0, before, synced)
			sure(t, err)
			for id, one := range p.told {
				if one.keepalive != noKeepalive && one.keepalive < before && (one.status == agent.Active || one.status == agent.Pending) {
					one.status = agent.Disconnected
					p.told[id] = one
				}
			}
		},
		"mark all": func(t *rapid.T) { sure(t, p.s.ReportAll(ctx, "w1")) },
		"report on": func(t *rapid.T) {
			_, _, confirm, err := p.s.PendingInfo(ctx, 0)
			sure(t, err)
			sure(t, confirm(ctx))
		},
	}
}

// keepalives is the ways in which agents are heard of.
func (p *promises) keepalives(ctx context.Context) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"keepalive": func(t *rapid.T) {
			id, status, since := someID().Draw(t, "id"), someStatus().Draw(t, "status"), time.Now().Unix()
			sure(t, p.s.UpdateKeepalive(ctx, id, string(status), rapid.SampledFrom([]string{synced, syncReq}).Draw(t, "sync")))
			p.heard(t, since, id, status)
		},
		"report": func(t *rapid.T) { p.report(ctx, t) },
		"many at once": func(t *rapid.T) {
			list, since := rapid.SliceOfN(someID(), 1, 30).Draw(t, "ids"), time.Now().Unix()
			broken := rapid.IntRange(0, 2).Draw(t, "broken")
			var all sync.WaitGroup
			for i, id := range list {
				all.Go(func() {
					if err := p.s.UpdateKeepalive(ctx, id, "active", syncReq); err != nil {
						panic(err)
					}
				})
				if i < broken {
					all.Go(func() { _ = p.s.writeLazily(ctx, func(*tx) error { panic("broken operation") }) })
					given, cancel := context.WithCancel(ctx)
					all.Go(func() { _ = p.s.writeLazily(given, func(t *tx) error { return t.followSome() }) })
					all.Go(cancel)
				}
			}
			all.Wait()
			for _, id := range list {
				p.heard(t, since, id, agent.Active)
			}
		},
		"rows follow": func(t *rapid.T) {
			sure(t, p.s.writeLazily(ctx, func(t *tx) error { return t.followSome() }))
		},
		"full disk": func(t *rapid.T) {
			p.limitPages(t, rapid.IntRange(0, 1).Draw(t, "pages"))
			for range rapid.IntRange(1, 12).Draw(t, "writes") {
				id, since := someID().Draw(t, "id"), time.Now().Unix()
				if err := p.s.UpdateKeepalive(ctx, id, "active", syncReq); err == nil {
					p.heard(t, since, id, agent.Active)
				} else if !sqlitedb.IsFull(err) {
					t.Fatal(err)
				}
				name := strings.Repeat("n", rapid.IntRange(1, 9000).Draw(t, "length"))
				if one, there := p.told[id]; there && p.s.RenameAgent(ctx, id, name) == nil {
					one.name = name
					p.told[id] = one
				}
				_ = p.s.writeLazily(ctx, func(t *tx) error { return t.followSome() })
				p.keptAll(t)
			}
			if rapid.Bool().Draw(t, "killed on it") {
				p.kill(t, nil)
			}
			p.limitPages(t, 1<<20)
		},
		"look": func(t *rapid.T) { p.keptInFile(t) },
	}
}

// report has w1 report agents, also as they were, and by clocks that are ahead.
func (p *promises) report(ctx context.Context, t *rapid.T) {
	from := int(someID().Draw(t, "from"))
	to := min(4, from+rapid.IntRange(0, 3).Draw(t, "more"))
	before := time.Now().Unix()
	at := before + rapid.Int64Range(-5, 5).Draw(t, "at")
	status := someStatus().Draw(t, "status")
	placed := map[agent.ID]bool{} // at a node, which is w1
	for id := range p.told {
		r, _ := p.s.roster.get(id)
		placed[id] = isNode(r.node)
	}
	sure(t, p.s.SetSyncInfo(ctx, fullReport(from, to, "w1", at, status)))
	for id := agent.ID(from); id <= agent.ID(to); id++ {
		one, there := p.told[id]
		stale := !placed[id] && one.keepalive != noKeepalive && at < one.keepalive && one.keepalive <= time.Now().Unix()
		if r, _ := p.s.roster.get(id); stale && one.keepalive > before {
			stale = r.keepalive == one.keepalive // it was ahead of the clock, or not any more
		}
		if there && !stale {
			p.told[id] = promise{at, status, fmt.Sprintf("agent-%06d", id)}
		}
	}
}

// upheavals is what happens to the file, behind the roster.
func (p *promises) upheavals(ctx context.Context) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"statement": func(t *rapid.T) {
			id, at := someID().Draw(t, "id"), time.Now().Unix()-rapid.Int64Range(0, 9).Draw(t, "ago")
			_, err := p.s.SQL(ctx, fmt.Sprintf("UPDATE agent SET last_keepalive = %d WHERE id = %d", at, id), true)
			sure(t, err)
			if one, there := p.told[id]; there {
				one.keepalive = at
				p.told[id] = one
			}
		},
		"delete by statement": func(t *rapid.T) {
			id := someID().Draw(t, "id")
			_, err := p.s.SQL(ctx, fmt.Sprintf("DELETE FROM agent WHERE id = %d", id), true)
			sure(t, err)
			delete(p.told, id)
		},
		"back up": func(t *rapid.T) {
			name, err := p.s.snapshot(ctx, fmt.Sprint("-", len(p.backups)))
			sure(t, err)
			p.backups[name] = maps.Clone(p.told)
		},
		"restore": func(t *rapid.T) {
			for name, told := range p.backups {
				if err := p.s.Restore(ctx, name, rapid.Bool().Draw(t, "save")); errors.Is(err, ErrNoBackup) {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				p.told = maps.Clone(told)
				break
			}
		},
		"close": func(t *rapid.T) {
			path := p.s.o.Path
			sure(t, p.s.Close())
			p.open(t, path)
		},
		"kill": func(t *rapid.T) { p.kill(t, nil) },
		"kill, and another program": func(t *rapid.T) {
			id := someID().Draw(t, "id")
			one, there := p.told[id]
			if !there {
				return
			}
			what := rapid.IntRange(0, 2).Draw(t, "what")
			p.kill(t, func(c *sqlitedb.Conn) error {
				switch what {
				case 0:
					one.keepalive = max(one.keepalive, time.Now().Unix()) + 6
					p.told[id] = one
					return sqlitedb.Exec(c, "UPDATE agent SET last_keepalive = ?1 WHERE id = ?2", one.keepalive, int64(id))
				case 1:
					delete(p.told, id)
					return sqlitedb.Exec(c, "DELETE FROM agent WHERE id = ?1", int64(id))
				default:
					p.told[id] = promise{noKeepalive, agent.NeverConnected, "z"}
					return errors.Join(sqlitedb.Exec(c, "DELETE FROM agent WHERE id = ?1", int64(id)),
						sqlitedb.Exec(c, "INSERT INTO agent (id, name, date_add) VALUES (?1, 'z', 1)", int64(id)))
				}
			})
		},
	}
}

// Whatever is done and however it ends, what was answered is what is there.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "run-*")
		sure(rt, err)
		p := &promises{told: map[agent.ID]promise{}, backups: map[string]map[agent.ID]promise{}}
		home := filepath.Join(dir, "home")
		sure(rt, os.Mkdir(home, 0o750))
		p.open(rt, filepath.Join(home, "global.db"))
		defer func() { sure(rt, p.s.Close()) }()
		actions := map[string]func(*rapid.T){"": p.keptAll}
		for _, some := range []map[string]func(*rapid.T){p.changes(t.Context()), p.keepalives(t.Context()), p.upheavals(t.Context())} {
			maps.Copy(actions, some)
		}
		rt.Repeat(actions)
		p.keptInFile(rt)
	})
}

func sure(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
