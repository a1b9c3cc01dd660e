package agentdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/agent"
)

// page is what a page of groups says.
type page []struct {
	Data []struct {
		ID     agent.ID `json:"id"`
		Groups []string `json:"groups"`
	} `json:"data"`
	Hash *string `json:"hash"`
}

func readPage(t testing.TB, text []byte) page {
	t.Helper()
	var p page
	must(t, json.Unmarshal(text, &p))
	if len(p) != 1 || p[0].Data == nil {
		t.Fatalf("page %s", text)
	}
	return p
}

// insertPlain adds agents without groups.
func insertPlain(t testing.TB, s *Store, from, to int) {
	t.Helper()
	must(t, s.write(t.Context(), false, func(tx *tx) error {
		for i := from; i <= to; i++ {
			if err := tx.exec("INSERT INTO agent (id, name, date_add, `group`) VALUES (?1, 'a', 5, NULL)", i); err != nil {
				return err
			}
		}
		tx.reloadRoster()
		return nil
	}))
}

// The sizes are those at which pages of the original end, measured.
func TestSyncGroups_PageLimits(t *testing.T) {
	thousands(t)
	s := start(t)
	insertPlain(t, s, 999, 5999)
	group := strings.Repeat("n", 41)
	for i := 38; i <= 41; i++ {
		must(t, s.InsertGroup(t.Context(), group[:i]))
	}
	ask := func(q GroupsQuery) (int, int, bool) {
		t.Helper()
		q.Condition = GroupsAll
		p, err := s.SyncGroups(t.Context(), q)
		must(t, err)
		return len(p.JSON), len(readPage(t, p.JSON)[0].Data), p.More
	}
	expect := func(what string, q GroupsQuery, size, rows int, more bool) {
		t.Helper()
		if gotSize, gotRows, gotMore := ask(q); gotSize != size || gotRows != rows || gotMore != more {
			t.Errorf("%s: %d bytes, %d agents, more %v; want %d, %d, %v", what, gotSize, gotRows, gotMore, size, rows, more)
		}
	}
	expect("full", GroupsQuery{LastID: 999}, 65004, 2708, true)
	expect("full from three digits", GroupsQuery{LastID: 998}, 65003, 2708, true)
	must(t, set(t, s, GroupsOverride, synced, 5999, group[:39]))
	expect("the hash just fits", GroupsQuery{LastID: 5999 - 2705, GlobalHash: true}, 65023, 2705, false)
	must(t, set(t, s, GroupsOverride, synced, 5999, group[:40]))
	expect("the hash does not fit", GroupsQuery{LastID: 5999 - 2705, GlobalHash: true}, 64974, 2705, true)
	p, err := s.SyncGroups(t.Context(), GroupsQuery{Condition: GroupsAll, LastID: 5999, GlobalHash: true})
	must(t, err)
	if last := readPage(t, p.JSON); p.More || len(last[0].Data) != 0 || last[0].Hash == nil {
		t.Errorf("the hash comes as %s", p.JSON)
	}
}

func TestSyncGroups_Bounds(t *testing.T) {
	s := start(t)
	if _, err := s.SyncGroups(t.Context(), GroupsQuery{Condition: "x"}); !errors.Is(err, ErrCondition) {
		t.Error(err)
	}
	must(t, s.InsertAgent(t.Context(), NewAgent{ID: 1, Name: "a", DateAdd: 5}))
	for _, delta := range []int64{0, 1 << 40} {
		p, err := s.SyncGroups(t.Context(), GroupsQuery{Condition: GroupsAll, RegistrationDelta: delta})
		must(t, err)
		if got := len(readPage(t, p.JSON)[0].Data); (got == 1) != (delta == 0) {
			t.Errorf("delta %d: %d agents", delta, got)
		}
	}
}

