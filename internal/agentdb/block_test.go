package agentdb

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"testudo/internal/agent"
)

// recordOf makes a record whose columns differ with n.
func recordOf(id agent.ID, n int) record {
	return record{
		id: id, status: agent.Statuses()[n%4], hasIP: n%5 > 0, syncreq: n%2 == 0, regroup: n%3 == 0, lags: n%7 == 0, code: int32(n),
		name: strings.Repeat("ab", n%4) + fmt.Sprint(id), ip: strings.Repeat("1", n%6),
		node: fmt.Sprint("w", n%3), version: []string{"", "v1", "v2"}[n/3%3], group: []string{"", "default", "web", "default,web", "webs"}[n/2%5],
		keepalive: int64(n), added: int64(2 * n), gone: int64(3 * n), seq: uint64(n), regroups: uint32(n), print: uint64(n), told: uint64(n),
	}
}

// Whatever is put and removed in whatever order, a roster is a sorted list of
// records.
func TestRoster_IsWhatWasPut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Store{roster: newRoster()}
		want := map[agent.ID]record{}
		highest := rapid.SampledFrom([]int32{30, 1500, 4000}).Draw(t, "highest")
		for range rapid.IntRange(1, 3000).Draw(t, "steps") {
			id := agent.ID(rapid.Int32Range(0, highest).Draw(t, "id"))
			n := rapid.IntRange(0, 999).Draw(t, "what")
			if n%4 == 0 {
				s.roster.removeLocked(id)
				delete(want, id)
				continue
			}
			r := recordOf(id, n)
			s.roster.putLocked(&r)
			want[id] = r
		}
		list := slices.SortedFunc(maps.Values(want), func(a, b record) int { return int(a.id - b.id) })
		checkRecords(t, s.roster, list)
		checkCounts(t, s.roster, list)
		for range 20 {
			checkSearch(t, s, list)
		}
	})
}

func checkRecords(t *rapid.T, r *roster, want []record) {
	got := []record{}
	for p := range r.afterLocked(math.MinInt32) {
		got = append(got, r.unpackLocked(p))
	}
	if d := cmp.Diff(append([]record{}, want...), got, cmp.AllowUnexported(record{})); d != "" || r.size != len(want) {
		t.Fatal(r.size, len(want), d)
	}
	for _, b := range r.blocks {
		if n := len(b.ids); n == 0 || n > blockRows || len(b.statuses) != n || len(b.nodes) != n || len(b.versions) != n ||
			len(b.groups) != n || len(b.names.ends) != n || len(b.ips.ends) != n || len(b.rows) != n {
			t.Fatal("columns of different lengths", n)
		}
	}
}

// checkCounts checks what is counted beside the rows.
func checkCounts(t *rapid.T, r *roster, want []record) {
	type sums struct {
		pending, regrouping, lagging int
		all                          int64
		dictionaries                 [3]map[string]entry
	}
	var wanted, got sums
	for i := range wanted.dictionaries {
		wanted.dictionaries[i], got.dictionaries[i] = map[string]entry{}, map[string]entry{}
	}
	for i := range want {
		c := &want[i]
		for _, each := range []struct {
			yes bool
			n   *int
		}{{c.syncreq, &wanted.pending}, {c.regroup, &wanted.regrouping}, {c.lags, &wanted.lagging}} {
			if each.yes {
				*each.n++
			}
		}
		for k, text := range []string{c.node, c.version, c.group} {
			e := wanted.dictionaries[k][text]
			e.text, e.users = text, e.users+1
			if c.id != agent.Manager {
				e.agents[statusNumber(c.status)]++
			}
			wanted.dictionaries[k][text] = e
		}
	}
	wanted.all = int64(wanted.lagging)
	for _, b := range r.blocks {
		got.pending, got.regrouping, got.lagging = got.pending+b.pending, got.regrouping+b.regrouping, got.lagging+b.lagging
	}
	got.all = r.lagging.Load()
	for k, d := range []*dictionary{&r.nodes, &r.versions, &r.groups} {
		for text, number := range d.numbers {
			if e := d.entries[number]; e.users > 0 {
				got.dictionaries[k][text] = e
			}
		}
		if len(d.entries) != len(d.numbers)+len(d.free) {
			t.Fatal("numbers were lost", len(d.entries), len(d.numbers), len(d.free))
		}
	}
	if d := cmp.Diff(wanted, got, cmp.AllowUnexported(sums{}, entry{})); d != "" {
		t.Fatal(d)
	}
}

// checkSearch asks for a list and makes it by hand as well.
func checkSearch(t *rapid.T, s *Store, all []record) {
	sometimes := func(name string, values ...string) string {
		return rapid.SampledFrom(append(values, "", "")).Draw(t, name)
	}
	f := Filter{
		Status: agent.Status(sometimes("status", "active", "disconnected", "bad")), Node: sometimes("node", "w1", "w9"),
		Version: sometimes("version", "v1", "v9"), Group: sometimes("group", "default", "web", "none"),
		Name:  sometimes("name", "a", "ba", "1", "17", "1ab", "abab", "ab1"),
		After: agent.ID(rapid.Int32Range(-1, 2000).Draw(t, "after")), Limit: rapid.IntRange(1, 700).Draw(t, "limit"),
	}
	var want []agent.ID
	total := 0
	for i := range all {
		c := &all[i]
		if f.After >= 0 && c.id == agent.Manager || f.Status != "" && f.Status != c.status || f.Node != "" && f.Node != c.node ||
			f.Version != "" && f.Version != c.version || f.Group != "" && !slices.Contains(strings.Split(c.group, ","), f.Group) ||
			!strings.Contains(c.name, f.Name) {
			continue
		}
		total++
		if c.id > f.After && len(want) < f.Limit {
			want = append(want, c.id)
		}
	}
	list, gotTotal, err := s.Agents(t.Context(), f)
	var got []agent.ID
	for _, a := range list {
		got = append(got, a.ID)
	}
	if !slices.Equal(got, want) || gotTotal != total || err != nil {
		t.Fatalf("%+v: %v of %d, want %v of %d; %v", f, got, gotTotal, want, total, err)
	}
}

// A search in parts, between which agents come and go, meets each agent once at
// most, and those that stay.
func TestSearch_BetweenChanges(t *testing.T) {
	thousands(t)
	rapid.Check(t, func(t *rapid.T) {
		r := newRoster()
		for id := agent.ID(2); id <= 6000; id += 2 {
			c := recordOf(id, 0)
			r.putLocked(&c)
		}
		f := Filter{Node: "w0", After: agent.ID(rapid.Int32Range(-1, 3000).Draw(t, "after")), Limit: 10000}
		if rapid.Bool().Draw(t, "counted before") {
			f.Name = "1"
		}
		q := newSearch(f)
		moved := map[agent.ID]bool{}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) // many draws of rapid's take long
		for r.searchSome(q, 1) {
			for range 300 {
				id := agent.ID(rng.Int32N(6000) + 1)
				if moved[id] = true; id%2 == 0 {
					r.removeLocked(id)
				} else {
					c := recordOf(id, 0)
					c.node = fmt.Sprint("w", id%50) // other numbers for other texts
					r.putLocked(&c)
				}
			}
		}
		met := map[agent.ID]bool{}
		last := f.After
		for _, a := range q.list {
			if a.ID <= last || a.Node != f.Node || !strings.Contains(a.Name, f.Name) {
				t.Fatalf("%+v behind %v", a, last)
			}
			last, met[a.ID] = a.ID, true
		}
		for id := max(f.After+1, 1); id <= 6000; id++ {
			if !met[id] && id%2 == 0 && !moved[id] && strings.Contains(fmt.Sprint(id), f.Name) {
				t.Fatal("missed", id)
			}
		}
	})
}

// What was handed out of a roster stays as it was.
func TestTexts_HandedOutStay(t *testing.T) {
	var names texts
	var handed, copies []string
	hand := func() {
		for i := range names.ends {
			handed = append(handed, names.at(i))
			copies = append(copies, strings.Clone(names.at(i)))
		}
	}
	for i, name := range []string{"web-01", "db", "", "mail-relay", "db"} {
		names.insert(i / 2)
		hand()
		names.set(i/2, name)
		hand()
	}
	names.set(4, "a longer one")
	names.set(0, "x")
	hand()
	var high texts
	names.cut(2, &high)
	high.insert(3)
	high.set(3, "new")
	names.remove(0)
	names.insert(1)
	names.set(1, "last")
	hand()
	if !slices.Equal(handed, copies) {
		t.Errorf("%q became %q", copies, handed)
	}
}