func TestPendingGroups_UntilConfirmed(t *testing.T) {
	s := start(t)
	const n = 4000
	insertPlain(t, s, 1, n)
	withGroups(t, s, 3)
	var all []AgentGroups
	for id := agent.ID(1); id <= n; id++ {
		all = append(all, AgentGroups{ID: id, Groups: []string{"default", fmt.Sprintf("group-%d", id%3)}})
	}
	must(t, s.SetGroups(t.Context(), GroupChange{GroupsOverride, syncReq, all}))
	pending := func() (ids []agent.ID, confirm func()) {
		t.Helper()
		chunks, ok, err := s.PendingGroups(t.Context())
		must(t, err)
		for i, c := range chunks {
			p := readPage(t, c)
			for _, a := range p[0].Data {
				ids = append(ids, a.ID)
			}
			if last := i == len(chunks)-1; last != (p[0].Hash != nil) || len(c) > pageLimit+2 {
				t.Errorf("chunk %d of %d: hash %v, %d bytes", i, len(chunks), p[0].Hash, len(c))
			}
		}
		return ids, func() { t.Helper(); must(t, ok(t.Context())) }
	}
	if ids, _ := pending(); len(ids) != n { // nobody confirms
		t.Fatalf("%d agents", len(ids))
	}
	ids, confirm := pending()
	if len(ids) != n {
		t.Fatalf("%d agents the second time", len(ids))
	}
	must(t, set(t, s, GroupsOverride, syncReq, 7, "default"))
	must(t, set(t, s, GroupsOverride, syncReq, 8, "default"))
	must(t, set(t, s, GroupsOverride, syncReq, 8, "default", "group-2")) // as before; but what came between may be on its way
	must(t, s.DeleteAgent(t.Context(), 9))
	must(t, s.UpdateKeepalive(t.Context(), 10, "active", synced))
	confirm()
	if ids, confirm = pending(); !cmp.Equal(ids, []agent.ID{7, 8}) {
		t.Errorf("pending are %v", ids)
	}
	confirm()
	if ids, _ = pending(); len(ids) != 0 {
		t.Errorf("pending are %v", ids)
	}
	if got := dump(t, s, "SELECT count(*) AS n FROM agent WHERE group_sync_status = 'syncreq'"); got != `[{"n":0}]` {
		t.Error(got)
	}
}

func TestPendingGroups_NoGroups(t *testing.T) {
	s := start(t)
	chunks, _, err := s.PendingGroups(t.Context())
	must(t, err)
	if len(chunks) != 1 || string(chunks[0]) != `[{"data":[],"hash":null}]` {
		t.Errorf("%s", chunks)
	}
	all, err := s.AllGroups(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("%s, %v", all, err)
	}
}

func TestSetSyncGroups(t *testing.T) {
	s := start(t)
	insertPlain(t, s, 1, 6)
	withGroups(t, s, 2)
	text := func() string {
		t.Helper()
		return dump(t, s, "SELECT id, `group` FROM agent WHERE id > 0 AND `group` IS NOT NULL")
	}
	for _, step := range []struct {
		list string
		err  error
		want string
	}{
		{`[]`, nil, `[]`},
		{`[{"id":1,"groups":["default"]},{"id":2,"groups":["default","group-1"]}]`, nil,
			`[{"id":1,"group":"default"},{"id":2,"group":"default,group-1"}]`},
		{` [ {"groups" : [ "group-0" ] , "x":{"y":[1]}, "id" : 1 } ] `, nil,
			`[{"id":1,"group":"group-0"},{"id":2,"group":"default,group-1"}]`},
		{`[{"id":2,"groups":["group-1","default"]},{"id":1,"groups":["group-0","group-1","group-0"]}]`, nil, // not ascending, a name twice
			`[{"id":1,"group":"group-1,group-0"},{"id":2,"group":"group-1,default"}]`},
		{`[{"id":1,"groups":["nope","default"]},{"id":99,"groups":["default"]},7,{"id":"x","groups":["default"]},{"id":3},{"id":3,"groups":["default"]}]`, ErrSetGroups,
			`[{"id":1,"group":"default"},{"id":2,"group":"group-1,default"},{"id":3,"group":"default"}]`},
		{`[{"id":1,"groups":["a b"]},{"id":2,"groups":[]},{"id":3,"groups":[5,"group-0"]}]`, ErrSetGroups,
			`[{"id":1,"group":"default"},{"id":3,"group":"group-0"}]`},
		{`[{"id":1,"groups":["x"`, ErrSyntax, `[{"id":1,"group":"default"},{"id":3,"group":"group-0"}]`},
		{`[{"id":99,"groups":[]}]`, nil, `[{"id":1,"group":"default"},{"id":3,"group":"group-0"}]`},
		{`{}`, ErrSyntax, `[{"id":1,"group":"default"},{"id":3,"group":"group-0"}]`},
		{`[] x`, ErrSyntax, `[{"id":1,"group":"default"},{"id":3,"group":"group-0"}]`},
	} {
		if err := s.SetSyncGroups(t.Context(), []byte(step.list)); !errors.Is(err, step.err) {
			t.Errorf("%s: %v, want %v", step.list, err, step.err)
		}
		if got := text(); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.list, got, step.want)
		}
	}
	agree(t, s)
}

// agree checks that relations, texts, hashes, the roster and the global hash say
// the same.
func agree(t interface {
	Helper()
	Errorf(string, ...any)
	Fatal(...any)
}, s *Store) {
	t.Helper()
	ctx := context.Background()
	sum := agent.NewGlobalHash()
	for p, after := true, agent.Manager; p; {
		ids := s.roster.groupCandidates(after, GroupsQuery{Condition: GroupsAll}, 1<<40, 100)
		groups, err := s.GroupsOf(ctx, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			text := agent.GroupsText(groups[id])
			r, _ := s.roster.get(id)
			row, err := s.rows(ctx, "SELECT `group`, group_hash FROM agent WHERE id = ?1", int64(id))
			want := "[{}]"
			if text != "" {
				want = fmt.Sprintf(`[{"group":%q,"group_hash":%q}]`, text, agent.GroupHash(text))
				sum.Add(agent.GroupHash(text))
			}
			if err != nil || string(row.JSON) != want || r.group != text {
				t.Errorf("agent %s: row %s, roster %q, relations %q, %v", id, row.JSON, r.group, text, err)
			}
			after = id
		}
		p = len(ids) > 0
	}
	want, wantOK := sum.Sum()
	if got, ok, err := s.GroupsHash(ctx); got != want || ok != wantOK || err != nil {
		t.Errorf("hash %s, want %s, %v", got, want, err)
	}
}

// TestGroups_AlwaysAgree is that nothing which changes groups lets relations,
// texts and hashes fall apart, and that a worker given the pending groups ends
// with the master's hash.
func TestGroups_AlwaysAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		master, worker := start(t, func(o *Options) { o.Master = true }), start(t)
		ctx := t.Context()
		for _, s := range []*Store{master, worker} {
			defer s.Close()
			insertPlain(t, s, 1, 8)
			withGroups(t, s, 4)
		}
		id := rapid.Custom(func(r *rapid.T) agent.ID { return agent.ID(rapid.IntRange(0, 10).Draw(r, "id")) })
		name := rapid.SampledFrom([]string{"default", "group-0", "group-1", "group-2", "group-3", "nope", "", "a b"})
		one := rapid.Custom(func(r *rapid.T) AgentGroups {
			return AgentGroups{ID: id.Draw(r, "id"), Groups: rapid.SliceOfN(name, 0, 5).Draw(r, "groups"), Bad: rapid.IntRange(0, 9).Draw(r, "bad") == 0}
		})
		r.Repeat(map[string]func(*rapid.T){
			"set": func(r *rapid.T) {
				err := master.SetGroups(ctx, GroupChange{
					rapid.SampledFrom([]string{GroupsOverride, GroupsAppend, GroupsEmptyOnly, GroupsRemove, "x"}).Draw(r, "mode"),
					rapid.SampledFrom([]string{synced, syncReq, syncReq}).Draw(r, "sync"), rapid.SliceOfN(one, 0, 4).Draw(r, "data"),
				})
				if err != nil && !errors.Is(err, ErrSetGroups) {
					r.Fatal(err)
				}
			},
			"apply": func(r *rapid.T) {
				var list []string
				for _, a := range rapid.SliceOfN(one, 0, 6).Draw(r, "data") {
					groups, _ := json.Marshal(a.Groups)
					list = append(list, fmt.Sprintf(`{"id":%d,"groups":%s}`, a.ID, groups))
				}
				err := worker.SetSyncGroups(ctx, []byte("["+strings.Join(list, ",")+"]"))
				if err != nil && !errors.Is(err, ErrSetGroups) {
					r.Fatal(err)
				}
			},
			"delete": func(r *rapid.T) {
				group := rapid.SampledFrom([]string{"group-2", "group-3"}).Draw(r, "group")
				if err := master.DeleteGroup(ctx, group); err != nil {
					r.Fatal(err)
				}
				if rapid.Bool().Draw(r, "again") {
					_ = master.InsertGroup(ctx, group)
				}
			},
			"agree": func(r *rapid.T) { agree(r, master); agree(r, worker) },
		})
		for _, group := range []string{"group-2", "group-3"} {
			_ = worker.InsertGroup(ctx, group)
		}
		chunks, err := master.AllGroups(ctx)
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range chunks {
			text := string(c)
			if err := worker.SetSyncGroups(ctx, []byte(text[len(`[{"data":`):len(text)-2])); err != nil {
				r.Fatal(err)
			}
		}
		agree(r, master)
		agree(r, worker)
		a, _, _ := master.GroupsHash(ctx)
		b, _, _ := worker.GroupsHash(ctx)
		if a != b {
			r.Errorf("master %s, worker %s", a, b)
		}
	})
}

func TestRecalculateGroupHashes_Repairs(t *testing.T) {
	thousands(t)
	s := start(t)
	insertPlain(t, s, 1, recalculateBatch+5)
	withGroups(t, s, 2)
	apply(t, s, assignments(recalculateBatch+5, 2, 0))
	must(t, s.write(t.Context(), false, func(tx *tx) error {
		tx.reloadRoster()
		tx.touchGroups()
		return tx.exec("UPDATE agent SET `group` = 'wrong', group_hash = CASE id % 2 WHEN 0 THEN 'x' END WHERE id % 700 = 1 OR id % 700 = 2")
	}))
	must(t, s.RecalculateGroupHashes(t.Context()))
	agree(t, s)
}

func FuzzReadAssignments(f *testing.F) {
	for _, seed := range []string{
		`[{"id":1,"groups":["default","web"]},{"id":2,"groups":[]}]`, `[{"id":4.7,"groups":["\u0061",5,null]}]`,
		`[{"groups":[],"id":"x"},7,[],{}]`, `[`, `{}`, `[{"id":1e99,"groups":[["a"]]}] `, "[{\"id\":1,\"groups\":[\"\xff\"]}]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readAssignments(text)
		var all []json.RawMessage
		if reference := json.Unmarshal([]byte(text), &all); reference != nil || all == nil {
			if err == nil && json.Valid([]byte(text)) {
				t.Fatalf("%q: taken, though it is no array", text)
			}
			return
		}
		if err != nil {
			if strings.Count(text, "[")+strings.Count(text, "{") < maxDepth {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(got) != len(all) {
			t.Fatalf("%q: %d elements, want %d", text, len(got), len(all))
		}
		for i, a := range got {
			var groups struct {
				Groups []json.RawMessage `json:"groups"`
			}
			if a.list == nil || strings.Count(string(all[i]), "groups") != 1 || json.Unmarshal(all[i], &groups) != nil {
				continue
			}
			if len(groups.Groups) != len(a.list.names) {
				t.Fatalf("%q: names %q", all[i], a.list.names)
			}
		}
	})
}

// Groups that have changed while they were on their way are still to be sent out,
// also when all agents were read again meanwhile.
func TestPendingGroups_ChangedOnTheWay(t *testing.T) {
	s := start(t, func(o *Options) { o.Master, o.AllowWrites = true, true })
	insert(t, s, 1)
	must(t, errors.Join(s.InsertGroup(t.Context(), "default"), s.InsertGroup(t.Context(), "a")))
	set := func(mode string) {
		must(t, s.SetGroups(t.Context(), GroupChange{mode, syncReq, []AgentGroups{{ID: 1, Groups: []string{"a"}}}}))
	}
	set(GroupsOverride)
	readAgain := func() {
		if _, err := s.SQL(t.Context(), "UPDATE agent SET os_arch = 'x' WHERE id = 1", true); err != nil {
			t.Fatal(err)
		}
	}
	readAgain()
	_, confirm, err := s.PendingGroups(t.Context())
	must(t, err)
	set(GroupsRemove)
	readAgain()
	must(t, confirm(t.Context()))
	if r, _ := s.roster.get(1); !r.regroup {
		t.Error("nobody will be told of the groups")
	}
	_, confirm, err = s.PendingGroups(t.Context())
	must(t, err)
	must(t, confirm(t.Context()))
	if r, _ := s.roster.get(1); r.regroup {
		t.Error("what was confirmed is still to be sent out")
	}
}
